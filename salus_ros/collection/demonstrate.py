"""Demonstrations of a world's scripted expert, with noise on the motion and not on the labels."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from salus_ros.collection.attempts import Attempt, Parts, gather, joined
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import Outcome
from salus_ros.core.pool import Desk
from salus_ros.policies.tiny.demonstrations import Demonstrations, shrink
from salus_ros.recovery.guards import slow_down
from salus_ros.worlds.catalogue import WorldForm, world_form
from salus_ros.worlds.physics import ENV_ID

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
    env_id: str = ENV_ID,
    workers: int = 1,
    parts: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Demonstrations:
    """Record `episodes` successful episodes; the same seed gives the same data.

    Args:
        episodes: How many successful episodes to keep.
        seed: Attempt i starts the world with seed + i.
        size_px: Side of the images that are kept.
        env_id: World, see `world_form`.
        workers: Parallel processes.
        parts: Folder for the episodes on the way, see `Parts`; the same call goes on with it.
        progress: Called with the number of episodes kept so far.

    Raises:
        ConfigError: if there is no such world, or `parts` are of another call.
        StoreError: if the expert hardly ever succeeds.
    """
    attempts = range(seed, seed + 20 * episodes)
    work = partial(_work, size_px, env_id)
    settings = {"env_id": env_id, "seed": seed, "size_px": size_px}
    made = None if parts is None else Parts(parts, settings)
    kept = gather(work, attempts, episodes, workers, made, progress)
    if len(kept) < episodes:
        raise StoreError(f"only {len(kept)} of {20 * episodes} attempts of the expert succeeded")
    return joined(kept, world_form(env_id).cameras)


def _work(size_px: int, env_id: str, desk: Desk[int, Attempt]) -> None:
    """Body of a worker: attempt the episodes of the seeds it is given."""
    form = world_form(env_id)
    env = form.make(0)  # one for all: making an OpenGL context is slow
    for seed in desk:
        assert seed is not None  # one at a time
        made = attempt(form, env, partial(env.reset, seed=seed), seed, size_px)
        if made is not None:
            desk.send(seed, made)
        desk.done(seed)
    env.close()


def attempt(
    form: WorldForm,
    env: Any,
    begin: Callable[[], Any],
    seed: int,
    size_px: int,
    speed: float = 1.0,
) -> Attempt | None:
    """What the expert does from where an episode is, or None if it did not succeed.

    Args:
        form: Of the world.
        env: Its environment.
        begin: Brings it there, the same each time; called twice.
        seed: Of the noise.
        size_px: Side of the images that are kept.
        speed: Share of the largest command that the expert keeps to.
    """
    rng = np.random.default_rng(seed)
    level = NOISE_LEVELS[int(rng.integers(len(NOISE_LEVELS)))]
    begin()
    expert, done, info = form.expert(env), False, {}
    motion = noisy(rng, level, env.max_episode_steps)
    labels, executed = [], []
    while not done:
        meant = expert.act()
        labels.append(slow_down(meant, speed) if speed < 1.0 else meant)
        executed.append(motion(labels[-1]))
        _, _, terminated, truncated, info = env.step(executed[-1])
        done = terminated or truncated
    if info["outcome"] is not Outcome.SUCCESS:
        return None
    begin()
    images, states = _seen(form, env, executed, size_px)
    return Attempt(info["task"], images, states, np.stack(labels))


def noisy(
    rng: np.random.Generator, level: float, steps: int
) -> Callable[[npt.NDArray[np.float32]], npt.NDArray[np.float32]]:
    """Noise on the motion of an episode of so many steps: what is done of what was meant.

    Args:
        rng: Where it is drawn from.
        level: Its standard deviation, one of `NOISE_LEVELS`.
        steps: The most that the episode can have.
    """
    bursts = rng.uniform(size=steps) < NOISE_SHARE
    noise, done = np.zeros(3), 0

    def disturb(action: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        nonlocal noise, done
        done += 1
        noise = NOISE_MEMORY * noise + np.sqrt(1 - NOISE_MEMORY**2) * rng.normal(0, level, 3)
        disturbed = action.copy()
        burst = NOISE_AXES * bursts[done // NOISE_BURST_STEPS]
        disturbed[:3] = np.clip(disturbed[:3] + noise * burst, -1, 1)
        return disturbed

    return disturb


def _seen(
    form: WorldForm,
    env: Any,
    actions: Sequence[npt.NDArray[np.float32]],
    size_px: int,
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32]]:
    """What an episode shows before each of its actions: images, states.

    It is run again for that: rendering takes most of the time, and a failure needs none.
    """
    images, states = [], []
    for action in actions:
        observation = env.look()
        pixels = np.stack([observation["pixels"][camera] for camera in form.cameras])
        images.append(shrink(pixels, size_px))
        states.append(np.asarray(observation["agent_pos"], np.float32))
        env.step(action)
    return np.stack(images), np.stack(states)
