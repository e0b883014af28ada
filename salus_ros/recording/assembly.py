"""Rows of an episode from streams that arrive in any order: as-of samples, gaps marked."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.recording.flight import Flight, Rules
from salus_ros.recording.rows import (
    ACTION,
    Block,
    Dropped,
    Finished,
    Result,
    Row,
    unjudged,
)
from salus_ros.recording.sampling import Sampler
from salus_ros.recording.streams import Source
from salus_ros.recording.time import Order, TimeRule, is_far, jump_words

EPISODES_REMEMBERED = 8

ANSWER_S = 60.0
"""So long after its samples an action may come, while an episode is in flight."""


@dataclass(slots=True)
class _Clock:
    """The rule for the stamps of one topic, and what is held back for a suspect one."""

    rule: TimeRule = field(default_factory=TimeRule)
    held: tuple[int, Callable[[], None]] | None = None  # its stamp, and what takes it in

    def release(self, stamp_ns: int) -> list[Callable[[], None]]:
        """Hold nothing back any longer; gives what a stamp goes on from."""
        held, self.held = self.held, None
        return [] if held is None or is_far(stamp_ns, held[0]) else [held[1]]


class Assembler:
    """Makes rows of samples: one per step.

    A step waits for its action, then until every stream has moved past its stamp, at most
    `settle_s`; its samples are those of `Sampler`. A step without an action is given up when a
    later one has its own, or when the episode has ended.

    All times `now_s` are of one clock: a steady one, or that of a recording's receive times.

    Attributes:
        streams: The streams by name.
        late: Actions that came after their step was given up or their episode closed.
        refused: Steps and ends whose stamps were wrong.
    """

    def __init__(
        self,
        streams: Mapping[str, Source],
        rules: Rules,
        *,
        room: Callable[[], int],
        on_row: Callable[[Row], object] = lambda _: None,
    ) -> None:
        """Make an empty assembler.

        Args:
            streams: The streams by name; each needs a greatest age in `rules`.
            rules: What makes an episode good.
            room: Says how many bytes of samples may be held now; an episode that goes beyond is
                dropped.
            on_row: Called with every row that is made, in the order of the steps.
        """
        self.streams = dict(streams)
        self._rules = rules
        self._sampler = Sampler(streams, rules.max_age_ms, rules.patience_s)
        self._room = room
        self._on_row = on_row
        self._episodes: dict[str, Flight] = {}
        self._closed: deque[str] = deque(maxlen=EPISODES_REMEMBERED)
        self._last_ns: dict[str, int] = {}  # newest stamp known of each recent episode
        self._told, self._acted = _Clock(), _Clock()  # of statuses and of actions
        self._results: list[Result] = []
        self.late = 0

    @property
    def current(self) -> str:
        """The newest episode in flight; empty without one."""
        return next(reversed(self._episodes), "")

    @property
    def refused(self) -> int:
        """Steps, ends and samples whose stamps were wrong."""
        return self._told.rule.refused + self._acted.rule.refused + self._sampler.refused

    def holds(self, episode_id: str) -> bool:
        """Whether an episode is in flight."""
        return episode_id in self._episodes

    def steps(self, episode_id: str) -> int:
        """Number of steps of an episode that have their action so far."""
        episode = self._episodes.get(episode_id)
        return 0 if episode is None else episode.newest_step + 1

    @property
    def held_bytes(self) -> int:
        """Size of the samples that are held."""
        return self._sampler.size + sum(episode.size for episode in self._episodes.values())

    # Input

    def sample(self, stream: str, stamp_ns: int, sample: Any, size: int = 0) -> Order:
        """Take in a sample of a stream; `size` is what it costs in bytes.

        A stream whose clock has jumped back ends the episode in flight.
        """
        source = self.streams[stream]
        order = source.add(stamp_ns, sample, size)
        if order is Order.JUMP and source.jump_ns < 0:
            self._jump(f"{jump_words(source.jump_ns)} on '{stream}'", stamp_ns, but=stream)
            held = [*self._told.release(stamp_ns), *self._acted.release(stamp_ns)]
            self._told.rule.forget()
            self._acted.rule.forget()
            for again in held:
                again()
        if size and self.held_bytes > self._room():
            self._make_room()
        return order

    def step(
        self,
        episode_id: str,
        step: int,
        stamp_ns: int,
        now_s: float,
        about: Callable[[], EpisodeMeta] | None = None,
    ) -> None:
        """Take note that an episode is at a step.

        Args:
            episode_id: The episode.
            step: Number of the step.
            stamp_ns: Its stamp.
            now_s: The time.
            about: Says what is known of the episode so far; needed where an episode is kept whose
                end is never seen.
        """
        again_later = partial(self.step, episode_id, step, stamp_ns, now_s, about)
        if not self._goes_on(self._told, stamp_ns, again_later):
            return
        for other in [name for name in self._episodes if name != episode_id]:
            if self._episodes[other].ended is None and self._is_older(other, stamp_ns):
                self._give_up(other, "it never ended")
        again = step == 0 and stamp_ns > self._last_ns.get(episode_id, -1)
        if episode_id in self._closed and not again:
            return
        episode = self._open(episode_id, now_s)
        episode.about = episode.about or about
        if episode.told.setdefault(step, stamp_ns) != stamp_ns:
            if step:
                self.late += 1
                return
            # The world was started anew, less than DISORDER_NS after its first start.
            self._jump("it began again", -1)
            episode = self._open(episode_id, now_s)
            episode.about, episode.told[step] = about, stamp_ns
        if step >= episode.next_step:
            row = episode.waiting.setdefault(step, Row(step, stamp_ns))
            if not self._rules.acted:
                row.settled_at = now_s
                episode.newest_step = max(episode.newest_step, step)
        self._see(episode_id, stamp_ns)

    def action(
        self,
        episode_id: str,
        step: int,
        stamp_ns: int,
        action: NDArray[np.float32],
        policy_id: str,
        now_s: float,
        inputs: Mapping[str, Sequence[int]] | None = None,
        intervention: str = "",
    ) -> None:
        """Take in the policy's action of a step; one that is there already is not replaced.

        Args:
            episode_id: The episode.
            step: The step that is answered.
            stamp_ns: Stamp of its observation.
            action: Float32 (A,).
            policy_id: Who acted.
            now_s: The time.
            inputs: Stamps of the samples it was computed from, by stream.
            intervention: What acted in the policy's place; empty for the policy.
        """
        if episode_id in self._closed:
            self.late += 1
            return
        given = (episode_id, step, stamp_ns, action, policy_id, now_s, inputs, intervention)
        if not self._goes_on(self._acted, stamp_ns, partial(self.action, *given)):
            return
        episode = self._open(episode_id, now_s)
        if step < episode.next_step:
            made = next((row for row in episode.rows if row.step == step), None)
            self.late += made is None or made.action is None
            return
        row = episode.waiting.setdefault(step, Row(step, stamp_ns))
        if row.action is not None:
            return
        row.stamp_ns, row.action, row.settled_at = stamp_ns, action, now_s
        row.inputs, row.intervention = inputs or {}, intervention
        episode.policy_id = policy_id or episode.policy_id
        episode.newest_step = max(episode.newest_step, step)
        self._see(episode_id, stamp_ns)

    def end(
        self,
        meta: EpisodeMeta,
        stamp_ns: int,
        now_s: float,
        total: int = 0,
        note: str = "",
        failure_time_s: float = math.nan,
    ) -> None:
        """Take note that an episode is over.

        Args:
            meta: What is known of it; who acted, and how long it took, is added.
            stamp_ns: When that was.
            now_s: The time.
            total: Number of its steps; 0 where that is not told.
            note: What a person should read about it.
            failure_time_s: When it failed, in s since its first step, where `meta` has no step;
                NaN where that is not told either.
        """
        again_later = partial(self.end, meta, stamp_ns, now_s, total, note, failure_time_s)
        if not self._goes_on(self._told, stamp_ns, again_later):
            return
        episode = self._episodes.get(meta.id)
        if episode is None:
            pass
        elif episode.ended is None:
            episode.ended, episode.ended_at, episode.total = meta, now_s, total
            episode.note, episode.failure_time_s = note, failure_time_s
        elif meta.outcome != Outcome.UNKNOWN:
            episode.ended = meta  # somebody has judged it since
            episode.failure_time_s = failure_time_s
        self._see(meta.id, stamp_ns)

    def discard(self, episode_id: str, reason: str) -> None:
        """Drop an episode in flight."""
        if episode_id in self._episodes:
            self._drop(episode_id, reason)

    # Output

    def collect(self, now_s: float) -> list[Result]:
        """Make the rows that are due; return what is new since last time.

        Blocks of one episode come in the order of its steps, before its end, and never mixed
        with those of another one.
        """
        self._make_rows(now_s)
        flights = self._episodes.values()
        waiting = [row for episode in flights for row in episode.waiting.values()]
        if all(row.action is None for row in waiting):
            awaited = self._rules.acted and any(episode.ended is None for episode in flights)
            if awaited or not waiting:
                self._sampler.forget_old(ANSWER_S * awaited, self._room() // 2)
        return self._take_results()

    def finish(self) -> list[Result]:
        """Close every episode: those that have ended are judged, the others given up."""
        self._make_rows(math.inf)
        for episode_id in list(self._episodes):
            self._give_up(episode_id, "it was still running when the recording stopped")
        return self._take_results()

    def abandon(self, reason: str, *, ended: bool = False) -> list[Result]:
        """Drop every episode that has not ended, and those that have if `ended`."""
        for episode_id, episode in list(self._episodes.items()):
            if ended or episode.ended is None:
                self._drop(episode_id, reason)
        return self._take_results()

    # Inside

    def _make_rows(self, now_s: float) -> None:
        for episode_id, episode in list(self._episodes.items()):
            over = episode.ended is not None and (now_s - episode.ended_at >= self._rules.settle_s)
            for step in sorted(episode.waiting):
                row = episode.waiting[step]
                if not (over or self._is_due(episode, row, now_s)):
                    break
                del episode.waiting[step]
                self._fill(episode_id, row)
                episode.add(row, self._rules.required)
                self._on_row(row)
            self._hand_on(episode_id, episode)
            if episode.ended is not None and not episode.waiting and (over or not episode.missing):
                self._judge(episode_id, episode, episode.ended)
            if episode_id in self._episodes:
                break  # a later episode's rows would use up what this one still needs

    def _open(self, episode_id: str, now_s: float) -> Flight:
        if episode_id not in self._episodes:
            if episode_id in self._closed:
                self._closed.remove(episode_id)  # run again under the same name
            self._episodes[episode_id] = Flight(started_at=now_s)
        episode = self._episodes[episode_id]
        episode.told_at = now_s
        return episode

    def _see(self, episode_id: str, stamp_ns: int) -> None:
        self._last_ns[episode_id] = max(stamp_ns, self._last_ns.pop(episode_id, -1))
        while len(self._last_ns) > EPISODES_REMEMBERED:
            del self._last_ns[next(iter(self._last_ns))]

    def _is_older(self, episode_id: str, stamp_ns: int) -> bool:
        return self._last_ns.get(episode_id, -1) < stamp_ns

    def _goes_on(self, clock: _Clock, stamp_ns: int, again: Callable[[], None]) -> bool:
        """Whether a stamp can be right; a jump of the clock ends what is in flight.

        Args:
            clock: That of the statuses, or of the actions.
            stamp_ns: The stamp.
            again: Takes in what has this stamp, should it turn out to be right.
        """
        rule, other = clock.rule, self._acted if clock is self._told else self._told
        order = rule.judge(stamp_ns, other.rule)
        if order is Order.SUSPECT:
            clock.held = (stamp_ns, again)
            return False
        held = clock.release(stamp_ns)
        if order is Order.JUMP:
            jump_ns = rule.jump_ns
            # A pause before the first action, or between episodes, is no jump of the clock.
            if jump_ns < 0 or any(one.newest_step >= 0 for one in self._episodes.values()):
                self._jump(jump_words(jump_ns), stamp_ns)
        if order in (Order.JUMP, Order.FOLLOWS):
            for taken in held:
                taken()
        return True

    def _jump(self, reason: str, stamp_ns: int, but: str = "") -> None:
        """Time starts again: what was in flight cannot go on."""
        self._make_rows(math.inf)
        for episode_id in list(self._episodes):
            self._give_up(episode_id, reason)
        self._last_ns.clear()
        self._sampler.restart(stamp_ns, but)

    def _is_due(self, episode: Flight, row: Row, now_s: float) -> bool:
        if row.settled_at is None:
            if row.step >= episode.newest_step:
                return False  # its action may still come
            row.settled_at = now_s
        if now_s - row.settled_at >= self._rules.settle_s:
            return True
        return self._sampler.is_ready(row)

    def _fill(self, episode_id: str, row: Row) -> None:
        others = (last for name, last in self._last_ns.items() if name != episode_id)
        self._sampler.fill(row, max((last for last in others if last < row.stamp_ns), default=-1))
        if not self._rules.acted:
            row.action = row.samples.pop(ACTION)

    def _hand_on(self, episode_id: str, episode: Flight) -> None:
        """Hand on the rows that are made, if they are many."""
        rules = self._rules
        if len(episode.rows) >= rules.block_steps or episode.size >= rules.block_bytes:
            meta = None if episode.about is None else episode.about()
            self._results.append(Block(episode_id, episode.rows, meta))
            episode.rows, episode.size = [], 0

    def _judge(self, episode_id: str, episode: Flight, meta: EpisodeMeta) -> None:
        if reason := episode.refusal(self._rules):
            self._drop(episode_id, reason)
            return
        meta = replace(
            meta,
            failure_step=episode.place_of_failure(meta.failure_step),
            policy_id=meta.policy_id or episode.policy_id,
            wall_time_s=episode.ended_at - episode.started_at,
        )
        notes = [episode.note]
        if episode.missing:
            notes.append(f"{episode.missing} of its steps were never seen")
        figures = (episode.made, episode.lacking, episode.messages)
        note = "; ".join(note for note in notes if note)
        self._results.append(Finished(episode.rows, meta, *figures, note))
        self._close(episode_id)

    def _give_up(self, episode_id: str, reason: str) -> None:
        """End an episode whose end never came: dropped, or kept with an unknown outcome."""
        episode = self._episodes[episode_id]
        if episode.ended is None:
            if self._rules.whole or episode.about is None:
                self._drop(episode_id, reason)
                return
            episode.ended, episode.ended_at = unjudged(episode.about()), episode.told_at
            episode.note = reason
        self._judge(episode_id, episode, episode.ended)

    def _drop(self, episode_id: str, reason: str) -> None:
        episode = self._episodes[episode_id]
        actions = sum(row.action is not None for row in episode.waiting.values())
        messages = episode.messages + actions
        if messages or 0 in episode.told:  # else it was over before this recorder heard of it
            self._results.append(Dropped(episode_id, reason, messages))
        self._close(episode_id)

    def _close(self, episode_id: str) -> None:
        del self._episodes[episode_id]
        self._closed.append(episode_id)

    def _take_results(self) -> list[Result]:
        results, self._results = self._results, []
        return results

    def _make_room(self) -> None:
        for episode_id in list(self._episodes):
            self._drop(episode_id, "its images do not fit the parameter buffer_mb")
        self._sampler.forget_all()
