"""When the triggers fire that a trial plans from what happened without intervention."""

from collections.abc import Sequence

import numpy as np

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.recovery.watch import Forecast

ORACLE_LEAD_STEPS = 30
"""An oracle acts so long before the failure."""

NEVER = -1


def first_alarms(forecasts: Sequence[Sequence[Forecast]]) -> list[int]:
    """First step with an alarm of each episode; `NEVER` without one."""
    return [
        next((step for step, one in enumerate(episode) if one.alarm), NEVER)
        for episode in forecasts
    ]


def planned_steps(
    trigger: str,
    metas: Sequence[EpisodeMeta],
    lengths: Sequence[int],
    alarms: Sequence[int],
    limit: int,
    seed: int,
) -> list[int]:
    """When a planned trigger fires in each episode.

    - random: the alarm's own steps, given to episodes at random that are still running then;
    - clock: one step for all, at which as many episodes still run as alarm at all;
    - oracle: `ORACLE_LEAD_STEPS` before the failure, and half of the limit before it where the
      time ran out.

    Args:
        trigger: One of these.
        metas: The episodes without intervention.
        lengths: Their steps.
        alarms: Their first alarms.
        limit: Time limit in steps.
        seed: Of the draw.

    Returns:
        Step of each; `NEVER` where it does not fire.
    """
    fired = sorted((step for step in alarms if step != NEVER), reverse=True)
    match trigger:
        case "random":
            return _random(fired, lengths, seed)
        case "clock":
            return [_clock(len(fired), lengths)] * len(metas)
        case _:
            return [_oracle(meta, limit) for meta in metas]


def _random(fired: Sequence[int], lengths: Sequence[int], seed: int) -> list[int]:
    steps, rng = np.full(len(lengths), NEVER), np.random.default_rng(seed)
    for step in fired:  # the latest first: for it the fewest are left
        free = np.flatnonzero((np.asarray(lengths) > step) & (steps == NEVER))
        steps[rng.choice(free)] = step
    return [int(step) for step in steps]


def _clock(fired: int, lengths: Sequence[int]) -> int:
    if not fired:
        return NEVER
    running = [sum(length > step for length in lengths) for step in range(max(lengths))]
    return int(np.argmin(np.abs(np.array(running) - fired)))


def _oracle(meta: EpisodeMeta, limit: int) -> int:
    if meta.outcome is not Outcome.FAILURE:
        return NEVER
    if meta.failure_type is FailureType.TIMEOUT:
        return limit // 2
    return max(0, meta.failure_step - ORACLE_LEAD_STEPS)
