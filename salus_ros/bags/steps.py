"""Episodes whose steps are ticks of our own, not of whoever acted."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from salus_ros.core.failures import Outcome
from salus_ros.core.phases import Phase
from salus_ros.episodes import EpisodeMeta
from salus_ros.recording.arrays import meta_of
from salus_ros.recording.assembly import Assembler
from salus_ros.recording.status import check_id
from salus_ros.recording.ticks import Over, Tick, Ticker
from salus_ros.recording.time import jump_words


class TickedEpisodes:
    """Tells an assembler of the steps that a ticker makes, and what is known of their episodes."""

    def __init__(self, assembler: Assembler, ticker: Ticker, rate_hz: float) -> None:
        """Nothing has been heard yet.

        Args:
            assembler: Is told.
            ticker: Makes the steps.
            rate_hz: Steps per second, while an episode runs.
        """
        self._assembler, self._ticker, self._rate_hz = assembler, ticker, rate_hz
        self._id, self._number = "", -1
        self._status: Any = None  # newest of the episode that is announced
        self._moments: dict[int, int] = {}  # stamps of the steps of whoever announces it

    def sample(self, stream: str, stamp_ns: int, now_s: float) -> None:
        """Take note of a sample, after the assembler has taken it."""
        self._tell(self._ticker.sample(stream, stamp_ns), now_s)

    def jump(self, stream: str, jump_ns: int, now_s: float) -> None:
        """Take note that the clock of a stream has jumped: what came before is over."""
        self._tell(self._ticker.close(f"{jump_words(jump_ns)} on '{stream}'"), now_s)

    def close(self, now_s: float) -> None:
        """The recording is over."""
        self._tell(self._ticker.close(), now_s)

    def announce(self, status: Any, stamp_ns: int, now_s: float) -> None:
        """Follow an EpisodeStatus.

        Raises:
            ObservationError: if its id cannot be one.
        """
        check_id(status.episode_id)
        if self._status is not None and self._status.episode_id != status.episode_id:
            self._tell(self._ticker.close("it never ended"), now_s)
            self._status = None
        if status.phase == Phase.RUNNING:
            if self._status is None:
                self._moments = {}
            self._status = status
            self._moments.setdefault(status.step, stamp_ns)
            self._tell(self._ticker.announce(stamp_ns), now_s)
        elif status.phase in (Phase.ENDED, Phase.DISCARDED) and self._status is not None:
            self._status = status
            self._tell(self._ticker.close(), now_s)
            self._status = None

    def _tell(self, events: Iterable[Tick | Over], now_s: float) -> None:
        for event in events:
            if not self._id:
                self._number += 1
                self._id = f"ticks {self._number}"
            if isinstance(event, Tick):
                about = partial(self._about, self._id, self._rate_hz)
                self._assembler.step(self._id, event.step, event.stamp_ns, now_s, about)
            elif self._status is not None and self._status.phase == Phase.DISCARDED:
                self._assembler.discard(self._id, "it was discarded")
                self._id = ""
            else:
                meta = self._about(self._id, event.rate_hz, event.stamps)
                total = len(event.stamps)
                self._assembler.end(meta, event.stamps[-1], now_s, total, event.note)
                self._id = ""

    def _about(self, episode_id: str, rate_hz: float, stamps: tuple[int, ...] = ()) -> EpisodeMeta:
        if self._status is None:
            return EpisodeMeta(episode_id, "", Outcome.UNKNOWN, rate_hz=rate_hz)
        meta = meta_of(self._status)
        moment = -1 if meta.failure_step < 0 else self._moment(meta.failure_step, stamps)
        return replace(meta, id=episode_id, rate_hz=rate_hz, failure_step=moment)

    def _moment(self, failure_step: int, stamps: tuple[int, ...]) -> int:
        """The tick of a step of the recording; -1 where its moment is not known."""
        if failure_step in self._moments:
            return int(np.searchsorted(stamps, self._moments[failure_step], side="left"))
        return len(stamps) if failure_step > max(self._moments) else -1
