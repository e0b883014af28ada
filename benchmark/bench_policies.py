"""What the signals cost each kind of policy: a replan against LeRobot's own call for one chunk.

Random weights of LeRobot's own sizes for ACT and diffusion (ten DDIM steps); of pi0 and pi0.5 some
26 million parameters, since LeRobot knows them with 3 billion alone. Two cameras of 240 x 320
pixels. The replan is the whole runner: pictures in, K chunks, action and signals out.

    python benchmark/bench_policies.py [--policy act ...] [--runs 5] [--device cpu] [--json]
"""

import argparse
import json
import os
import platform
import shlex
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch
from random_policies import PiSizes, make_pi_small, save

from salus_ros.policies.conformance import made_up, replan_cost
from salus_ros.policies.runner import PolicyRunner

CAMERAS, SIZE = ("top", "wrist"), (240, 320)
SAMPLES = (1, 4, 8)
MIDDLING = PiSizes(
    vlm=(384, 1536),
    expert=(192, 768),
    vision=(256, 768),
    depth=8,
    vision_depth=6,
    heads=4,
    head_dim=64,
)
OPTIONS: dict[str, dict[str, Any]] = {
    "act": {},
    "diffusion": {"crop_shape": None, "noise_scheduler_type": "DDIM", "num_inference_steps": 10},
    "pi0": {},
    "pi05": {},
}


def measure(kind: str, device: str, runs: int) -> dict[str, Any]:
    """Median ms of both for each K, and their ratio."""
    with tempfile.TemporaryDirectory() as root:
        folder = save(Path(root, kind), kind, CAMERAS, size=SIZE, **OPTIONS[kind])
        by_number = {}
        for number in SAMPLES:
            runner = PolicyRunner(folder, device, num_samples=number, replan_every=1)
            given = next(made_up(folder, runner))
            replan_cost(runner, given, 1)  # a warm-up
            ours, own = replan_cost(runner, given, runs)
            by_number[f"K={number}"] = {
                "ms": round(ours, 1),
                "own_ms": round(own, 1),
                "ratio": round(ours / own, 3),
            }
        parameters = sum(p.numel() for p in runner._tap._loaded.policy.parameters())
    return {"policy": kind, "parameters": parameters, "signals": by_number}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--policy", choices=OPTIONS, action="append")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    for kind in ("pi0", "pi05"):
        make_pi_small(setattr, kind, MIDDLING)
    results = [measure(kind, given.device, given.runs) for kind in given.policy or OPTIONS]
    if given.json:
        about = {
            "benchmark": "policies",
            "command": shlex.join(["python", *sys.argv]),
            "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})"
            if given.device == "cpu"
            else torch.cuda.get_device_name(given.device),
            "threads": torch.get_num_threads(),
        }
        sys.stdout.write(json.dumps(about | {"results": results}, indent=1) + "\n")
        return
    for result in results:
        sys.stdout.write(f"{result['policy']}, {result['parameters']:,} parameters\n")
        for number, found in result["signals"].items():
            sys.stdout.write(
                f"  {number}: {found['ms']:.0f} ms, {found['ratio']:.2f} x LeRobot's own call "
                f"({found['own_ms']:.0f} ms)\n"
            )


if __name__ == "__main__":
    main()
