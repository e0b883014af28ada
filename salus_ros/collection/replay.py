"""A collected episode run again: the same world, the same seed, and the actions it recorded."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import Episode, EpisodeMeta
from salus_ros.episodes.columns import columns
from salus_ros.worlds.adapter import cause_of
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.truth import COLUMNS, QUANTITIES
from salus_ros.worlds.mujoco.world import Info, Observation, PickPlaceEnv
from salus_ros.worlds.physics import FIRST_ENV_ID
from salus_ros.worlds.truth import truth_row

STATE_ATOL_RAD = 1e-6
"""How far a replayed joint may be measured from the recorded one: mathematical functions differ in
the last bit between processors."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What became of an episode when it was run again.

    Attributes:
        meta: How it was recorded.
        ended: Whether it ended with its last recorded action, and not before.
        outcome: How it ended now.
        failure_type: Kind of failure now.
        failure_step: Its step now.
        failure_cause: Why it failed now, in the world's own words.
        state_error_rad: Largest difference of a measured joint at any step.
        truth_error: Largest difference of a value of the truth at any step, in its unit; NaN
            where none is recorded.
    """

    meta: EpisodeMeta
    ended: bool
    outcome: Outcome
    failure_type: FailureType
    failure_step: int
    failure_cause: str
    state_error_rad: float
    truth_error: float

    @property
    def repeats(self) -> bool:
        """Whether it ended at the same step, in the same way."""
        meta = self.meta
        return (
            self.ended
            and self.outcome is meta.outcome
            and self.failure_type is meta.failure_type
            and self.failure_step == meta.failure_step
            and self.failure_cause == (meta.failure_cause or self.failure_cause)
        )


def world_of(metas: list[EpisodeMeta]) -> str:
    """The built-in world that episodes ran in.

    Raises:
        ConfigError: if it is not one, or they have no seeds.
    """
    worlds = sorted({meta.world or FIRST_ENV_ID for meta in metas})  # once there was but one
    if len(worlds) != 1 or worlds[0] not in PHYSICS:
        raise ConfigError(
            f"the episodes ran in {', '.join(worlds) or 'no world'}; only those of one of "
            f"{', '.join(PHYSICS)} can be run again"
        )
    if min(meta.seed for meta in metas) < 0:
        raise ConfigError("an episode has no seed, so it cannot be run again; collect others")
    return worlds[0]


def advance(
    env: PickPlaceEnv, meta: EpisodeMeta, actions: NDArray[np.float32]
) -> tuple[Observation, Info]:
    """Bring a world to where an episode was after its first actions.

    Args:
        env: The world.
        meta: The episode's.
        actions: The first ones of those recorded, (T, 7).

    Returns:
        Observation and info of step T.
    """
    options = {"task": meta.task, "fault": meta.fault, "condition": meta.condition}
    observation, info = env.reset(seed=meta.seed, options=options)
    for action in actions:
        observation, _, _, _, info = env.step(action)
    return observation, info


def replay(env: PickPlaceEnv, episode: Episode, truth_names: Sequence[str] = COLUMNS) -> Replay:
    """Run a recorded episode again and compare.

    Args:
        env: A world with the same physics.
        episode: The episode.
        truth_names: Names of its truth's columns.
    """
    meta, truth = episode.meta, episode.truth
    order = columns(COLUMNS, truth_names, "truth")
    observation, info = advance(env, meta, episode.action[:0])
    state_error, ended, early = 0.0, False, False
    truth_error = math.nan if truth is None else 0.0
    for step, action in enumerate(episode.action):
        early |= ended
        state_error = max(state_error, _gap(observation["agent_pos"], episode.state[step]))
        if truth is not None:
            gap = _gap(truth_row(info["truth"], QUANTITIES), truth[step][order])
            truth_error = max(truth_error, gap)
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    return Replay(
        meta=meta,
        ended=ended and not early,
        outcome=info["outcome"],
        failure_type=info["failure_type"],
        failure_step=info["failure_step"],
        failure_cause=cause_of(info),
        state_error_rad=state_error,
        truth_error=truth_error,
    )


def _gap(now: NDArray[np.floating], then: NDArray[np.floating]) -> float:
    return float(np.abs(now - then).max())
