"""Success rate of a policy in the built-in world, with a binomial interval."""

from collections import Counter
from collections.abc import Callable
from typing import Any

from scipy.stats import binomtest

from salus_ros.core.failures import Outcome
from salus_ros.core.schema import CAMERAS, STATE_DIM
from salus_ros.signals.runner import SmolVLARunner
from salus_ros.sim.world import PickPlaceEnv

HELD_OUT_SEED = 1_000_000
"""Episodes of evaluations start here, demonstrations and recordings far below."""


def evaluate_policy(
    runner: SmolVLARunner,
    episodes: int,
    seed: int = HELD_OUT_SEED,
    progress: Callable[[int, str], None] | None = None,
) -> dict[str, Any]:
    """Run `episodes` episodes; episode i has seed + i for the world and the policy's noise.

    Args:
        runner: The policy.
        episodes: How many episodes, at least 1.
        seed: Of the first episode.
        progress: Called with the number of episodes done and the last one's ending.

    Returns:
        Counts by ending, success rate with its 95 % Wilson interval, mean length in steps.
    """
    endings: Counter[str] = Counter()
    steps = 0
    env = PickPlaceEnv()
    try:
        for i in range(episodes):
            info, length = run_episode(env, runner, seed + i)
            success = info["outcome"] is Outcome.SUCCESS
            ending = "success" if success else info["failure_type"].label
            endings[ending] += 1
            steps += length
            if progress is not None:
                progress(i + 1, ending)
    finally:
        env.close()
    interval = binomtest(endings["success"], episodes).proportion_ci(method="wilson")
    return {
        "policy": runner.policy_id,
        "episodes": episodes,
        "first_seed": seed,
        "success_rate": endings["success"] / episodes,
        "success_interval_95": [interval.low, interval.high],
        "endings": dict(sorted(endings.items())),
        "mean_steps": steps / episodes,
    }


def run_episode(env: PickPlaceEnv, runner: SmolVLARunner, seed: int) -> tuple[dict[str, Any], int]:
    """Run one episode in lockstep; returns the last info and the number of steps."""
    observation, info = env.reset(seed=seed)
    runner.reset(seed)
    step, done = 0, False
    while not done:
        images = {name: observation["pixels"][name] for name in CAMERAS}
        state = observation["agent_pos"][:STATE_DIM]
        action = runner.step(images, state, info["task"], step).action
        observation, _, terminated, truncated, info = env.step(action.clip(-1.0, 1.0))
        step, done = step + 1, terminated or truncated
    return info, step
