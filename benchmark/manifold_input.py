"""What a predictor gains by the distance to successes, the manifold's, as an input.

A manifold is learnt from the training part of each split; the distance of a step of a success that
it was learnt from is that to the others. Beside it the default model, on the same splits.

    python benchmark/manifold_input.py [STORE] [--splits 2] > benchmark/results/manifold_input.json
"""

import argparse
import json
import os
import platform
import shlex
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import Outcome
from salus_ros.evaluation.detectors.benchmark import Benchmark
from salus_ros.evaluation.detectors.predicting import HorizonPredictor
from salus_ros.evaluation.folds import make_folds
from salus_ros.prediction.config import PRESETS
from salus_ros.recovery.manifold.settings import CARD, ManifoldSettings
from salus_ros.recovery.manifold.training import inputs_of, learn
from salus_ros.training.dataset import Samples, load_samples

DEFAULT = "salus_tcn"
KEYS = {"state, action": CARD, "state, action, embedding": (*CARD, "embedding")}


class WithDistance(HorizonPredictor):
    """The default model, told how far the step is from successes."""

    def __init__(self, name: str, key: tuple[str, ...]) -> None:
        tcn = PRESETS["tcn"]
        super().__init__(name, replace(tcn, inputs=(*tcn.inputs, "further")), "alarm")
        self._key = key

    def missing(self, samples: Samples) -> str:
        """The distance is made here."""
        return ""

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Learn the manifold, then the model."""
        settings = ManifoldSettings(inputs=self._key, seed=seed)
        self._manifold, *_ = learn(samples, {"train": train, "validation": validation}, settings)
        learnt = [samples.records[n] for n in train]
        good = [record.key for record in learnt if record.meta.outcome is Outcome.SUCCESS]
        self._own = {key: episode for episode, key in enumerate(good)}  # in the library
        super().fit(samples, train, validation, seed)

    def readings(self, samples: Samples) -> Samples:
        """The episodes with the distance among their inputs."""
        distance = self._distance(samples)
        extras, parts = dict(samples.extras), dict(samples.parts)
        extras["further"], parts["further"] = distance[:, None], ("manifold_distance",)
        return replace(samples, extras=extras, parts=parts)

    def _distance(self, samples: Samples) -> NDArray[np.float32]:
        manifold = self._manifold
        library, embedding = manifold.library, manifold.embed(inputs_of(samples, self._key))
        found = manifold.distance(embedding)
        for record, rows in zip(samples.records, samples.slices, strict=True):
            if record.key not in self._own:
                continue
            points = embedding[rows]
            there = np.isfinite(points).all(axis=1)
            own = np.flatnonzero(library.episode[library.known] == self._own[record.key])
            without = slice(int(own[0]), int(own[-1]) + 1)
            nearest, _ = library.all_steps.nearest(points[there], without)
            found[rows][there] = nearest
        return found


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Those that the targets are about, of a detector's results."""
    operator, steps = found["test"]["operator"], found["steps"]
    chosen, quarter = operator["foreseen"]["at_share"], operator["running"]["failure"]["25%"]
    names = ("auroc_within_task", "auroc_within_task_interval")
    return {
        "recall_at_5_percent": {name: chosen["recall"][name] for name in ("all", "sudden")},
        "recall_interval": {name: chosen["recall_interval"][name] for name in ("all", "sudden")},
        "at_a_quarter": {name: quarter[name] for name in names},
        **{name: steps[name] for name in ("average_precision", "f1_events")},
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("store", nargs="?", default="shipped:standard")
    parser.add_argument("--splits", type=int, default=2, help="of five")
    given = parser.parse_args()
    samples = load_samples([given.store])
    run = Benchmark(samples, make_folds(samples)[: given.splits], (DEFAULT,))
    run.detectors |= {
        f"with {name}": partial(WithDistance, name, key) for name, key in KEYS.items()
    }
    run.run(on_done=lambda done, name: sys.stderr.write(f"{done}/{run.total} {name}\n"))
    results = run.results()
    print(
        json.dumps(
            {
                "benchmark": "manifold_input",
                "command": shlex.join(["python", *sys.argv]),
                "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
                "store": given.store,
                "splits": given.splits,
                "detectors": {
                    name: figures(found) for name, found in results["detectors"].items()
                },
            },
            indent=1,
        )
    )


if __name__ == "__main__":
    main()
