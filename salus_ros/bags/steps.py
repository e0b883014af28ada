"""Episodes whose steps are ticks of our own, not of whoever acted."""

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from salus_ros.core.failures import Outcome
from salus_ros.core.phases import Phase
from salus_ros.episodes import EpisodeMeta
from salus_ros.recording.arrays import meta_of
from salus_ros.recording.assembly import EPISODES_REMEMBERED, Assembler
from salus_ros.recording.rows import Label
from salus_ros.recording.status import check_id, failure_time_s
from salus_ros.recording.ticks import Over, Tick, Ticker
from salus_ros.recording.time import NANO, jump_words


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
        self._over: dict[str, tuple[str, Over, dict[int, int]]] = {}  # by the announced id

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
        if status.phase == Phase.RUNNING:
            if self._status is not None and self._status.episode_id != status.episode_id:
                self._tell(self._ticker.close("it never ended"), now_s)
                self._status = None
            if self._status is None:
                self._moments = {}
            self._status = status
            self._moments.setdefault(status.step, stamp_ns)
            self._tell(self._ticker.announce(stamp_ns), now_s)
        elif status.phase not in (Phase.ENDED, Phase.DISCARDED):
            return
        elif self._status is not None and self._status.episode_id == status.episode_id:
            self._status = status
            self._tell(self._ticker.close(), now_s)
            self._status = None
        elif status.phase == Phase.ENDED and status.episode_id in self._over:
            self._end(status, *self._over[status.episode_id], now_s)  # it is judged otherwise

    def placed(self, episode_id: str, label: Label) -> tuple[str, Label]:
        """An episode's id for the assembler, and a label of it by the ticks, not by its steps."""
        if episode_id not in self._over:
            return episode_id, label
        ticks_id, over, moments = self._over[episode_id]
        if label.failure_step >= 0:
            step = _moment(label.failure_step, moments, over.stamps)
            label = label._replace(failure_step=step)
        elif label.timed:
            label = label._replace(failure_time_s=label.failure_time_s + _delay_s(moments, over))
        return ticks_id, label

    def _tell(self, events: Iterable[Tick | Over], now_s: float) -> None:
        for event in events:
            if not self._id:
                self._number += 1
                self._id = f"ticks {self._number}"
            if isinstance(event, Tick):
                about = partial(self._about, self._status, self._moments, self._id, self._rate_hz)
                self._assembler.step(self._id, event.step, event.stamp_ns, now_s, about)
            elif self._status is not None and self._status.phase == Phase.DISCARDED:
                self._assembler.discard(self._id, "it was discarded")
                self._id = ""
            else:
                self._end(self._status, self._id, event, self._moments, now_s)
                if self._status is not None:
                    self._over[self._status.episode_id] = self._id, event, self._moments
                    while len(self._over) > EPISODES_REMEMBERED:
                        del self._over[next(iter(self._over))]
                self._id = ""

    def _end(
        self, status: Any, episode_id: str, over: Over, moments: dict[int, int], now_s: float
    ) -> None:
        stamps = over.stamps
        meta = self._about(status, moments, episode_id, over.rate_hz, stamps)
        told = status is not None and bool(moments)
        failed_s = failure_time_s(status) + _delay_s(moments, over) if told else math.nan
        self._assembler.end(meta, stamps[-1], now_s, len(stamps), over.note, failed_s)

    @staticmethod
    def _about(
        status: Any,
        moments: dict[int, int],
        episode_id: str,
        rate_hz: float,
        stamps: tuple[int, ...] = (),
    ) -> EpisodeMeta:
        if status is None:
            return EpisodeMeta(episode_id, "", Outcome.UNKNOWN, rate_hz=rate_hz)
        meta = meta_of(status)
        moment = -1 if meta.failure_step < 0 else _moment(meta.failure_step, moments, stamps)
        return replace(meta, id=episode_id, rate_hz=rate_hz, failure_step=moment)


def _delay_s(moments: dict[int, int], over: Over) -> float:
    """From the first tick to the first step that is announced, from which times count."""
    return (moments[min(moments)] - over.stamps[0]) / NANO


def _moment(failure_step: int, moments: dict[int, int], stamps: tuple[int, ...]) -> int:
    """The tick of a step of the recording; -1 where its moment is not known."""
    if failure_step in moments:
        return int(np.searchsorted(stamps, moments[failure_step], side="left"))
    return len(stamps) if failure_step > max(moments) else -1
