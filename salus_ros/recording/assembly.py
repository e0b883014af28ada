"""Rows of an episode from streams that arrive in any order: as-of samples, gaps marked."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_msgs.msg import EpisodeStatus
from salus_ros.recording.streams import Stream

EPISODES_REMEMBERED = 8
BLOCK_STEPS = 30
BLOCK_BYTES = 4_000_000
"""Steps that are handed on together while an episode grows, fewer where images are large."""


@dataclass(slots=True)
class Row:
    """One step of an episode.

    Attributes:
        step: Its number.
        stamp_ns: Its stamp, that of the observation the policy answered.
        action: Float32 (A,); None when the policy gave none.
        samples: The sample that was used, by stream; None for a gap.
        age_ms: Its age at the stamp, by stream; NaN for a gap.
        settled_at: When the row began to wait for late messages; None before.
    """

    step: int
    stamp_ns: int
    action: NDArray[np.float32] | None = None
    samples: dict[str, Any] = field(default_factory=dict)
    age_ms: dict[str, float] = field(default_factory=dict)
    settled_at: float | None = None

    @property
    def size(self) -> int:
        """Bytes of its images."""
        return sum(len(sample) for sample in self.samples.values() if isinstance(sample, bytes))


@dataclass(slots=True)
class Block:
    """The next rows of an episode that still grows."""

    episode_id: str
    rows: list[Row]


@dataclass(slots=True)
class Finished:
    """A whole episode: its last rows, how it ended, who acted, how long it took.

    `messages` counts those used for all its rows, those of its blocks included.
    """

    rows: list[Row]
    status: EpisodeStatus
    policy_id: str
    wall_time_s: float
    messages: int


@dataclass(slots=True)
class Dropped:
    """An episode that was not kept, why, and how many of its messages were lost with it."""

    episode_id: str
    reason: str
    messages: int


type Result = Block | Finished | Dropped


@dataclass(slots=True)
class _Episode:
    """An episode in flight; `rows` are those that were not handed on in a block."""

    waiting: dict[int, Row] = field(default_factory=dict)
    rows: dict[int, Row] = field(default_factory=dict)
    handed_on: int = 0  # steps 0 to this were
    lacking: int = 0  # rows without an action or a required sample
    messages: int = 0
    ended: EpisodeStatus | None = None
    ended_at: float = math.nan
    started_at: float = math.nan
    newest_step: int = -1  # with an action
    policy_id: str = ""
    size: int = 0

    def has_row(self, step: int) -> bool:
        """Whether a row was made of a step."""
        return step < self.handed_on or step in self.rows


def count_messages(rows: Sequence[Row]) -> int:
    """Number of messages that the rows hold."""
    used = sum(sample is not None for row in rows for sample in row.samples.values())
    return used + sum(row.action is not None for row in rows)


class Assembler:
    """Makes rows of messages: one per step of the policy.

    A step is known from its episode status or its action, and takes the newest sample of each
    stream that is not newer than the step, not older than the stream allows and not of an earlier
    episode. It waits for its action, then until every stream has moved past its stamp, at most
    `settle_s`. A step without an action is given up when a later one has its own, or when the
    episode has ended.

    All times `now_s` are of one steady clock.
    """

    def __init__(
        self,
        max_age_ms: Mapping[str, float],
        required: Sequence[str],
        *,
        settle_s: float,
        max_missing_share: float,
        room: Callable[[], int],
        on_row: Callable[[Row], object] = lambda _: None,
        block_steps: int = BLOCK_STEPS,
        block_bytes: int = BLOCK_BYTES,
    ) -> None:
        """Make an empty assembler.

        Args:
            max_age_ms: The streams, and the oldest sample of each that a step may use.
            required: Those that an episode is not good without, beside the action.
            settle_s: How long a step waits for late messages.
            max_missing_share: Share of the steps that may lack an action or a required sample.
            room: Says how many bytes of samples may be held now; an episode that goes beyond is
                dropped.
            on_row: Called with every row that is made, in the order of the steps.
            block_steps: Rows of an episode in flight that are handed on together.
            block_bytes: Size from which fewer are.
        """
        self._streams = {name: Stream() for name in max_age_ms}
        self._required = tuple(required)
        self._max_age_ns = {name: round(age * 1e6) for name, age in max_age_ms.items()}
        self._settle_s = settle_s
        self._max_missing_share = max_missing_share
        self._room = room
        self._on_row = on_row
        self._block_steps = block_steps
        self._block_bytes = block_bytes
        self._episodes: dict[str, _Episode] = {}
        self._closed: deque[str] = deque(maxlen=EPISODES_REMEMBERED)
        self._last_ns: dict[str, int] = {}  # newest stamp known of each recent episode
        self._status_ns = -1
        self._results: list[Result] = []
        self.late = 0
        """Actions that came after their step was given up or their episode closed."""

    @property
    def current(self) -> str:
        """The newest episode in flight; empty without one."""
        return next(reversed(self._episodes), "")

    def holds(self, episode_id: str) -> bool:
        """Whether an episode is in flight."""
        return episode_id in self._episodes

    def newest_ns(self, stream: str) -> int:
        """Stamp of the newest sample of a stream in ns; -1 without one."""
        return self._streams[stream].newest_ns

    def steps(self, episode_id: str) -> int:
        """Number of steps of an episode that have their action so far."""
        episode = self._episodes.get(episode_id)
        return 0 if episode is None else episode.newest_step + 1

    # Input

    def sample(self, stream: str, stamp_ns: int, sample: Any, size: int = 0) -> None:
        """Take in a sample of a stream; `size` is what it costs in bytes."""
        self._streams[stream].add(stamp_ns, sample, size)
        if size and self.held_bytes > self._room():
            self._make_room()

    def action(
        self,
        episode_id: str,
        step: int,
        stamp_ns: int,
        action: NDArray[np.float32],
        policy_id: str,
        now_s: float,
    ) -> None:
        """Take in the policy's action of a step; one that is there already is not replaced."""
        if episode_id in self._closed:
            self.late += 1
            return
        episode = self._open(episode_id, now_s)
        if episode.has_row(step):
            row_made = episode.rows.get(step)
            self.late += row_made is not None and row_made.action is None
            return
        row = episode.waiting.setdefault(step, Row(step, stamp_ns))
        if row.action is not None:
            return
        row.stamp_ns, row.action, row.settled_at = stamp_ns, action, now_s
        episode.policy_id = policy_id
        episode.newest_step = max(episode.newest_step, step)
        self._see(episode_id, stamp_ns)

    def status(self, message: EpisodeStatus, stamp_ns: int, now_s: float) -> None:
        """Take in where an episode stands."""
        if stamp_ns < self._status_ns:
            self._jump_back(stamp_ns)
        self._status_ns = stamp_ns
        episode_id = message.episode_id
        if message.phase == EpisodeStatus.PHASE_RUNNING:
            for other in [name for name in self._episodes if name != episode_id]:
                if self._episodes[other].ended is None and self._is_older(other, stamp_ns):
                    self._drop(other, "it never ended")
            again = message.step == 0 and stamp_ns > self._last_ns.get(episode_id, -1)
            if episode_id in self._closed and not again:
                return
            episode = self._open(episode_id, now_s)
            if not episode.has_row(message.step):
                episode.waiting.setdefault(message.step, Row(message.step, stamp_ns))
        elif message.phase == EpisodeStatus.PHASE_ENDED and episode_id in self._episodes:
            episode = self._episodes[episode_id]
            if episode.ended is None:
                episode.ended, episode.ended_at = message, now_s
        self._see(episode_id, stamp_ns)

    # Output

    def collect(self, now_s: float) -> list[Result]:
        """Make the rows that are due; return what is new since last time.

        Blocks of one episode come in the order of its steps, before its end, and never mixed
        with those of another one.
        """
        for episode_id, episode in list(self._episodes.items()):
            over = episode.ended is not None and now_s - episode.ended_at >= self._settle_s
            for step in sorted(episode.waiting):
                row = episode.waiting[step]
                if not (over or self._is_due(episode, row, now_s)):
                    break
                del episode.waiting[step]
                self._fill(episode_id, row)
                episode.rows[step] = row
                self._count(episode, row)
                self._on_row(row)
            self._hand_on(episode_id, episode)
            if episode.ended is not None and (over or not self._missing_steps(episode)):
                self._judge(episode_id, episode, episode.ended)
            if episode_id in self._episodes:
                break  # a later episode's rows would use up what this one still needs
        if not any(episode.waiting for episode in self._episodes.values()):
            for name, stream in self._streams.items():
                stream.forget_before(stream.newest_ns - self._max_age_ns[name])
        return self._take_results()

    def finish(self) -> list[Result]:
        """Close every episode: those that have ended are judged, the others dropped."""
        results = self.collect(math.inf)
        for episode_id in list(self._episodes):
            self._drop(episode_id, "the recorder was stopped before it ended")
        return results + self._take_results()

    def abandon(self, reason: str, *, ended: bool = False) -> list[Result]:
        """Drop every episode that has not ended, and those that have if `ended`."""
        for episode_id, episode in list(self._episodes.items()):
            if ended or episode.ended is None:
                self._drop(episode_id, reason)
        return self._take_results()

    # Inside

    def _open(self, episode_id: str, now_s: float) -> _Episode:
        if episode_id not in self._episodes:
            if episode_id in self._closed:
                self._closed.remove(episode_id)  # run again under the same name
            self._episodes[episode_id] = _Episode(started_at=now_s)
        return self._episodes[episode_id]

    def _see(self, episode_id: str, stamp_ns: int) -> None:
        self._last_ns[episode_id] = max(stamp_ns, self._last_ns.pop(episode_id, -1))
        while len(self._last_ns) > EPISODES_REMEMBERED:
            del self._last_ns[next(iter(self._last_ns))]

    def _is_older(self, episode_id: str, stamp_ns: int) -> bool:
        return self._last_ns.get(episode_id, -1) < stamp_ns

    def _is_due(self, episode: _Episode, row: Row, now_s: float) -> bool:
        if row.settled_at is None:
            if row.step >= episode.newest_step:
                return False  # its action may still come
            row.settled_at = now_s
        moved_on = all(s.newest_ns >= row.stamp_ns for s in self._streams.values())
        return moved_on or now_s - row.settled_at >= self._settle_s

    def _fill(self, episode_id: str, row: Row) -> None:
        others = (last for name, last in self._last_ns.items() if name != episode_id)
        earlier = max((last for last in others if last < row.stamp_ns), default=-1)
        for name, stream in self._streams.items():
            after_ns = max(earlier, row.stamp_ns - self._max_age_ns[name] - 1)
            found = stream.as_of(row.stamp_ns, after_ns)
            row.samples[name] = None if found is None else found[1]
            row.age_ms[name] = math.nan if found is None else (row.stamp_ns - found[0]) / 1e6
            stream.forget_before(row.stamp_ns)

    def _missing_steps(self, episode: _Episode) -> int:
        """Steps of an ended episode that no row was made of; its status counts them, or 0."""
        assert episode.ended is not None
        total = episode.ended.step or episode.newest_step + 1
        return total - min(episode.handed_on, total) - sum(step < total for step in episode.rows)

    def _count(self, episode: _Episode, row: Row) -> None:
        episode.size += row.size
        episode.messages += count_messages([row])
        episode.lacking += row.action is None or any(
            row.samples[name] is None for name in self._required
        )

    def _hand_on(self, episode_id: str, episode: _Episode) -> None:
        """Hand on the rows up to the first step that is not there yet, if they are many."""
        first = last = episode.handed_on
        while last in episode.rows:
            last += 1
        many = last - first >= self._block_steps or episode.size >= self._block_bytes
        if many and last > first:
            rows = [episode.rows.pop(step) for step in range(first, last)]
            episode.handed_on = last
            episode.size -= sum(row.size for row in rows)
            self._results.append(Block(episode_id, rows))

    def _judge(self, episode_id: str, episode: _Episode, ended: EpisodeStatus) -> None:
        rows = [episode.rows[step] for step in sorted(episode.rows)]
        lost, made = self._missing_steps(episode), episode.handed_on + len(rows)
        if lost or not made:
            seen = 0 if episode.handed_on else min(episode.rows, default=-1)
            first = f", the first one seen was {seen}" if made else ""
            self._drop(episode_id, f"{lost} of its {lost + made} steps were never seen{first}")
        elif episode.newest_step < 0:
            self._drop(episode_id, "the policy never acted")
        elif episode.lacking > self._max_missing_share * made:
            self._drop(
                episode_id,
                f"{episode.lacking} of its {made} steps lack an action or one of "
                f"{', '.join(self._required)}, more than max_missing_share "
                f"{self._max_missing_share:g} allows",
            )
        else:
            wall_time_s = episode.ended_at - episode.started_at
            self._results.append(
                Finished(rows, ended, episode.policy_id, wall_time_s, episode.messages)
            )
            self._close(episode_id)

    def _drop(self, episode_id: str, reason: str) -> None:
        episode = self._episodes[episode_id]
        actions = sum(row.action is not None for row in episode.waiting.values())
        messages = episode.messages + actions
        if messages:  # else it was over before this recorder heard of it
            self._results.append(Dropped(episode_id, reason, messages))
        self._close(episode_id)

    def _close(self, episode_id: str) -> None:
        del self._episodes[episode_id]
        self._closed.append(episode_id)

    def _take_results(self) -> list[Result]:
        results, self._results = self._results, []
        return results

    def _jump_back(self, stamp_ns: int) -> None:
        """Time starts again: what was in flight cannot go on."""
        self._results = self.collect(math.inf)
        for episode_id in list(self._episodes):
            self._drop(episode_id, "time jumped back")
        self._closed.clear()
        self._last_ns.clear()
        for stream in self._streams.values():
            stream.forget_after(stamp_ns)

    @property
    def held_bytes(self) -> int:
        """Size of the samples that are held."""
        streams = sum(stream.size for stream in self._streams.values())
        return streams + sum(episode.size for episode in self._episodes.values())

    def _make_room(self) -> None:
        for episode_id in list(self._episodes):
            self._drop(episode_id, "its images do not fit the parameter buffer_mb")
        for stream in self._streams.values():
            stream.forget_before(stream.newest_ns)
