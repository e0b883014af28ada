"""Which clips are saved, and when: alarms, failures and calls, merged, counted and bounded."""

import math
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import SalusError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.phases import Phase
from salus_ros.episodes.clip import (
    SUFFIX,
    ClipInfo,
    Reason,
    Why,
    remove_leftovers,
)
from salus_ros.messages.joints import joint_keys
from salus_ros.recording.clip_writer import Excerpt, write_clip
from salus_ros.recording.lookback import Heard, Lookback
from salus_ros.recording.options import ClipOptions, RecorderOptions
from salus_ros.recording.status import failure_time_s, read_status
from salus_ros.recording.streams import JointStream
from salus_ros.recording.time import NANO, Order

GOES_ON_S = 45.0
"""How much longer alarms may keep a clip going; the next one after that begins another clip."""

LAG_S = 2.0
"""How far an alarm may lag behind the newest sample and still have all that it looks back at."""

REASONS_LISTED = 50
WAITING = 2
"""Clips that are or wait to be written; there are no more at a time."""

MINUTE_S = 60.0


@dataclass(slots=True)
class _Open:
    """A clip whose time is not over."""

    path: Path
    start_ns: int
    stop_ns: int
    unsaved: int
    reasons: list[Reason] = field(default_factory=list)
    more: int = 0


