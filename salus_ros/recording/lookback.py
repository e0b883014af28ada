"""The last seconds of everything a recorder hears, whether it records or not, and rows of them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import StoreError
from salus_ros.core.schema import RATE_HZ
from salus_ros.episodes import EpisodeMeta
from salus_ros.episodes.clip import Reason
from salus_ros.recording.rows import ACTION, JOINT, STATE, Row, step_at
from salus_ros.recording.sampling import Sampler
from salus_ros.recording.streams import JointStream, Stream
from salus_ros.recording.time import NANO, Order

OVERHEAD = 500
"""Bytes that a sample is said to take beside its arrays."""

STEPS_KEPT, EPISODES_KEPT = 20_000, 16

LEAST_SHARE = 0.1
"""Share of what is held that goes when it is too much."""

SHRINKS = 50

APART = 0.75
"""Part of a step's period that an image must be away from every step to be a row of its own."""


@dataclass(slots=True)
class Step:
    """A step of an episode: its stamp, and what was done."""

    stamp_ns: int
    action: NDArray[np.float32] | None = None
    inputs: Mapping[str, Sequence[int]] = field(default_factory=dict)
    intervention: str = ""


@dataclass(slots=True)
class Heard:
    """What is known of an episode.

    Attributes:
        meta: Of its newest status that counts; None without one.
        policy_id: Who acted.
        ended_ns: Stamp of its end; -1 before.
        intervened_ns: Stamp of the last step that something else acted at; -1 for none.
    """

    meta: EpisodeMeta | None = None
    policy_id: str = ""
    ended_ns: int = -1
    intervened_ns: int = -1


@dataclass(slots=True)
class Rows:
    """Rows of a stretch of time, and where they are in their episodes.

    Attributes:
        rows: In the order of time.
        places: Row of each step, by episode and step.
    """

    rows: list[Row] = field(default_factory=list)
    places: dict[tuple[str, int], int] = field(default_factory=dict)

    def row_of(self, reason: Reason) -> int:
        """Row of a step, or the last one that is not later than its stamp; -1 without one."""
        earlier = sum(row.stamp_ns <= reason.stamp_ns for row in self.rows) - 1
        return self.places.get((reason.episode_id, reason.step), earlier)

    def place_of(self, episode_id: str, step: int) -> int:
        """Row of a step of an episode, or the one after the step before; -1 without one."""
        before = self.places.get((episode_id, step - 1), -2)
        return self.places.get((episode_id, step), before + 1) if step >= 0 else -1


