"""Clips of alarms, and which alarms were right."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.episodes.clip import OUTCOMES, SUFFIX, ClipInfo, Ending, Reason, clip_info
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.episodes.interventions import parse
from salus_ros.episodes.reader import StoreReader

NANO = 1e9


class Truth(StrEnum):
    """Whether an alarm was right."""

    TRUE = "true"
    LATE = "late"
    FALSE = "false"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True)
class Judged:
    """An alarm, a failure or a call, and what came of its episode.

    Attributes:
        reason: It.
        truth: Of an alarm; None for anything else.
        ending: How its episode ended, "success" or the kind of failure; empty where that is not
            known.
        lead_s: Time from the alarm to the failure in s, negative after it; NaN for none, or
            where the moment is not known.
        by: What knows the ending; or why nothing does.
    """

    reason: Reason
    truth: Truth | None
    ending: str = ""
    lead_s: float = math.nan
    by: str = ""


@dataclass(frozen=True, slots=True)
class Clip:
    """A clip of the gallery.

    Attributes:
        path: Its file.
        reader: Of its episode.
        meta: What is known of that.
        info: What it says of itself.
        judged: Its reasons, judged.
        failure_ns: Stamp of the failure of its first reason's episode; -1 for none.
    """

    path: Path
    reader: StoreReader
    meta: EpisodeMeta
    info: ClipInfo
    judged: tuple[Judged, ...]
    failure_ns: int

    @property
    def wall_s(self) -> float:
        """When it began, in s since 1970."""
        return self.info.reasons[0].wall_s


@dataclass(frozen=True, slots=True)
class Gallery:
    """The clips of a folder.

    Attributes:
        clips: In the order of time.
        unreadable: Names of files that are no whole clip, and why.
    """

    clips: tuple[Clip, ...]
    unreadable: tuple[tuple[str, str], ...] = ()

    def judged(self) -> list[Judged]:
        """All reasons of all clips."""
        return [one for clip in self.clips for one in clip.judged]

    def counts(self) -> dict[str, Any]:
        """Figures of all of them, as JSON values."""
        every = self.judged()
        truths = Counter(one.truth for one in every if one.truth is not None)
        whys = Counter(one.reason.why for one in every)
        leads = [one.lead_s for one in every if one.truth is Truth.TRUE]
        known = [lead for lead in leads if not math.isnan(lead)]
        return {
            "clips": len(self.clips),
            "alarms": whys["alarm"],
            **{truth.value: truths[truth] for truth in Truth},
            "lead_s": float(np.median(known)) if known else None,
            "failures": whys["failure"],
            "failures_without_alarm": sum(self._unforeseen()),
            "calls": whys["call"],
            "not_listed": sum(clip.info.more for clip in self.clips),
            "without_a_clip": sum(clip.info.unsaved for clip in self.clips),
            "unreadable": len(self.unreadable),
        }

    def _unforeseen(self) -> Iterable[bool]:
        """Of each failure whether no alarm of its episode came with a clip."""
        alarmed = {
            (clip.info.session, one.reason.episode_id)
            for clip in self.clips
            for one in clip.judged
            if one.truth in (Truth.TRUE, Truth.UNKNOWN)
        }
        for clip in self.clips:
            for one in clip.judged:
                if one.reason.why == "failure":
                    yield (clip.info.session, one.reason.episode_id) not in alarmed


def load_gallery(folder: Path, stores: Sequence[Path] = ()) -> Gallery:
    """Read the clips of a folder and judge their alarms.

    Args:
        folder: The folder.
        stores: Recorded episodes; what they say of how one ended goes before what clips say.

    Raises:
        ConfigError: if there is no such folder, or no clip in it.
        StoreError: if a store cannot be read.
    """
    files = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    if not files:
        found = "holds no clip" if folder.is_dir() else "is no folder"
        raise ConfigError(
            f"'{folder}' {found} (*{SUFFIX}); give the one that the recorder saves clips into, "
            "its parameter clips"
        )
    read: list[tuple[Path, StoreReader, ClipInfo]] = []
    unreadable = []
    for file in files:
        try:
            reader = StoreReader(file)
            info = clip_info(reader)
        except StoreError as error:
            unreadable.append((file.name, str(error)))
            continue
        if info is None:
            unreadable.append((file.name, "it is an episode store, but no clip"))
        else:
            read.append((file, reader, info))
    read.sort(key=lambda one: one[2].reasons[0].wall_s)
    endings = _Endings(stores, [info for _, _, info in read])
    clips = []
    for file, reader, info in read:
        meta = reader.meta(0)
        stamps = reader.to_numpy(["stamp_ns"])["stamp_ns"]
        judged = [_judge(one, endings.of(one, info, _told(meta, stamps))) for one in info.reasons]
        first = endings.of(info.reasons[0], info, _told(meta, stamps))
        failure_ns = -1 if first is None else first.ending.failure_ns
        clips.append(Clip(file, reader, meta, info, tuple(judged), failure_ns))
    return Gallery(tuple(clips), tuple(unreadable))


@dataclass(frozen=True, slots=True)
class _Known:
    """How an episode ended, and what says so."""

    ending: Ending
    by: str


@dataclass(slots=True)
class _Recorded:
    """An episode of a store."""

    reader: StoreReader
    index: int
    meta: EpisodeMeta
    stamps: NDArray[np.int64] | None = field(default=None)

    def ending(self) -> Ending:
        """How it ended."""
        if self.stamps is None:
            rows = self.reader.rows(self.index)
            self.stamps = self.reader.to_numpy(["stamp_ns"], rows)["stamp_ns"]
        return _told(self.meta, self.stamps)


class _Endings:
    """How the episodes of alarms ended, as stores say, or clips."""

    def __init__(self, stores: Sequence[Path], infos: Sequence[ClipInfo]) -> None:
        self._recorded: dict[str, list[_Recorded]] = {}
        for store in stores:
            reader = StoreReader(store)
            for index, meta in enumerate(reader.episodes()):
                self._recorded.setdefault(meta.id, []).append(_Recorded(reader, index, meta))
        self._said: dict[tuple[str, str], list[Ending]] = {}
        for info in infos:
            for ending in info.endings:
                self._said.setdefault((info.session, ending.episode_id), []).append(ending)

    def of(self, reason: Reason, info: ClipInfo, label: Ending) -> _Known | None:
        """How the episode of an alarm, a failure or a call ended; None where nothing says it."""
        if not reason.episode_id:
            return None
        for one in reversed(self._recorded.get(reason.episode_id, [])):
            ending = one.ending()
            assert one.stamps is not None
            # An id may come again; a moment of it does not.
            inside = one.stamps[0] <= reason.stamp_ns <= ending.ended_ns + NANO
            if inside and ending.outcome != "unknown":
                return _Known(ending, f"store {one.reader.path.name}")
        said = self._said.get((info.session, reason.episode_id), [])
        later = [one for one in said if one.ended_ns >= reason.stamp_ns]
        # The first that is later is the alarm's own, where the id came again; its newest word.
        first_ns = min((one.ended_ns for one in later), default=-1)
        own = [one for one in later if one.ended_ns == first_ns]
        if label.episode_id == reason.episode_id and label.outcome != "unknown":
            if label.outcome == "failure" and label.failure_ns < 0 and own:
                same = [one for one in own if one.kind == label.kind]  # outside of the clip
                return _Known(same[-1] if same else label, "the clip")
            return _Known(label, "the clip")
        known = [one for one in own if one.outcome != "unknown"]
        return _Known(known[-1], "status of the episode") if known else None


def _told(meta: EpisodeMeta, stamps: NDArray[np.int64]) -> Ending:
    """What is known of an episode of these steps, by stamps."""
    end_ns = int(stamps[-1])
    failure_ns = -1
    if meta.failure_step >= 0:
        after = meta.failure_step >= len(stamps)
        failure_ns = (
            end_ns + round(NANO / meta.rate_hz) if after else int(stamps[meta.failure_step])
        )
    spans = parse(meta.interventions)
    return Ending(
        meta.id,
        end_ns,
        OUTCOMES[meta.outcome],
        meta.finest_type.label,
        failure_ns,
        int(stamps[spans[-1].stop - 1]) if spans else -1,
    )


def _judge(reason: Reason, known: _Known | None) -> Judged:
    alarm = reason.why == "alarm"
    if known is None:
        by = "nothing says how its episode ended" if reason.episode_id else "of no episode"
        return Judged(reason, Truth.UNKNOWN if alarm else None, by=by)
    ending = known.ending
    failed = ending.outcome == "failure"
    lead_s = (ending.failure_ns - reason.stamp_ns) / NANO if ending.failure_ns >= 0 else math.nan
    how = ending.kind if failed else ending.outcome
    if not alarm:
        return Judged(reason, None, how, by=known.by)
    if failed:
        truth = Truth.LATE if lead_s < 0 else Truth.TRUE
        return Judged(reason, truth, how, lead_s, known.by)
    if ending.intervened_ns >= reason.stamp_ns:
        by = f"{known.by}; something else than the policy acted after the alarm"
        return Judged(reason, Truth.UNKNOWN, how, by=by)
    return Judged(reason, Truth.FALSE, how, by=known.by)


def clip_json(clip: Clip) -> dict[str, Any]:
    """A clip as JSON has it; what does not exist is null."""
    return {
        "file": clip.path.name,
        "time": datetime.fromtimestamp(clip.wall_s).astimezone().isoformat(timespec="seconds"),
        "task": clip.meta.task,
        "note": clip.info.note,
        "reasons": [
            {
                "why": one.reason.why,
                "episode": one.reason.episode_id or None,
                "step": one.reason.step if one.reason.step >= 0 else None,
                "row": one.reason.row if one.reason.row >= 0 else None,
                "kind": one.reason.kind or None,
                "risk": _number(one.reason.risk),
                "threshold": _number(one.reason.threshold),
                "episode_failure": _number(one.reason.episode_failure),
                "episode_threshold": _number(one.reason.episode_threshold),
                "foreseen_lead_s": _number(one.reason.lead_s),
                "truth": None if one.truth is None else one.truth.value,
                "ended": one.ending or None,
                "lead_s": _number(one.lead_s),
                "by": one.by,
            }
            for one in clip.judged
        ],
    }


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None
