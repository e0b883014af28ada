"""Demonstrations of the scripted expert, with noise on the motion and not on the labels."""

import multiprocessing
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import Outcome
from salus_ros.core.schema import CAMERAS, MAX_EPISODE_STEPS
from salus_ros.policies.tiny.demonstrations import Demonstrations, shrink

NOISE_LEVELS = (0.0, 0.3, 0.6)
"""Standard deviations of the motion noise in units of the action; drawn per episode."""

NOISE_BURST_STEPS = 12
NOISE_SHARE = 0.4
"""The noise comes in bursts, so that the expert shows both how to recover and how to finish."""

NOISE_AXES = np.array([1.0, 1.0, 0.5])
"""Less noise downwards: there is the table."""

NOISE_MEMORY = 0.8
"""Correlation of the noise from one step to the next (Ornstein-Uhlenbeck)."""


def record(
    episodes: int,
    seed: int,
    size_px: int,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Demonstrations:
    """Record `episodes` successful episodes; the same seed gives the same data.

    Args:
        episodes: How many successful episodes to keep.
        seed: Attempt i starts the world with seed + i.
        size_px: Side of the images that are kept.
        workers: Parallel processes.
        progress: Called with the number of episodes kept so far.
    """
    kept: list[tuple[str, npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray]] = []
    context = multiprocessing.get_context("spawn")
    jobs = ((seed + i, size_px) for i in range(20 * episodes))
    with context.Pool(workers) as pool:
        for result in pool.imap(_attempt, jobs):
            if result is not None:
                kept.append(result)
                if progress is not None:
                    progress(len(kept))
            if len(kept) == episodes:
                break
        pool.terminate()
    if len(kept) < episodes:
        raise StoreError(f"only {len(kept)} of {20 * episodes} attempts of the expert succeeded")
    return Demonstrations(
        images=np.concatenate([k[1] for k in kept]),
        state=np.concatenate([k[2] for k in kept]),
        action=np.concatenate([k[3] for k in kept]),
        ends=np.cumsum([len(k[2]) for k in kept]),
        tasks=tuple(k[0] for k in kept),
    )


_ENV = None


def _attempt(job: tuple[int, int]):
    from salus_ros.worlds.expert import Expert
    from salus_ros.worlds.mujoco.world import PickPlaceEnv

    global _ENV  # one world per process: making an OpenGL context is slow
    if _ENV is None:
        torch.set_num_threads(1)
        _ENV = PickPlaceEnv()
    seed, size_px = job
    env, rng = _ENV, np.random.default_rng(seed)
    expert = Expert(env)
    level = NOISE_LEVELS[int(rng.integers(len(NOISE_LEVELS)))]
    observation, info = env.reset(seed=seed)
    images, states, actions = [], [], []
    bursts = rng.uniform(size=MAX_EPISODE_STEPS) < NOISE_SHARE
    noise, done = np.zeros(3), False
    while not done:
        action = expert.act()
        images.append(shrink(np.stack([observation["pixels"][c] for c in CAMERAS]), size_px))
        states.append(observation["agent_pos"])
        actions.append(action)
        noise = NOISE_MEMORY * noise + np.sqrt(1 - NOISE_MEMORY**2) * rng.normal(0, level, 3)
        executed = action.copy()
        burst = NOISE_AXES * bursts[len(actions) // NOISE_BURST_STEPS]
        executed[:3] = np.clip(executed[:3] + noise * burst, -1, 1)
        observation, _, terminated, truncated, info = env.step(executed)
        done = terminated or truncated
    if info["outcome"] is not Outcome.SUCCESS:
        return None
    return info["task"], np.stack(images), np.stack(states), np.stack(actions)
