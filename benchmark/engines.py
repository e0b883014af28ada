"""The scripted expert in the default world under MuJoCo and under PhysX: endings and speed.

python benchmark/engines.py [--episodes 100] [--seed 0] [--json]
"""

import argparse
import json
import time
from collections import Counter
from typing import Any

import gymnasium as gym
import numpy as np

from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import ENV_ID, PHYSX_ENV_ID


def episode(env: PickPlaceEnv, expert: Expert, seed: int) -> tuple[str, int]:
    """How an episode without faults ends, and after how many steps."""
    env.reset(seed=seed)
    expert.reset()
    steps, done = 0, False
    while not done:
        _, _, terminated, truncated, info = env.step(expert.act())
        steps, done = steps + 1, terminated or truncated
    return ("success" if info["is_success"] else str(info["failure_cause"])), steps


def measure(env_id: str, seeds: range) -> dict[str, Any]:
    """Run an episode of each seed."""
    env = gym.make(env_id, render_images=False).unwrapped
    assert isinstance(env, PickPlaceEnv)
    expert, started = Expert(env), time.perf_counter()
    endings, steps = zip(*(episode(env, expert, seed) for seed in seeds), strict=True)
    seconds = time.perf_counter() - started
    env.close()
    successes = endings.count("success")
    return {
        "endings": dict(Counter(endings).most_common()),
        "success_rate": successes / len(endings),
        "success_interval_95": list(wilson_interval(successes, len(endings))),
        "median_steps": float(np.median(steps)),
        "steps_per_s": sum(steps) / seconds,
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.episodes)
    result = {
        "benchmark": "engines",
        "command": f"python benchmark/engines.py --episodes {given.episodes} --seed {given.seed}",
        "worlds": {env_id: measure(env_id, seeds) for env_id in (ENV_ID, PHYSX_ENV_ID)},
    }
    if given.json:
        print(json.dumps(result, indent=2))
        return
    for env_id, found in result["worlds"].items():
        low, high = found["success_interval_95"]
        print(
            f"{env_id}: {found['endings']}, success {found['success_rate']:.3f} "
            f"({low:.3f} to {high:.3f}), {found['steps_per_s']:.1f} steps/s"
        )


if __name__ == "__main__":
    main()
