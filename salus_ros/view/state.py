"""What the page shows, filled by a node and read by the pages' connections."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import FailureType
from salus_ros.messages.signals import PredictionRow
from salus_ros.view.course import Course, Json, Limits, form_json, verdict_of
from salus_ros.view.pictures import to_jpeg
from salus_ros.view.verdict import Level, Verdict

type Array = NDArray[np.float32]

STALE_S = 2.0
"""Silence of the predictions in a running episode after which the risk is not known."""


@dataclass(slots=True)
class Frame:
    """The newest image of a camera; its JPEG is made once, when a page first wants it."""

    version: int
    stamp_s: float
    pixels: NDArray[np.uint8]
    _jpeg: bytes | None = None

    @property
    def jpeg(self) -> bytes:
        """The image as JPEG."""
        if self._jpeg is None:
            self._jpeg = to_jpeg(self.pixels)
        return self._jpeg


@dataclass(frozen=True, slots=True)
class Seen:
    """Up to where a page knows the state."""

    version: int = -1
    course: int = -1


@dataclass(frozen=True, slots=True)
class Update:
    """What a page does not know yet.

    Attributes:
        values: As JSON has it; `frames` names the pictures that follow, in order.
        frames: Those pictures.
        seen: What the page knows then.
    """

    values: dict[str, Json]
    frames: list[Frame]
    seen: Seen


@dataclass(slots=True)
class _Part:
    version: int
    value: Json


@dataclass(slots=True)
class _Running:
    """What the episode's status said last."""

    known: bool = False  # whether one was ever heard
    running: bool = False
    step: int = 0
    since_s: float = field(default_factory=time.monotonic)


class ViewState:
    """The live state: one writer, any number of readers in other threads.

    Memory is bounded: one image a camera, `course.LONGEST` steps, and what `put` is given.
    """

    def __init__(self) -> None:
        """Nothing is known."""
        self._lock = threading.Lock()
        self._version = 0
        self._parts: dict[str, _Part] = {}
        self._frames: dict[str, Frame] = {}
        self._course = Course()
        self._course_number = 0
        self._form_version = 0
        self._status = _Running()
        self._predicted: tuple[float, Verdict] | None = None
        self._watchers = 0
        self._tell: list[Callable[[], None]] = []

    # Filled by the node

    def put(self, name: str, value: Json) -> None:
        """Set a named part of the page; nothing happens where it is the same as before."""
        with self._lock:
            known = self._parts.get(name)
            if known is None or known.value != value:
                self._version += 1
                self._parts[name] = _Part(self._version, value)

    def image(self, camera: str, stamp_ns: int, pixels: NDArray[np.uint8]) -> None:
        """Take the newest image of a camera: RGB uint8 (H, W, 3)."""
        with self._lock:
            self._version += 1
            self._frames[camera] = Frame(self._version, stamp_ns / 1e9, pixels)

    def episode(self, episode_id: str, step: int, stamp_ns: int, *, running: bool) -> None:
        """Take what the status of the episode says; another one, or a step back, begins anew."""
        with self._lock:
            status = self._status
            back = running and status.running and step < status.step
            if episode_id and (episode_id != self._course.episode_id or back):
                self._begin(episode_id, stamp_ns)
            if running and (back or not status.running):
                status.since_s = time.monotonic()
            status.known, status.running, status.step = True, running, step

    def signals(self, episode_id: str, step: int, stamp_ns: int, values: Array) -> None:
        """Take the signals of a step: float32 (S,), NaN where one does not exist."""
        with self._lock:
            if self._takes(episode_id, stamp_ns):
                self._version += 1
                self._course.add_signals(step, stamp_ns, values, self._version)

    def prediction(
        self,
        episode_id: str,
        step: int,
        stamp_ns: int,
        row: PredictionRow,
        limits: Limits,
        kind: FailureType,
        lead_s: float,
    ) -> None:
        """Take what was predicted at a step; see `verdict_of`."""
        verdict = verdict_of(row, limits, kind, lead_s)
        with self._lock:
            if not self._takes(episode_id, stamp_ns):
                return
            self._version += 1
            form = self._course.form
            self._course.add_prediction(step, stamp_ns, row, limits, verdict, self._version)
            if self._course.form != form:
                self._form_version = self._version
            self._predicted = time.monotonic(), verdict

    def _takes(self, episode_id: str, stamp_ns: int) -> bool:
        """Whether a step belongs to the course; the first of a later episode begins one."""
        if episode_id == self._course.episode_id:
            return True
        if self._status.known and stamp_ns <= self._course.newest_ns:
            return False  # of an episode that is over
        self._begin(episode_id, stamp_ns)
        return True

    def _begin(self, episode_id: str, stamp_ns: int) -> None:
        self._version += 1
        self._course, self._course_number = Course(episode_id), self._course_number + 1
        self._course.newest_ns = stamp_ns
        self._form_version = self._version
        self._predicted = None

    def verdict(self) -> Verdict:
        """What the banner says now."""
        with self._lock:
            status, predicted = replace(self._status), self._predicted
        now_s = time.monotonic()
        if status.known and not status.running:
            return Verdict(Level.IDLE, "no episode is running")
        if predicted is None:
            if now_s - status.since_s < STALE_S and status.known:
                return Verdict(Level.IDLE, "the episode has just begun")
            return Verdict(
                Level.UNKNOWN,
                "nothing has been predicted, which is not safe; has the predictor a model?",
            )
        at_s, verdict = predicted
        if now_s - at_s > STALE_S:
            was = "; the last one was an alarm" if verdict.level == Level.ALARM else ""
            silent = f"no prediction for {now_s - at_s:.0f} s, which is not safe{was}"
            return Verdict(Level.UNKNOWN, silent)
        return verdict

    def publish(self) -> None:
        """Tell the pages that something may have changed."""
        verdict = self.verdict()
        self.put("banner", {"level": verdict.level.value, "text": verdict.text})
        for tell in list(self._tell):
            tell()

    # Read by the pages

    def on_publish(self, tell: Callable[[], None]) -> None:
        """Have `tell` called, in the node's thread, whenever something may have changed."""
        self._tell.append(tell)

    @property
    def watched(self) -> bool:
        """Whether any page is open."""
        return self._watchers > 0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """A page is open meanwhile."""
        with self._lock:
            self._watchers += 1
        try:
            yield
        finally:
            with self._lock:
                self._watchers -= 1

    def since(self, seen: Seen) -> Update:
        """What has changed since a page was last told; all of it at first."""
        with self._lock:
            anew = seen.course != self._course_number
            steps_after = -1 if anew else seen.version
            values: dict[str, Json] = {
                "parts": {
                    name: part.value
                    for name, part in self._parts.items()
                    if part.version > seen.version
                },
                "anew": anew,
                "steps": list(self._course.since(steps_after)),
            }
            if anew or self._form_version > seen.version:
                values["form"] = form_json(self._course.form)
            frames = {
                name: frame for name, frame in self._frames.items() if frame.version > seen.version
            }
            seen = Seen(self._version, self._course_number)
        values["frames"] = [[name, frame.stamp_s] for name, frame in frames.items()]
        return Update(values, list(frames.values()), seen)
