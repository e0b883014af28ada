"""How often MetaWorld's scripted experts succeed in our world, by task and motion noise.

python benchmark/metaworld_experts.py [--episodes N] [--out FILE]

Says what else the episodes end in, as our referee has it. The noise is that of
`salus policy demonstrate`, at one strength for all episodes.
"""

import argparse
import json
import math
import time
from collections import Counter
from pathlib import Path

import mujoco
import numpy as np

from salus_ros.collection.demonstrate import NOISE_LEVELS, noisy
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.worlds.catalogue import world_form
from salus_ros.worlds.metaworld import SMALL_ENV_ID

RESULT = Path(__file__).parent / "results" / "metaworld_experts.json"


def measure(env, expert, task: str, level: float, seeds: range) -> dict:
    """Run an episode of each seed, without images."""
    endings, causes, steps = Counter(), Counter(), []
    force, began = 0.0, time.process_time()
    for seed in seeds:
        _, info = env.reset(seed=seed, options={"task": task})
        motion, done = noisy(np.random.default_rng(seed), level, env.max_episode_steps), False
        while not done:
            _, _, terminated, truncated, info = env.step(motion(expert.act()))
            done = terminated or truncated
            force = max(force, info["truth"]["fixture_force_n"])
        endings["success" if info["is_success"] else info["failure_type"].label] += 1
        causes[str(info["failure_cause"])] += 1
        steps.append(env._steps)
    return {
        "success_rate": endings["success"] / len(seeds),
        "success_interval_95": list(wilson_interval(endings["success"], len(seeds))),
        "endings": dict(endings),
        "causes": {cause: n for cause, n in causes.items() if cause != "none"},
        "median_steps": float(np.median(steps)),
        "largest_fixture_force_n": round(force, 1),
        "cpu_ms_per_step": round((time.process_time() - began) / sum(steps) * 1e3, 2),
    }


def main(episodes: int, out: Path) -> None:
    """Measure all tasks and write the result."""
    form = world_form(SMALL_ENV_ID)
    env = form.make(0)
    expert, seeds = form.expert(env), range(episodes)
    tasks: dict[str, dict] = {task: {} for task in form.tasks}
    for task, found in tasks.items():
        for level in NOISE_LEVELS:
            found[str(level)] = measure(env, expert, task, level, seeds)
        rates = ", ".join(f"{level}: {one['success_rate']:.2f}" for level, one in found.items())
        print(f"{task:60} {rates}", flush=True)
    env.close()
    result = {
        "world": SMALL_ENV_ID,
        "mujoco": mujoco.__version__,
        "seeds": [0, episodes - 1],
        "noise_levels": list(NOISE_LEVELS),
        "tasks": tasks,
        "all": {
            str(level): math.fsum(one[str(level)]["success_rate"] for one in tasks.values())
            / len(tasks)
            for level in NOISE_LEVELS
        },
    }
    out.write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Measure MetaWorld's scripted experts.")
    parser.add_argument("--episodes", type=int, default=20, help="of each task and noise")
    parser.add_argument("--out", type=Path, default=RESULT)
    main(**vars(parser.parse_args()))
