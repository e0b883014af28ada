"""Demonstrations of the scripted expert, with noise on the motion and not on the labels."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import Outcome
from salus_ros.core.pool import Desk, Lost, Pool
from salus_ros.policies.registry import POLICY_MODULES
from salus_ros.policies.tiny.demonstrations import Demonstrations, shrink
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import ENV_ID

if TYPE_CHECKING:
    from salus_ros.worlds.mujoco.world import PickPlaceEnv

NOISE_LEVELS = (0.0, 0.3, 0.6)
"""Standard deviations of the motion noise in units of the action; drawn per episode."""

NOISE_BURST_STEPS = 12
NOISE_SHARE = 0.4
"""The noise comes in bursts, so that the expert shows both how to recover and how to finish."""

NOISE_AXES = np.array([1.0, 1.0, 0.5])
"""Less noise downwards: there is the table."""

NOISE_MEMORY = 0.8
"""Correlation of the noise from one step to the next (Ornstein-Uhlenbeck)."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A successful episode of T steps: see `Demonstrations`."""

    task: str
    images: npt.NDArray[np.uint8]
    state: npt.NDArray[np.float32]
    action: npt.NDArray[np.float32]


def record(
    episodes: int,
    seed: int,
    size_px: int,
    env_id: str = ENV_ID,
    workers: int = 1,
    progress: Callable[[int], None] | None = None,
) -> Demonstrations:
    """Record `episodes` successful episodes; the same seed gives the same data.

    Args:
        episodes: How many successful episodes to keep.
        seed: Attempt i starts the world with seed + i.
        size_px: Side of the images that are kept.
        env_id: World, one of `PHYSICS`.
        workers: Parallel processes.
        progress: Called with the number of episodes kept so far.
    """
    kept: list[Attempt] = []
    attempts = range(seed, seed + 20 * episodes)
    work = partial(_work, size_px, env_id)
    with Pool(
        work, attempts, workers, restart=True, ahead=8 * workers, preload=POLICY_MODULES
    ) as pool:
        for _, attempt in pool.results():
            assert not isinstance(attempt, Lost)  # what a worker lost is run again
            kept.append(attempt)
            if progress is not None:
                progress(len(kept))
            if len(kept) == episodes:
                break
    if len(kept) < episodes:
        raise StoreError(f"only {len(kept)} of {20 * episodes} attempts of the expert succeeded")
    return Demonstrations(
        images=np.concatenate([attempt.images for attempt in kept]),
        state=np.concatenate([attempt.state for attempt in kept]),
        action=np.concatenate([attempt.action for attempt in kept]),
        ends=np.cumsum([len(attempt.state) for attempt in kept]),
        tasks=tuple(attempt.task for attempt in kept),
    )


def _work(size_px: int, env_id: str, desk: Desk[int, Attempt]) -> None:
    """Body of a worker: attempt the episodes of the seeds it is given."""
    from salus_ros.worlds.mujoco.world import PickPlaceEnv

    env = PickPlaceEnv(physics=PHYSICS[env_id])  # one for all: making an OpenGL context is slow
    for seed in desk:
        assert seed is not None  # one at a time
        attempt = _attempt(env, seed, size_px)
        if attempt is not None:
            desk.send(seed, attempt)
        desk.done(seed)
    env.close()


def _attempt(env: "PickPlaceEnv", seed: int, size_px: int) -> Attempt | None:
    """An episode of the expert, or None if it did not succeed."""
    from salus_ros.worlds.expert import Expert

    rng, expert = np.random.default_rng(seed), Expert(env)
    level = NOISE_LEVELS[int(rng.integers(len(NOISE_LEVELS)))]
    observation, info = env.reset(seed=seed)
    images, states, actions = [], [], []
    bursts = rng.uniform(size=env.max_episode_steps) < NOISE_SHARE
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
    return Attempt(info["task"], np.stack(images), np.stack(states), np.stack(actions))
