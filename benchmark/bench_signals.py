"""A policy run with the twelve signals against LeRobot's own `predict_action_chunk`.

Both run the same model on the same observation, in turn in one run; K chunks share one prefix.
The 450M architecture has random weights: the arithmetic is the same, and nothing is downloaded.
Then the whole runner (pictures in, action and signals out, K = 4) on several episodes at once, per
observation, against the same episodes one after the other.

    python benchmark/bench_signals.py [--json] [--model tiny|450m] [--device cpu] [--runs 20]
"""

import argparse
import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from pathlib import Path

import numpy as np
import torch

from salus_ros.policies.runner import PolicyRunner, step_together
from salus_ros.policies.signals import SignalComputer
from salus_ros.policies.smolvla.loading import load_policy
from salus_ros.policies.smolvla.sampler import SmolVLASampler
from salus_ros.policies.tap import Observation
from salus_ros.policies.tiny.build import (
    SMOLVLA_450M,
    TINY,
    build_policy,
    count_parameters,
    save_policy,
)
from salus_ros.worlds.panda import CAMERAS, IMAGE_SIZE, STATE_DIM

ARCHITECTURES = {"tiny": TINY, "450m": SMOLVLA_450M}
SAMPLES = (1, 4, 8)
BATCHES = (1, 2, 4, 8, 16)
TASK = "put the red cube in the bin"


def measure(name: str, device: str, runs: int) -> dict[str, object]:
    """Median duration of each variant in ms, and its median ratio to the stock sampler."""
    with tempfile.TemporaryDirectory() as folder:
        policy = build_policy(Path(folder), ARCHITECTURES[name])
        parameters = count_parameters(policy)
        save_policy(policy, Path(folder), None)
        del policy
        loaded = load_policy(folder, device)
    batch = loaded.preprocess(
        {
            "observation.state": torch.zeros(STATE_DIM),
            "task": TASK,
            **{f"observation.images.{c}": torch.rand(3, IMAGE_SIZE, IMAGE_SIZE) for c in CAMERAS},
        }
    )
    config = loaded.config
    noise = torch.randn(max(SAMPLES), config.chunk_size, config.max_action_dim, device=device)
    tap = SmolVLASampler(loaded.policy, config.n_action_steps)
    computer = SignalComputer(config.n_action_steps)

    def stock() -> None:
        loaded.policy.predict_action_chunk(dict(batch), noise=noise[:1])

    def with_signals(k: int) -> Callable[[], object]:
        return lambda: computer(tap.sample(batch, noise[None, :k])[0], 0)

    variants: dict[str, Callable[[], object]] = {"predict_action_chunk": stock}
    variants |= {f"K={k}": with_signals(k) for k in SAMPLES}
    return {
        "model": name,
        "parameters": parameters,
        "device": torch.cuda.get_device_name() if device != "cpu" else platform.machine(),
        "threads": torch.get_num_threads(),
        "runs": runs,
        **compare(variants, {variant: 1 for variant in variants}, device, runs),
    }


def measure_batches(name: str, device: str, runs: int) -> dict[str, dict[str, float]]:
    """Median ms per observation of each batch, and its median ratio to the batch of one."""
    with tempfile.TemporaryDirectory() as folder:
        save_policy(build_policy(Path(folder), ARCHITECTURES[name]), Path(folder), None)
        base = PolicyRunner(folder, device, num_samples=4, replan_every=1)
    batches = BATCHES[:2] if name == "450m" and device == "cpu" else BATCHES
    runners = [base.sibling() for _ in range(batches[-1])]
    rng = np.random.default_rng(0)
    shape = (IMAGE_SIZE, IMAGE_SIZE, 3)
    observations = [
        Observation(
            {camera: rng.integers(0, 256, shape, dtype=np.uint8) for camera in CAMERAS},
            np.zeros(STATE_DIM, np.float32),
            TASK,
            0,
        )
        for _ in runners
    ]

    def together(size: int) -> Callable[[], object]:
        def plan() -> None:
            for runner in runners[:size]:
                runner.reset(0)  # makes it due again
            step_together(runners[:size], observations[:size])

        return plan

    variants = {f"batch {size}": together(size) for size in batches}
    return compare(variants, {f"batch {size}": size for size in batches}, device, runs)


def compare(
    variants: Mapping[str, Callable[[], object]],
    sizes: Mapping[str, int],
    device: str,
    runs: int,
) -> dict[str, dict[str, float]]:
    """Median ms per observation of each variant, in turn, and median ratio to the first one."""
    times: dict[str, list[float]] = {variant: [] for variant in variants}
    for run in range(runs + 1):
        for variant, call in variants.items():
            started = time.perf_counter()
            call()
            if device != "cpu":
                torch.cuda.synchronize()
            if run > 0:  # the first is a warm-up
                times[variant].append((time.perf_counter() - started) * 1e3 / sizes[variant])
    reference = next(iter(times.values()))
    return {
        "ms": {variant: round(statistics.median(t), 2) for variant, t in times.items()},
        "ratio": {
            variant: round(statistics.median(a / b for a, b in zip(t, reference, strict=True)), 3)
            for variant, t in times.items()
        },
    }


def show(measured: dict[str, dict[str, float]]) -> None:
    """Print a line for each variant."""
    for variant, ms in measured["ms"].items():
        sys.stdout.write(f"  {variant:<22}{ms:>10.1f} ms {measured['ratio'][variant]:>8.2f} x\n")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=ARCHITECTURES, action="append")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=0, help="0: 20 of tiny, 3 of 450m")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    results = []
    for name in given.model or ARCHITECTURES:
        runs = given.runs or (3 if name == "450m" else 20)
        with redirect_stdout(sys.stderr):  # LeRobot prints while it loads
            result = measure(name, given.device, runs)
            results.append(result | {"batch": measure_batches(name, given.device, runs)})
    if given.json:
        sys.stdout.write(json.dumps({"cpus": os.cpu_count(), "results": results}) + "\n")
        return
    for result in results:
        sys.stdout.write(
            f"{result['model']} ({result['parameters']:,} parameters, {result['device']}, "
            f"{result['threads']} threads, median of {result['runs']})\n"
        )
        show(result)  # type: ignore[arg-type]
        sys.stdout.write("  the runner with K = 4, per observation\n")
        show(result["batch"])  # type: ignore[arg-type]


if __name__ == "__main__":
    main()
