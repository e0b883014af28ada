"""Cost of looking ahead along the plan, against one replan of the policy that made it.

python benchmark/bench_lookahead.py [--json] [--steps 150]
"""

import argparse
import json
import os
import sys
import time

import numpy as np
import torch

from salus_ros.messages.joints import joint_keys
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tiny import shipped_policy
from salus_ros.prediction.lookahead import StepLookahead
from salus_ros.recording.joint_columns import joint_sample
from salus_ros.recording.policy_columns import signals_row
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import ENV_ID


def measure(steps: int) -> dict[str, list[float]]:
    """Milliseconds of each step: replans of the policy, looks at replans, and looks in between."""
    torch.set_num_threads(1)
    env = PickPlaceEnv(physics=PHYSICS[ENV_ID], render_every=3)
    runner = PolicyRunner(shipped_policy(ENV_ID), "cpu", 4, 3)
    look = StepLookahead(ENV_ID)
    found: dict[str, list[float]] = {"replan": [], "look": [], "between": []}
    seed, over, step = 0, True, 0
    for _ in range(steps):
        if over:
            seen, info = env.reset(seed=seed)
            runner.reset(seed)
            look.reset()
            seed, step = seed + 1, 0
        pixels = seen["pixels"]
        started = time.perf_counter()
        answer = runner.step(pixels, seen["agent_pos"], info["task"], step)
        planned = time.perf_counter()
        names = tuple(info["joint_names"])
        said = {
            "position": (names, info["joint_positions"]),
            "velocity": (names, info["joint_velocities"]),
        }
        values = dict(zip(joint_keys(names), joint_sample(names, said), strict=True))
        joints = np.array([[values[key] for key in look.keys]], np.float32)
        row = signals_row(answer, runner.cameras)
        before = time.perf_counter()
        look.read(row, step, joints)
        done = time.perf_counter()
        if answer.fresh:
            found["replan"].append((planned - started) * 1e3)
        found["look" if answer.fresh else "between"].append((done - before) * 1e3)
        seen, _, terminated, truncated, info = env.step(answer.action)
        over, step = terminated or truncated, step + 1
    env.close()
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    found = measure(given.steps)
    quantiles = {
        name: {
            "p50": round(float(np.median(ms)), 2),
            "p99": round(float(np.quantile(ms, 0.99)), 2),
        }
        for name, ms in found.items()
    }
    per_step = (sum(found["look"]) + sum(found["between"])) / given.steps
    result = {
        "cpus": os.cpu_count(),
        "steps": given.steps,
        "ms": quantiles,
        "ms_per_step": round(per_step, 2),
        "ratio": round(float(np.median(found["look"]) / np.median(found["replan"])), 3),
    }
    if given.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    sys.stdout.write(
        f"a look ahead takes {quantiles['look']['p50']:.1f} ms (p99 {quantiles['look']['p99']:.1f}"
        f"), {result['ratio']:.2f} of the replan before it ({quantiles['replan']['p50']:.1f} ms); "
        f"between replans {quantiles['between']['p50']:.2f} ms; {per_step:.1f} ms a step in all\n"
    )


if __name__ == "__main__":
    main()
