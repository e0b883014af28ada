"""The default world under MuJoCo and under PhysX: do they agree, and what does a step cost?

Free fall, sliding and the arm at home by hand, the scripted expert over many seeds, and control
steps a second, without images and with three drawn at each step.

    python benchmark/engines.py [--episodes 100] [--seed 0] > benchmark/results/engines.json

PhysX has to be set up (docs/physx.md). Beside other work the steps a second mean little.
"""

import argparse
import json
import os
import platform
import shlex
import sys
import time
from collections import Counter
from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import (
    CUBE_MASS_KG,
    ENV_ID,
    GRAVITY_M_S2,
    NEWTON_ENV_ID,
    PHYSX_ENV_ID,
)

STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
FREE_PLACE = (0.6, -0.3)
"""Room on the table to slide in."""
DROP_M, DROP_STEPS = 0.5, 3
PUSH_N, PUSH_S = 2.0, 0.1
IMAGE_STEPS = 90


def make(env_id: str, **options: Any) -> PickPlaceEnv:
    """A world of its own."""
    env = gym.make(env_id, **options).unwrapped
    assert isinstance(env, PickPlaceEnv)
    return env


def put(env: PickPlaceEnv, height: float) -> NDArray[np.float64]:
    """Begin an episode with the red cube elsewhere; where it is from then on, (3,) in m."""
    import mujoco  # here: salus_ros.worlds chooses its OpenGL first

    env.reset(seed=0)
    q = int(env.model.joint("red_cube").qposadr[0])
    env.data.qpos[q : q + 7] = [*FREE_PLACE, height, 1.0, 0.0, 0.0, 0.0]
    mujoco.mj_forward(env.model, env.data)
    env._engine.load()
    place: NDArray[np.float64] = env.data.qpos[q : q + 3]
    return place


def fall(env: PickPlaceEnv) -> float:
    """How far a cube falls in the first steps, in m."""
    place = put(env, DROP_M)
    for _ in range(DROP_STEPS):
        env.step(STILL)
    return DROP_M - float(place[2])


def slide(env: PickPlaceEnv) -> float:
    """How far a cube slides that is pushed for a tenth of a second, in m."""
    place, body = put(env, 0.022), env.model.body("red_cube").id
    pushed = round(PUSH_S / env.physics.timestep_s)
    for step in range(10 * pushed):
        env.data.xfrc_applied[body, 0] = PUSH_N if step < pushed else 0.0
        env._engine.step()
    return float(place[0]) - FREE_PLACE[0]


def home(env: PickPlaceEnv) -> list[float]:
    """Where the tool is, in m, a second after an episode has begun with the arm at rest."""
    env.reset(seed=0)
    for _ in range(30):
        env.step(STILL)
    return [float(value) for value in env.arm.tool_position]


def by_formula(env: PickPlaceEnv) -> dict[str, float]:
    """What Newton and Coulomb have for `fall` and `slide`, in m."""
    seconds = DROP_STEPS * env.physics.substeps * env.physics.timestep_s
    friction = max(float(env.model.geom(name).friction[0]) for name in ("red_cube", "table"))
    braking = friction * GRAVITY_M_S2
    gaining = PUSH_N / CUBE_MASS_KG - braking
    speed = gaining * PUSH_S
    return {
        "fall_m": GRAVITY_M_S2 * seconds**2 / 2,
        "slide_m": gaining * PUSH_S**2 / 2 + speed**2 / (2 * braking),
    }


def attempt(env: PickPlaceEnv, expert: Expert, seed: int) -> tuple[str, int]:
    """How an episode without faults ends, and after how many steps."""
    env.reset(seed=seed)
    expert.reset()
    steps, done = 0, False
    while not done:
        _, _, terminated, truncated, info = env.step(expert.act())
        steps, done = steps + 1, terminated or truncated
    return ("success" if info["is_success"] else str(info["failure_cause"])), steps


def without_images(env_id: str, seeds: Sequence[int]) -> dict[str, Any]:
    """Physics by hand, and an episode of each seed by the expert."""
    env = make(env_id, render_images=False)
    found: dict[str, Any] = {"fall_m": fall(env), "slide_m": slide(env), "home_m": home(env)}
    expert, started = Expert(env), time.perf_counter()
    endings, steps = zip(*(attempt(env, expert, seed) for seed in seeds), strict=True)
    seconds = time.perf_counter() - started
    env.close()
    successes = endings.count("success")
    return found | {
        "expert": {
            "endings": dict(Counter(endings).most_common()),
            "success_rate": successes / len(endings),
            "success_interval_95": list(wilson_interval(successes, len(endings))),
            "median_steps": float(np.median(steps)),
        },
        "steps_per_s": sum(steps) / seconds,
    }


def with_images(env_id: str) -> float:
    """Control steps a second with three images drawn at each, the first steps left out."""
    env = make(env_id)
    env.reset(seed=0)
    for _ in range(5):
        env.step(STILL)
    started = time.perf_counter()
    for _ in range(IMAGE_STEPS):
        env.step(STILL)
    seconds = time.perf_counter() - started
    env.close()
    return IMAGE_STEPS / seconds


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=100, help="of the expert, per engine")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    given = parser.parse_args()
    seeds = range(given.seed, given.seed + given.episodes)
    worlds: dict[str, Any] = {}
    for env_id in (ENV_ID, PHYSX_ENV_ID):
        worlds[env_id] = without_images(env_id, seeds)
        sys.stderr.write(f"{env_id}: {worlds[env_id]}\n")
    for env_id in (ENV_ID, PHYSX_ENV_ID, NEWTON_ENV_ID):
        worlds.setdefault(env_id, {})["steps_per_s_with_images"] = with_images(env_id)
    env = make(ENV_ID, render_images=False)
    formula = by_formula(env)
    env.close()
    apart = np.subtract(*(worlds[env_id]["home_m"] for env_id in (ENV_ID, PHYSX_ENV_ID)))
    result = {
        "benchmark": "engines",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "episodes_of_the_expert": given.episodes,
        "by_formula": formula,
        "tools_at_home_apart_m": float(np.linalg.norm(apart)),
        "worlds": worlds,
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
