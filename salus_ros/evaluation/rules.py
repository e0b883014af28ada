"""Rules that know nothing of the policy; what a detector has to add to, in every table.

The clock, the task's share of failures, and the robot that does not get away from where it is.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import Outcome
from salus_ros.training.dataset import EpisodeRecord, Samples

Score = NDArray[np.float64]

STUCK_S = 1.0
"""The rule says stuck after this time in the box: 30 steps at 30 Hz."""

TOOL_BOX_M = 0.06
"""Side of the cube that a stuck tool stays in."""

JOINT_BOX_RAD = 0.15
"""The same for each column of a state without a tool position. On the shipped episodes it holds
for as many steps as the cube of the tool (17.4 and 17.7 %), the same ones in 94 %, and finds as
many timeouts (99.6 and 99.1 %); positions of the tool by forward kinematics."""

STUCK = float(np.nextafter(1.0, 0.0))
"""The rule's own threshold: it alarms where the score exceeds it, from 1 on."""

AXES = ("x", "y", "z")


def clock(samples: Samples) -> Score:
    """The step, (N,)."""
    return samples.step.astype(np.float64)


class TaskPrior:
    """Share of failures of each task; the overall share for a task that is new.

    Args:
        records: Episodes to count; NaN is said of all tasks where there are none.
    """

    def __init__(self, records: Sequence[EpisodeRecord]) -> None:
        ends: dict[str, list[bool]] = defaultdict(list)
        for record in records:
            ends[record.meta.task].append(record.meta.outcome == Outcome.FAILURE)
        every = [bad for one in ends.values() for bad in one]
        self._rate = {task: float(np.mean(one)) for task, one in ends.items()}
        self._overall = float(np.mean(every)) if every else float("nan")

    def __call__(self, samples: Samples) -> Score:
        """The share, at every step (N,)."""
        rates = [self._rate.get(r.meta.task, self._overall) for r in samples.records]
        return np.asarray(rates, dtype=np.float64)[samples.episode]


def stuck(samples: Samples) -> Score:
    """How long the robot has been in a small box up to each step, over `STUCK_S`.

    The box is a cube of `TOOL_BOX_M` where the state names a position of the tool, columns
    "<part>.x", "<part>.y" and "<part>.z"; else of `JOINT_BOX_RAD` in each column of the state. The
    declared rule is a score of 1 or more; a longer stay is a surer one.

    Returns:
        Float64 (N,), above 0; NaN where the state is not finite.

    Raises:
        ValueError: if the samples have no state, see `stuck_lacks`.
    """
    if samples.state is None:
        raise ValueError(stuck_lacks(samples))
    tool = _tool_columns(samples.state_names)
    place = samples.state[:, tool] if tool else samples.state
    side = TOOL_BOX_M if tool else JOINT_BOX_RAD
    steps = steps_in_box(place, [record.length for record in samples.records], side)
    rate = np.array([record.meta.rate_hz for record in samples.records])[samples.episode]
    return np.where(steps > 0, steps / rate / STUCK_S, np.nan)


def stuck_lacks(samples: Samples) -> str:
    """Say what `stuck` lacks; "" where it can run."""
    if samples.state is None:
        return "the episodes have no state of one width"
    return "" if np.isfinite(samples.state).all(axis=1).any() else "the state was never finite"


def steps_in_box(
    values: NDArray[np.floating], lengths: Sequence[int], side: float
) -> NDArray[np.int64]:
    """For how many steps, up to each one, every column has kept within a box.

    Args:
        values: (N, D), the steps of one episode after the other.
        lengths: Steps of each episode, N in all.
        side: Largest minus smallest value of a column that is allowed.

    Returns:
        Int64 (N,), at least 1; 0 where a value is not finite.
    """
    first = np.repeat(np.cumsum(lengths) - lengths, lengths)
    rows = np.flatnonzero(np.isfinite(values).all(axis=1))
    steps = np.zeros(len(values), np.int64)
    low = high = values[rows]
    width = 1
    while rows.size:  # those whose last `width` steps fit
        steps[rows] = width
        there = rows - width >= first[rows]
        rows, low, high = rows[there], low[there], high[there]
        earlier = values[rows - width]
        low, high = np.minimum(low, earlier), np.maximum(high, earlier)  # NaN fits in no box
        fits = (high - low <= side).all(axis=1)
        rows, low, high = rows[fits], low[fits], high[fits]
        width += 1
    return steps


def _tool_columns(names: Sequence[str]) -> list[int]:
    """Columns of the first position in a state, x, y and z; none where it names none."""
    for name in names:
        part, _, axis = name.rpartition(".")
        wanted = [f"{part}.{one}" for one in AXES]
        if axis == AXES[0] and set(wanted) <= set(names):
            return [list(names).index(one) for one in wanted]
    return []
