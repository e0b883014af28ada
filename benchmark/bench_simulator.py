"""Steps per second of the built-in world with three cameras, against the same without images.

python benchmark/bench_simulator.py [--json] [--steps 200]
"""

import argparse
import json
import os
import sys
import time

import numpy as np

from salus_ros.core.schema import RATE_HZ
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.mujoco.world import PickPlaceEnv


def steps_per_second(steps: int, *, render_images: bool) -> float:
    """Run the scripted expert for `steps` steps."""
    env = PickPlaceEnv(render_images=render_images)
    expert, seed, done = Expert(env), 0, True
    env.reset(seed=seed)
    elapsed = 0.0
    for _ in range(steps):
        if done:
            env.reset(seed=seed)
            expert.reset()
            seed += 1
        action = expert.act()
        started = time.perf_counter()
        _, _, terminated, truncated, _ = env.step(np.asarray(action))
        elapsed += time.perf_counter() - started
        done = terminated or truncated
    env.close()
    return steps / elapsed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    physics = steps_per_second(given.steps, render_images=False)
    cameras = steps_per_second(given.steps, render_images=True)
    result = {
        "cpus": os.cpu_count(),
        "steps": given.steps,
        "steps_per_s": {"three cameras": round(cameras, 1), "no images": round(physics, 1)},
        "ratio": {
            "no images": round(cameras / physics, 4),
            "real time": round(cameras / RATE_HZ, 2),
        },
    }
    if given.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    sys.stdout.write(
        f"world with three 256x256 cameras: {cameras:.0f} steps/s, {cameras / RATE_HZ:.1f} x real "
        f"time; without images {physics:.0f} steps/s\n"
    )


if __name__ == "__main__":
    main()
