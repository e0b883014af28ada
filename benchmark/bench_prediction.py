"""One live prediction, from the signals message to probabilities, alarm and message fields.

The node's own path (message to arrays, features, one step of the network, calibrated decision,
level of the alarm) against the step of the network alone, on ready arrays, and against torch's own
`forward` of one step, in one run, on one thread.

    python benchmark/bench_prediction.py [--json] [--device cpu] [--steps 2000]

"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch

from salus_msgs.msg import FailureHorizons, VlaSignals
from salus_ros.messages.signals import read_signals
from salus_ros.nodes import convert
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.steps import Library, make_steps
from salus_ros.prediction.stream import PredictorStream
from salus_ros.training.dataset import Samples, load_samples
from salus_ros.training.train import fit_checkpoint

ASKED_US = 250.0


def make_predictor(name: str, device: str, samples: Samples) -> Predictor:
    """A predictor of the preset's size, fitted briefly to ten episodes."""
    places = tuple(range(len(samples.records)))
    split = {"train": places[:8], "validation": places[8:]}
    checkpoint, _ = fit_checkpoint(samples, split, replace(PRESETS[name], epochs=1))
    shape = (len(samples.horizons_s), len(samples.failure_types))
    calibration = Calibration(
        model_id=checkpoint.model_id,
        slope=((1.0,) * shape[1],) * shape[0],
        intercept=((-2.0,) * shape[1],) * shape[0],  # failures are rare, as in a real one
        eventual=(1.0, 0.0),
        shared=(),
        alpha=0.05,
        threshold=0.5,
        thresholds={},
        episode_threshold=0.9,
        episode_thresholds={},
        output_threshold=0.5,
        successes=1,
        probability_keys=(),
        threshold_keys=(),
    )
    return Predictor(checkpoint, device, calibration)


def microseconds(step: Callable[[], object], steps: int, device: str) -> tuple[float, float]:
    """Median and 99th percentile of a call."""
    times = []
    for _ in range(steps):
        started = time.perf_counter()
        step()
        if device != "cpu":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    kept = 1e6 * np.asarray(times[steps // 10 :])
    return float(np.median(kept)), float(np.percentile(kept, 99))


def measure(name: str, device: str, steps: int) -> dict[str, float]:
    """Measure one kind of model."""
    samples = load_samples(["shipped:shifted"]).subset(range(10))
    predictor = make_predictor(name, device, samples)
    stream = PredictorStream(predictor)
    messages, out = [], FailureHorizons()
    for row in range(100):  # of one episode, in its order
        message = VlaSignals()
        message.embedding = samples.extras["embedding"][row].astype(np.float32)
        convert.fill_signals(message, samples.signals[row], samples.valid[row])
        messages.append(message)
    number = 0

    def live() -> None:
        nonlocal number
        message = messages[number % len(messages)]
        said = read_signals(message)
        extras = predictor.checkpoint.features.read(said)
        prediction = stream.update(said.signals, said.valid, extras, number)
        out.probability = convert.float_array(prediction.probability)
        out.any_failure = convert.float_array(prediction.any_failure)
        out.risk = float(prediction.risk[0])
        out.alarm = float(predictor.alarm_level(prediction)[0]) > 0
        number += 1

    ready = torch.randn(1, predictor.checkpoint.features.width)
    library = Library(predictor.device)
    network, features = make_steps(predictor.model, library), library.given(ready.numpy())
    memory = network.start(1)

    def alone() -> None:
        nonlocal memory
        _, memory = network.advance(features, memory)

    on_device = ready[:, None].to(device)  # (1, 1, F)

    def forward() -> None:
        with torch.inference_mode():
            predictor.model(on_device)

    path, p99 = microseconds(live, steps, device)
    network_us, _ = microseconds(alone, steps, device)
    forward_us, _ = microseconds(forward, steps, device)
    return {
        "path_us": round(path, 1),
        "path_p99_us": round(p99, 1),
        "network_us": round(network_us, 1),
        "torch_forward_us": round(forward_us, 1),
        "ratio": round(path / forward_us, 2),
    }


def main() -> None:
    """Measure every kind of model and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    given = parser.parse_args()
    torch.set_num_threads(1)  # as the node does
    names = ("tcn", "gru", "mlp")
    result = {
        "benchmark": "prediction",
        "device": given.device,
        "cores": os.cpu_count(),
        "asked_us": ASKED_US,
        "models": {name: measure(name, given.device, given.steps) for name in names},
    }
    if given.json:
        print(json.dumps(result))
        return
    for name, found in result["models"].items():
        print(
            f"{name}: {found['path_us']:.0f} us a prediction (p99 {found['path_p99_us']:.0f}), "
            f"{found['network_us']:.0f} of them the network; {found['ratio']:.1f} x the "
            f"{found['torch_forward_us']:.0f} us of torch's forward of one step; "
            f"asked: {ASKED_US:.0f} us"
        )


if __name__ == "__main__":
    main()