class Clips:
    """Saves clips of what is heard. Nothing that is asked of it waits for the disk.

    An alarm that comes before the clip of another one is over keeps that one going.

    Attributes:
        saved: Clips saved.
        last: Path of the last one; empty before there is one.
        reasons: Alarms, failures and calls.
        merged: How many of them went into a clip that was there.
        unsaved: How many got no clip.
    """

    def __init__(
        self,
        options: ClipOptions,
        recorder: RecorderOptions,
        say: Callable[[str], object],
        log: Callable[[str], object],
    ) -> None:
        """Hold nothing yet.

        Args:
            options: Which clips.
            recorder: What is heard, and how it is read.
            say: Takes what a person may read about a clip.
            log: Takes what a person must read about one that is not saved.
        """
        self._options, self._recorder = options, recorder
        self._say, self._log = say, log
        self._lookback = Lookback(
            recorder.cameras,
            recorder.joints,
            joint_keys(recorder.all_joints),
            recorder.rules.max_age_ms,
            hold_s=options.before_s + LAG_S,
        )
        self._session = uuid4().hex
        self._open: _Open | None = None
        self._writing: list[tuple[Excerpt, Future[None]]] = []
        self._thread = ThreadPoolExecutor(1, "clips")
        self._begun: deque[float] = deque()  # the clips of the last minute
        self._alarmed = ("", False)
        self._heard_s = -math.inf
        self._error = self._refused = ""
        self._refused_s = -math.inf
        self._full_s = math.inf  # what was held when the buffer was full
        self._unsaved_since = 0  # the last clip
        self.saved = self.merged = self.unsaved = 0
        self.last = ""
        self.reasons: Counter[Why] = Counter()
        self._thread.submit(remove_leftovers, options.folder)

    @property
    def joints(self) -> JointStream:
        """The joints of the state."""
        return self._lookback.joints

    # Input

    def sample(self, stream: str, stamp_ns: int, sample: Any, size: int = 0) -> None:
        """Take in a sample of a stream; `size` is what it costs in bytes."""
        self._heard_s = time.monotonic()
        newest_ns = self._lookback.newest_ns
        order = self._lookback.sample(stream, stamp_ns, sample, size)
        if order is Order.SUSPECT and stamp_ns < newest_ns:
            self._close("the clock may have jumped back")  # before what was is forgotten
        room = self._options.buffer_bytes
        if self._lookback.size > room:
            self._close("clip_buffer_mb was full")
            self._lookback.shrink(room)
            self._full_s = self._lookback.held_s

    def action(
        self,
        episode_id: str,
        step: int,
        stamp_ns: int,
        action: NDArray[np.float32],
        policy_id: str,
        inputs: Mapping[str, Sequence[int]],
        intervention: str,
    ) -> None:
        """Take in the action of a step, see `Assembler.action`."""
        done = {"action": action, "inputs": inputs, "intervention": intervention}
        self._lookback.step(episode_id, step, stamp_ns, **done)
        heard = self._lookback.episode(episode_id)
        heard.policy_id = policy_id
        if intervention:
            heard.intervened_ns = stamp_ns

    def status(self, status: Any, stamp_ns: int) -> None:
        """Take in an EpisodeStatus; the first that tells of a failure begins a clip.

        Raises:
            ObservationError: if it contradicts itself, or its id cannot be one.
        """
        if status.phase not in (Phase.RUNNING, Phase.ENDED):
            return
        episode_id, step = status.episode_id, int(status.step)
        heard = self._lookback.episode(episode_id)
        if status.phase == Phase.RUNNING:
            self._lookback.step(episode_id, step, stamp_ns)
            if heard.meta is None or (step == 0 and heard.ended_ns >= 0):  # or runs again
                heard.meta = read_status(status)
                heard.ended_ns = heard.intervened_ns = -1
            return
        failed_before = heard.ended_ns >= 0 and _failed(heard)
        meta = read_status(status)
        if not math.isnan(time_s := failure_time_s(status)):
            meta = replace(meta, failure_step=self._lookback.step_at(episode_id, time_s))
        heard.meta = meta
        heard.ended_ns = stamp_ns if heard.ended_ns < 0 else heard.ended_ns
        late_ns = stamp_ns - heard.ended_ns  # of a person's judgement
        if _failed(heard) and not failed_before and late_ns < self._options.before_s * NANO:
            about = {"episode_id": episode_id, "kind": meta.finest_type.label}
            about["step"] = meta.failure_step if meta.failure_step >= 0 else step
            self._trigger("failure", heard.ended_ns, **about)

    def predicted(self, message: Any, stamp_ns: int) -> None:
        """Take in a FailureHorizons that was read: an alarm that begins, begins a clip."""
        episode_id, alarm = str(message.episode_id), bool(message.alarm)
        kinds = {int(kind): kind.label for kind in FailureType}
        begins = alarm and self._alarmed != (episode_id, True)
        self._alarmed = (episode_id, alarm)
        if begins:
            self._trigger(
                "alarm",
                stamp_ns,
                episode_id=episode_id,
                step=int(message.step),
                kind=kinds.get(int(message.most_likely_type), ""),
                risk=float(message.risk),
                threshold=float(message.threshold),
                episode_failure=float(message.episode_failure),
                episode_threshold=float(message.episode_threshold),
                lead_s=float(message.time_to_failure),
            )

    def call(self) -> str:
        """Begin a clip, or keep one going, since somebody asks for it; says which.

        Raises:
            StoreError: if there can be none; saying why.
        """
        newest_ns = self._lookback.newest_ns
        if newest_ns < 0:
            raise StoreError("there is nothing to save: no camera, joint or policy has been heard")
        episode_id, step = self._lookback.newest_step
        if refused := self._trigger("call", newest_ns, episode_id=episode_id, step=step):
            raise StoreError(refused)
        assert self._open is not None
        before_s, held_s = self._options.before_s, self._lookback.held_s
        before_s = held_s if held_s < before_s else before_s
        return (
            f"the last {before_s:.3g} s and the next {self._options.after_s:g} s are saved to "
            f"'{self._open.path}'"
        )

    # Clips

    def _trigger(self, why: Why, stamp_ns: int, **about: Any) -> str:
        """Begin a clip or keep one going; returns why there is none, empty where there is."""
        self.reasons[why] += 1
        newest_ns = self._lookback.newest_ns
        if abs(stamp_ns - newest_ns) > self._options.before_s * NANO:
            stamp_ns = newest_ns  # of another clock; it came now
        reason = Reason(why, stamp_ns, time.time(), **about)
        stop_ns = stamp_ns + round(self._options.after_s * NANO)
        clip = self._open
        longest_s = self._options.before_s + self._options.after_s + GOES_ON_S
        if clip is not None and stop_ns - clip.start_ns > longest_s * NANO:
            self._close(f"it had lasted {longest_s:g} s")
            clip = None
        if clip is not None:
            self.merged += 1
            clip.stop_ns = max(clip.stop_ns, stop_ns)
            if len(clip.reasons) < REASONS_LISTED:
                clip.reasons.append(reason)
            else:
                clip.more += 1
            return ""
        self._refused = self._refusal(why)
        if self._refused and why == "call":
            return self._refused  # who called is told
        if self._refused:
            self.unsaved, self._unsaved_since = self.unsaved + 1, self._unsaved_since + 1
            self._refused_s = time.monotonic()
            return self._refused
        self._begun.append(time.monotonic())
        start_ns = stamp_ns - round(self._options.before_s * NANO)
        path = self._path(reason)
        self._open = _Open(path, start_ns, stop_ns, self._unsaved_since, [reason])
        self._lookback.keep_from_ns = start_ns
        self._unsaved_since = 0
        return ""

    def _refusal(self, why: Why) -> str:
        """Why no clip can begin; empty where one can."""
        options, now_s = self._options, time.monotonic()
        while self._begun and now_s - self._begun[0] > MINUTE_S:
            self._begun.popleft()
        if why != "call" and len(self._begun) >= options.per_minute:
            return f"{len(self._begun)} clips were begun in a minute (clips_per_minute)"
        if len(self._writing) >= WAITING:
            return f"{len(self._writing)} clips wait to be written: the disk is too slow"
        if (taken := self.folder_bytes()) >= options.max_bytes:
            return (
                f"clips take {taken / 1e6:.0f} MB of {options.max_bytes / 1e6:.0f} MB "
                f"(clips_max_mb) in '{options.folder}': move some away"
            )
        return ""

    def folder_bytes(self) -> int:
        """What the clips in the folder take."""
        total = 0
        for file in self._options.folder.glob(f"*{SUFFIX}"):
            try:
                total += file.stat().st_size
            except OSError:
                continue  # it was moved away meanwhile
        return total

    def _path(self, reason: Reason) -> Path:
        """A name that says when and why; the next one where it is taken."""
        kind = "" if reason.kind in ("", "none") else f"_{reason.kind}"
        name = f"{datetime.now():%Y-%m-%dT%H-%M-%S}_{reason.why}{kind}"
        places = [self._options.folder / f"{name}{SUFFIX}"]
        waiting = [excerpt.path for excerpt, _ in self._writing]
        while places[-1].exists() or places[-1] in waiting:
            places.append(self._options.folder / f"{name}_{len(places) + 1}{SUFFIX}")
        return places[-1]

    def _close(self, note: str = "") -> None:
        """The time of the clip is over, if there is one: have it written."""
        clip, self._open = self._open, None
        if clip is None:
            return
        self._lookback.keep_from_ns = None
        info = ClipInfo(
            tuple(clip.reasons),
            self._session,
            more=clip.more,
            unsaved=clip.unsaved,
            note=f"cut short: {note}" if note else "",
        )
        held = self._lookback.frozen()
        excerpt = Excerpt(clip.path, held, clip.start_ns, clip.stop_ns, info)
        self._writing.append((excerpt, self._thread.submit(write_clip, excerpt, self._recorder)))

    def collect(self) -> None:
        """Close the clip whose time is over, and see what became of those being written."""
        clip, now_s = self._open, time.monotonic()
        if clip is not None:
            settled_ns = clip.stop_ns + round(self._recorder.rules.settle_s * NANO)
            over = self._lookback.newest_ns >= settled_ns
            if over or now_s - self._heard_s > self._options.after_s:
                self._close("" if over else "everything fell silent")
        while self._writing and self._writing[0][1].done():
            self._finish(*self._writing.pop(0))

    def _finish(self, excerpt: Excerpt, written: Future[None]) -> None:
        what = excerpt.info.reasons[0].words()
        error = written.exception()
        if error is None:
            self.saved, self.last, self._error = self.saved + 1, str(excerpt.path), ""
            self._say(f"saved '{excerpt.path}' ({what})")
            return
        known = isinstance(error, SalusError)
        self._error = str(error) if known else f"{type(error).__name__}: {error}"
        lost = len(excerpt.info.reasons) + excerpt.info.more
        self.unsaved += lost
        self._unsaved_since += lost + excerpt.info.unsaved
        self._log(f"the clip of {what} was not saved: {self._error}")

    def close(self) -> None:
        """Write the clips that have begun."""
        self._close("the recorder ended")
        self._thread.shutdown(wait=True)
        self.collect()

    # State

    def warning(self) -> str:
        """What goes wrong with clips, in words; empty for nothing."""
        words = []
        if self._error:
            words.append(f"a clip was not saved: {self._error}")
        if self._refused and time.monotonic() - self._refused_s < MINUTE_S:
            words.append(f"{self._unsaved_since} alarms or failures have no clip: {self._refused}")
        whole_s = self._options.before_s + self._options.after_s
        if self._full_s < whole_s:
            words.append(f"clip_buffer_mb holds {self._full_s:.1f} s, a clip takes {whole_s:g} s")
        return "; ".join(words)

    def values(self) -> dict[str, object]:
        """Figures of the diagnostics."""
        return {
            "clips saved": self.saved,
            "clips being written": len(self._writing) + (self._open is not None),
            "clips in MB": self.folder_bytes() // 1_000_000,
            "alarms": self.reasons["alarm"],
            "failures": self.reasons["failure"],
            "calls for a clip": self.reasons["call"],
            "merged into a clip that was there": self.merged,
            "without a clip": self.unsaved,
            "look-back in s": self._lookback.held_s,
        }


def _failed(heard: Heard) -> bool:
    return heard.meta is not None and heard.meta.outcome == Outcome.FAILURE
