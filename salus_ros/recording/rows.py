"""Rows of an episode, and what becomes of them: a block, a whole episode, or nothing."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import RATE_HZ
from salus_ros.episodes import EpisodeMeta, StoreReader
from salus_ros.recording.time import NANO

STATE, ACTION, SIGNALS, PREDICTION = "state", "action", "signals", "prediction"
"""Names of the streams that are no cameras."""

JOINT = "joint"
"""Stream of all that joint states say; its messages are those of the state."""

TRUTH = "truth"
"""Stream of what only a world can know; no message carries it."""

type Refused = Callable[[str, ObservationError], object]
"""Told the stream, or the column, and the reason of what cannot be used."""

NUMBERS = (STATE, ACTION, SIGNALS, PREDICTION)


@dataclass(slots=True)
class Row:
    """One step of an episode.

    Attributes:
        step: Its number.
        stamp_ns: Its stamp, that of the observation the policy answered.
        action: Float32 (A,); None when there is none.
        inputs: Stamps of the samples that the action was computed from, by stream; where they
            are known, these and no others are used.
        intervention: What acted in the policy's place, see `episodes.interventions`; empty for
            the policy.
        samples: The sample that was used, by stream; None for a gap. Images may still be
            serialised.
        age_ms: Its age at the stamp, by stream; NaN for a gap, negative for a sample that the
            policy used though it was stamped later.
        settled_at: When the row began to wait for late messages; None before.
    """

    step: int
    stamp_ns: int
    action: NDArray[np.float32] | None = None
    inputs: Mapping[str, Sequence[int]] = field(default_factory=dict)
    intervention: str = ""
    samples: dict[str, Any] = field(default_factory=dict)
    age_ms: dict[str, float] = field(default_factory=dict)
    settled_at: float | None = None

    @property
    def size(self) -> int:
        """Bytes of its images."""
        return sum(size_of(sample) for sample in self.samples.values())

    def lacks(self, required: Sequence[str]) -> bool:
        """Whether it lacks an action or a required sample."""
        return self.action is None or any(self.samples[name] is None for name in required)

    def take_out(self, stream: str) -> None:
        """Make a gap of a sample that cannot be used."""
        self.samples[stream], self.age_ms[stream] = None, math.nan


def size_of(sample: Any) -> int:
    """Bytes of an image, serialised or not; 0 for anything else, which is small."""
    if isinstance(sample, bytes):
        return len(sample)
    large = isinstance(sample, np.ndarray) and sample.ndim == 3
    return int(sample.nbytes) if large else int(getattr(sample, "size_bytes", 0))


def count_messages(rows: Sequence[Row]) -> int:
    """Number of messages that the rows hold."""
    used = sum(
        sample is not None and name not in (JOINT, TRUTH)
        for row in rows
        for name, sample in row.samples.items()
    )
    return used + sum(row.action is not None for row in rows)


def too_many_gaps(
    lacking: int, made: int, required: Sequence[str], max_missing_share: float
) -> str:
    """Why an episode lacks too much to be kept; empty where it does not."""
    if lacking <= max_missing_share * made:
        return ""
    return (
        f"{lacking} of its {made} steps lack an action or one of {', '.join(required)}, more than "
        f"max_missing_share {max_missing_share:g} allows"
    )


def unjudged(meta: EpisodeMeta) -> EpisodeMeta:
    """The same of an episode of which nobody has said how it ended."""
    return meta.judged(Outcome.UNKNOWN, FailureType.NONE, -1)


def step_at(stamps_ns: Sequence[int] | NDArray[np.int64], time_s: float) -> int:
    """The step nearest to a moment.

    Args:
        stamps_ns: Of the T steps, increasing.
        time_s: Since the first of them.

    Returns:
        0 to T, where T is the moment one step after the last.

    Raises:
        StoreError: if it lies later than that.
    """
    times_s = (np.asarray(stamps_ns, np.int64) - int(stamps_ns[0])) / NANO
    period_s = float(np.median(np.diff(times_s))) if len(times_s) > 1 else 1 / RATE_HZ
    times_s = np.append(times_s, times_s[-1] + period_s)
    if time_s > times_s[-1] + period_s / 2:
        raise StoreError(
            f"{time_s:.2f} s lies after the end of the episode at {times_s[-1]:.2f} s; give "
            "a time before it"
        )
    return int(np.abs(times_s - time_s).argmin())


class Label(NamedTuple):
    """How a person judges an episode; the failure's moment as a step, or as a time in s."""

    outcome: Outcome
    failure_type: FailureType = FailureType.NONE
    failure_step: int = -1
    failure_time_s: float = 0.0

    @property
    def timed(self) -> bool:
        """Whether the moment is given as a time, so that its step depends on the stamps."""
        return self.failure_step < 0 and self.failure_time_s > 0

    def check(self) -> None:
        """Refuse a label that contradicts itself.

        Raises:
            StoreError: if it does.
        """
        step = 0 if self.timed else self.failure_step
        EpisodeMeta("", "", Outcome.UNKNOWN).judged(self.outcome, self.failure_type, step)

    def on(self, meta: EpisodeMeta, stamps_ns: Sequence[int] | NDArray[np.int64]) -> EpisodeMeta:
        """The episode whose T steps have these stamps, judged so.

        Raises:
            StoreError: if the label contradicts itself, or its moment lies after the end.
        """
        step = step_at(stamps_ns, self.failure_time_s) if self.timed else self.failure_step
        judged = meta.judged(self.outcome, self.failure_type, step)
        judged.check_length(len(stamps_ns))
        return judged

    def on_stored(self, reader: StoreReader, index: int) -> EpisodeMeta:
        """An episode of a store, judged so.

        Raises:
            StoreError: if the label contradicts itself or the episode, or it cannot be read.
        """
        stamps_ns = reader.to_numpy(["stamp_ns"], reader.rows(index))["stamp_ns"]
        return self.on(reader.meta(index), stamps_ns)

    def words(self) -> str:
        """Say it."""
        text = self.outcome.name.lower()
        if self.failure_type:
            text += f" by {self.failure_type.label}"
        if self.failure_step >= 0:
            return f"{text} at step {self.failure_step}"
        return f"{text} after {self.failure_time_s:.2f} s" if self.timed else text


@dataclass(slots=True)
class Block:
    """The next rows of an episode that still grows, and what is known of it so far."""

    episode_id: str
    rows: list[Row]
    meta: EpisodeMeta | None = None


@dataclass(slots=True)
class Finished:
    """A whole episode: its last rows, and what is known of it.

    Attributes:
        rows: Those that were not handed on in a block.
        meta: What is known of it; the model is not.
        steps: Number of all its rows, those of its blocks included.
        lacking: How many of them lack an action or a required sample.
        messages: Messages used for all of them.
        note: What a person should read about it; empty for nothing.
    """

    rows: list[Row]
    meta: EpisodeMeta
    steps: int
    lacking: int
    messages: int
    note: str = ""

    @property
    def episode_id(self) -> str:
        """Its id."""
        return self.meta.id


@dataclass(slots=True)
class Dropped:
    """An episode that was not kept, why, and how many of its messages were lost with it."""

    episode_id: str
    reason: str
    messages: int


type Result = Block | Finished | Dropped