class Lookback:
    """Holds all streams of the last seconds, within a bound of bytes.

    Stamps are judged by the rule for time: where a clock jumps back, what was before is over.

    Attributes:
        joints: The stream of the state.
        episodes: What is known of the episodes that were heard of last, by id.
        keep_from_ns: Stamp from which on all is held, however long; None for `hold_s`.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        joints: Sequence[str],
        joint_keys: Sequence[str],
        max_age_ms: Mapping[str, float],
        hold_s: float,
    ) -> None:
        """Hold nothing yet.

        Args:
            cameras: Names of the cameras.
            joints: Names of the joints of the state.
            joint_keys: What else joint states say, see `messages.joints.joint_keys`.
            max_age_ms: Oldest sample of each stream that a row may use.
            hold_s: How long samples are held.
        """
        self._hold_ns = round(hold_s * NANO)
        self._images = {camera: Stream() for camera in cameras}
        self._streams: dict[str, Stream | JointStream] = {name: Stream() for name in max_age_ms}
        self._streams |= self._images
        self._streams[STATE] = self.joints = JointStream(joints)
        self._streams[JOINT] = JointStream(joint_keys, partial=True)
        self._max_age_ms = {**max_age_ms, JOINT: max_age_ms[STATE]}
        self._sampler = Sampler(self._streams, self._max_age_ms, patience_s=0.0)
        self._steps: dict[tuple[str, int], Step] = {}
        self.episodes: dict[str, Heard] = {}
        self.keep_from_ns: int | None = None

    @property
    def newest_ns(self) -> int:
        """Newest stamp of all streams; -1 without a sample."""
        return max(stream.newest_ns for stream in self._streams.values())

    @property
    def newest_step(self) -> tuple[str, int]:
        """The newest step that was heard of, and its episode; of none where that has ended."""
        episode_id, step = next(reversed(self._steps), ("", -1))
        over = episode_id in self.episodes and self.episodes[episode_id].ended_ns >= 0
        return ("", -1) if over else (episode_id, step)

    @property
    def held_s(self) -> float:
        """How far back the images go, in s; NaN without one."""
        spans = [s.stamps[-1] - s.stamps[0] for s in self._images.values() if s.stamps]
        return max(spans) / NANO if spans else math.nan

    @property
    def size(self) -> int:
        """Bytes that are held."""
        return self._sampler.size

    # Input

    def sample(self, stream: str, stamp_ns: int, sample: Any, size: int = 0) -> Order:
        """Take in a sample of a stream."""
        source = self._streams[stream]
        order = source.add(stamp_ns, sample, (size or array_bytes(sample)) + OVERHEAD)
        if order is Order.JUMP and source.jump_ns < 0:
            self._sampler.restart(stamp_ns, but=stream)
            self._steps.clear()
        oldest_ns = source.newest_ns - self._hold_ns
        if self.keep_from_ns is not None:
            oldest_ns = min(oldest_ns, self.keep_from_ns)
        source.forget_before(oldest_ns)
        return order

    def step(self, episode_id: str, step: int, stamp_ns: int, **done: Any) -> None:
        """Take note of a step: its stamp, or that and what was done, which stands then."""
        known = self._steps.get((episode_id, step))
        if known is not None and known.action is not None and "action" not in done:
            return
        self._steps.pop((episode_id, step), None)
        self._steps[episode_id, step] = Step(stamp_ns, **done)
        while len(self._steps) > STEPS_KEPT:
            del self._steps[next(iter(self._steps))]

    def episode(self, episode_id: str) -> Heard:
        """What is known of an episode, to be filled in."""
        heard = self.episodes.pop(episode_id, None) or Heard()
        self.episodes[episode_id] = heard
        while len(self.episodes) > EPISODES_KEPT:
            del self.episodes[next(iter(self.episodes))]
        return heard

    def step_at(self, episode_id: str, time_s: float) -> int:
        """The step of an episode nearest to a time since its first one; -1 where none is known."""
        known = {
            step: one.stamp_ns for (name, step), one in self._steps.items() if name == episode_id
        }
        if 0 not in known:
            return -1
        steps = sorted(known)
        try:
            place = step_at([known[step] for step in steps], time_s)
        except StoreError:
            return -1
        return steps[place] if place < len(steps) else steps[-1] + 1

    def shrink(self, size: int) -> None:
        """Drop the oldest part of what is held until no more bytes are left than these."""
        for _ in range(SHRINKS):
            if self.size <= size:
                return
            first_ns = min((s.stamps[0] for s in self._images.values() if s.stamps), default=0)
            part_ns = max(1, round(LEAST_SHARE * (self.newest_ns - first_ns)))
            self._forget_before(first_ns + part_ns)
        self._forget_before(self.newest_ns)

    def _forget_before(self, stamp_ns: int) -> None:
        for stream in self._streams.values():
            stream.forget_before(min(stamp_ns, stream.newest_ns))

    # Output

    def frozen(self) -> "Held":
        """What is held now, to be looked at in another thread."""
        return Held(
            {name: stream.frozen() for name, stream in self._streams.items()},
            tuple(self._images),
            self._max_age_ms,
            dict(self._steps),
            {name: replace(heard) for name, heard in self.episodes.items()},
        )


class Held:
    """What was held at a moment.

    Attributes:
        episodes: What was known of the episodes that were heard of last, by id.
    """

    def __init__(
        self,
        streams: Mapping[str, Stream | JointStream],
        cameras: Sequence[str],
        max_age_ms: Mapping[str, float],
        steps: Mapping[tuple[str, int], Step],
        episodes: Mapping[str, Heard],
    ) -> None:
        """Of `Lookback`, none of which changes any more."""
        self._sampler = Sampler(streams, max_age_ms, patience_s=0.0)
        images = {name: one for name, one in streams.items() if isinstance(one, Stream)}
        self._images = {camera: images[camera].stamps for camera in cameras}
        self._steps = steps
        self.episodes = episodes

    def stamp_of(self, episode_id: str, step: int) -> int:
        """Stamp of a step; -1 where it is not known."""
        known = self._steps.get((episode_id, step))
        return -1 if known is None else known.stamp_ns

    def rows(self, start_ns: int, stop_ns: int) -> Rows:
        """Rows of a stretch of time, both ends included.

        A row is a step of an episode; where there is none for longer, an image of the camera
        that sent most.
        """
        inside = sorted(
            (step.stamp_ns, *key)
            for key, step in self._steps.items()
            if start_ns <= step.stamp_ns <= stop_ns
        )
        steps = {stamp_ns: (episode_id, step) for stamp_ns, episode_id, step in inside}
        made = Rows()
        last: dict[str, int] = {}  # newest stamp of each episode so far
        for stamp_ns in self._stamps(sorted(steps), start_ns, stop_ns):
            key = steps.get(stamp_ns)
            row = Row(len(made.rows), stamp_ns)
            earlier_ns = -1
            if key is not None:
                made.places[key] = len(made.rows)
                step = self._steps[key]
                row.action, row.inputs = step.action, step.inputs
                row.intervention = step.intervention
                last[key[0]] = stamp_ns
                earlier_ns = max((one for name, one in last.items() if name != key[0]), default=-1)
            self._sampler.look(row, earlier_ns)
            row.age_ms[ACTION] = math.nan if row.action is None else 0.0
            made.rows.append(row)
        return made

    def _stamps(self, steps: list[int], start_ns: int, stop_ns: int) -> Iterator[int]:
        """Stamps of the rows: of the steps, and of images that are far from every step."""
        rates = [heard.meta.rate_hz for heard in self.episodes.values() if heard.meta is not None]
        apart_ns = APART * NANO / (rates[-1] if rates else RATE_HZ)
        within = {
            name: [one for one in stamps if start_ns <= one <= stop_ns]
            for name, stamps in self._images.items()
        }
        images = max(within.values(), key=len, default=[])
        place, before_ns = 0, -math.inf
        for step_ns in [*steps, math.inf]:
            while place < len(images) and images[place] < step_ns:
                image_ns = images[place]
                place += 1
                if image_ns - before_ns >= apart_ns and step_ns - image_ns >= apart_ns:
                    before_ns = image_ns
                    yield image_ns
            if step_ns < math.inf:
                before_ns = step_ns
                yield int(step_ns)


def array_bytes(sample: Any) -> int:
    """Bytes of the arrays of a sample."""
    if isinstance(sample, np.ndarray):
        return int(sample.nbytes)
    if is_dataclass(sample):
        values = (getattr(sample, one.name) for one in fields(sample))
        return sum(value.nbytes for value in values if isinstance(value, np.ndarray))
    return 0
