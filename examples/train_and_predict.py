"""Train a small predictor on shipped episodes, and let it follow one of them step by step.

python examples/train_and_predict.py OUT
"""

import argparse
from dataclasses import replace
from pathlib import Path

from salus_ros.episodes.reader import StoreReader
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.extras import of_episode
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.stream import PredictorStream
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import train_predictor, without_lacking

STORE = "shipped:pictures"
"""Ten episodes, quick to learn and far too few: shipped:standard has more."""


def main(out: Path, epochs: int) -> None:
    """Train, then predict as the live node does."""
    samples = load_samples([STORE])
    config = without_lacking(replace(PRESETS["tcn"], epochs=epochs), samples)
    results = train_predictor(samples, out, evaluate, config)
    print(f"best epoch {results['best_epoch']} of {results['epochs_run']}, files in {out}")

    reader = StoreReader(STORE)
    episode = reader.episode(len(reader) - 1, images=False)
    predictor = Predictor.load(out)
    stream = PredictorStream(predictor)  # remembers what it needs of the steps before
    extras = of_episode(episode)  # what there is beside the signals
    for step in range(len(episode)):
        given = {name: values[step] for name, values in extras.items()}
        said = stream.update(episode.signals[step], episode.signals_valid[step], given)
        if step % 30 == 0:
            alarm = "alarm" if predictor.alarm_level(said)[0] > 0 else "no alarm"
            print(f"  step {step}: risk {said.risk[0]:.3f}, {alarm}")
    print(f"  it ended so: {episode.meta.ending} at step {episode.meta.failure_step}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Train a predictor and follow an episode.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=10)
    given = parser.parse_args()
    main(given.out, given.epochs)
