"""Steps of a recording in which nobody counts them: at an even rate, or at a stream's samples."""

import math
from bisect import insort
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np

from salus_ros.recording.time import AHEAD_NS, NANO

TICK_TOLERANCE = 1e-3
"""Part of a period by which the last tick may lie after the last sample."""


@dataclass(frozen=True, slots=True)
class Tick:
    """A step of the episode that runs."""

    step: int
    stamp_ns: int


@dataclass(frozen=True, slots=True)
class Over:
    """The episode that runs is over.

    Attributes:
        stamps: Those of its steps, at least one.
        rate_hz: Steps per second.
        note: What a person should read about it; empty for nothing.
    """

    stamps: tuple[int, ...]
    rate_hz: float
    note: str = ""


class Ticker:
    """Makes the steps of one episode after the other.

    An episode begins when every stream has been heard, at the latest of their first stamps, and
    ends when all of them fall silent for too long. Where somebody announces episodes, it begins
    and ends with what is announced (`announce`).

    Attributes:
        stamps: Stamps of the steps of the episode that runs.
    """

    def __init__(
        self,
        streams: Collection[str],
        rate_hz: float,
        clock: str = "",
        gap_s: float = math.nan,
        *,
        disorder_ns: int = 0,
        announced: bool = False,
    ) -> None:
        """Make no step yet.

        Args:
            streams: Names of those that have to be heard.
            rate_hz: Steps per second, where there is no clock.
            clock: Stream of which every sample is a step; empty for none.
            gap_s: Silence of all streams that ends an episode, in s; NaN where only one that no
                pause explains does (`AHEAD_NS`).
            disorder_ns: How much older than the newest a stamp may still come.
            announced: Whether somebody announces episodes.
        """
        self._streams = frozenset(streams)
        self._period_ns = NANO / rate_hz
        self._clock = clock
        self._told_gap = not math.isnan(gap_s)
        self._gap_ns = gap_s * NANO if self._told_gap else AHEAD_NS
        self._disorder_ns = disorder_ns
        self._announced = announced
        self.stamps: list[int] = []
        self._first: dict[str, int] = {}
        self._latest_ns = -1
        self._start_ns: int | None = None
        self._pending: list[int] = []

    def sample(self, stream: str, stamp_ns: int) -> list[Tick | Over]:
        """Take note of a sample; returns what follows from it, in order."""
        events: list[Tick | Over] = []
        if self._announced:
            if stream == self._clock:
                insort(self._pending, stamp_ns)
            return events
        silent_ns = stamp_ns - self._latest_ns if self._first else 0
        if silent_ns > self._gap_ns:
            note = (
                ""
                if self._told_gap
                else (
                    f"all streams are silent for {silent_ns / NANO:.1f} s, so it ends there; set "
                    "episodes: {gap_s: SECONDS} to choose"
                )
            )
            events += self.close(note)
        self._first[stream] = min(stamp_ns, self._first.get(stream, stamp_ns))
        self._latest_ns = max(stamp_ns, self._latest_ns)
        if stream == self._clock:
            insort(self._pending, stamp_ns)
        if self._start_ns is None and self._streams <= self._first.keys():
            self._start_ns = max(self._first[name] for name in self._streams)
        return events + self._due()

    def announce(self, stamp_ns: int) -> list[Tick | Over]:
        """Take note that an announced episode is under way at a stamp."""
        if self._start_ns is None:
            self._start_ns = stamp_ns
        self._latest_ns = max(stamp_ns, self._latest_ns)
        return self._due()

    def close(self, note: str = "") -> list[Tick | Over]:
        """End the episode that runs, if any."""
        if self._start_ns is None and self._first:
            self._start_ns = max(self._first.values())  # the others are not there at all
        events: list[Tick | Over] = list(self._due(last=True))
        if self.stamps:
            events.append(Over(tuple(self.stamps), self._rate_hz(), note))
        self._clear()
        return events

    def _due(self, *, last: bool = False) -> list[Tick | Over]:
        if self._start_ns is None:
            return []
        before = len(self.stamps)
        if self._clock:
            limit_ns = self._latest_ns - (0 if last else self._disorder_ns)
            while self._pending and self._pending[0] <= limit_ns:
                stamp_ns = self._pending.pop(0)
                newest_ns = self.stamps[-1] if self.stamps else self._start_ns - 1
                if stamp_ns > newest_ns:
                    self.stamps.append(stamp_ns)
        else:
            # Stamps of whole nanoseconds may end a little before the last tick of their rate.
            reach_ns = self._latest_ns + (TICK_TOLERANCE * self._period_ns if last else 0)
            while self._start_ns + len(self.stamps) * self._period_ns <= reach_ns:
                self.stamps.append(self._start_ns + round(len(self.stamps) * self._period_ns))
        return [Tick(step, self.stamps[step]) for step in range(before, len(self.stamps))]

    def _rate_hz(self) -> float:
        if not self._clock or len(self.stamps) < 2:
            return NANO / self._period_ns
        return float(NANO / np.median(np.diff(self.stamps)))

    def _clear(self) -> None:
        self.stamps, self._first, self._pending = [], {}, []
        self._latest_ns, self._start_ns = -1, None
