"""The gallery of alarms: which were right, and what the cameras showed."""

import math
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from salus_ros import __version__
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.reports.figures.alarm import save_clip
from salus_ros.reports.numbers.alarms import Clip, Gallery, Judged, Truth, clip_json, load_gallery
from salus_ros.reports.pages.rendering import write_numbers, write_page

NUMBERS_NAME = "alarms.json"
"""Every number of the page, beside it."""

SHOWN = 100
"""Clips that are shown with pictures, the newest; the others are listed."""


def write_gallery(
    folder: Path, out: Path, stores: Sequence[Path] = (), shown: int = SHOWN
) -> Path:
    """Write `index.html`, which needs no other file, and beside it its pictures and numbers.

    Args:
        folder: The clips.
        out: Folder to write to; made if it is not there.
        stores: Recorded episodes, which say how the episodes of alarms ended.
        shown: How many clips are shown with pictures.

    Returns:
        Path of `index.html`.

    Raises:
        ConfigError: if there is no clip, or `out` cannot be written.
        StoreError: if a store cannot be read.
    """
    gallery = load_gallery(folder, stores)
    counts = gallery.counts()
    try:
        out.mkdir(parents=True, exist_ok=True)
        cards, drawn = _cards(gallery, out, shown)
        numbers = {
            "salus_version": __version__,
            "counts": counts,
            "clips": [clip_json(clip) for clip in gallery.clips],
            "unreadable": [{"file": name, "why": why} for name, why in gallery.unreadable],
        }
        write_numbers(numbers, out / NUMBERS_NAME)
        values = {
            "title": f"Alarms: {folder.resolve().name}",
            "head": "alarms/head.html",
            "sections": [
                {"title": "All clips", "template": "alarms/table.html"},
                {"title": "Pictures", "template": "alarms/pictures.html"},
            ],
            "counts": counts,
            "cards": cards,
            "shown": len(drawn),
            "unreadable": gallery.unreadable,
            "span": _span(gallery),
            "stores": [store.name for store in stores],
        }
        return write_page("page.html", out, drawn, values)
    except OSError as error:
        raise ConfigError(f"cannot write the gallery to '{out}': {error.strerror}") from error


def _cards(gallery: Gallery, out: Path, shown: int) -> tuple[list[dict[str, Any]], list[str]]:
    """What the page says of each clip, and the names of the pictures that were drawn."""
    cards: list[dict[str, Any]] = []
    drawn = []
    first = len(gallery.clips) - shown
    for number, clip in enumerate(gallery.clips):
        picture, fault = f"clip_{number}", ""
        if number < first:
            picture = ""
        else:
            try:
                save_clip(out / f"{picture}.jpg", clip)
                drawn.append(picture)
            except StoreError as error:
                picture, fault = "", str(error)
        cards.append(_card(clip) | {"number": number, "picture": picture, "fault": fault})
    return cards, drawn


def _card(clip: Clip) -> dict[str, Any]:
    lines = [_line(one) for one in clip.judged]
    when = datetime.fromtimestamp(clip.wall_s)
    return {
        "time": f"{when:%Y-%m-%d %H:%M:%S}",
        "file": clip.path.name,
        "task": clip.meta.task,
        "note": clip.info.note,
        "more": clip.info.more,
        "lines": lines,
    }


def _line(one: Judged) -> dict[str, Any]:
    """What the page says of an alarm, a failure or a call."""
    lead = "" if math.isnan(one.lead_s) else f"{one.lead_s:.2f} s"
    return {
        "words": one.reason.words(),
        "why": one.reason.why,
        "truth": "" if one.truth is None else one.truth.value,
        "right": one.truth is Truth.TRUE,
        "wrong": one.truth is Truth.FALSE,
        "kind": "-" if one.reason.kind == "none" else one.reason.kind.replace("_", " "),
        "ended": one.ending.replace("_", " "),
        "lead": lead,
        "by": one.by,
    }


def _span(gallery: Gallery) -> str:
    """From when to when, in words."""
    times = [datetime.fromtimestamp(clip.wall_s) for clip in gallery.clips]
    if not times:
        return ""
    first, last = min(times), max(times)
    end = f"{last:%H:%M}" if first.date() == last.date() else f"{last:%Y-%m-%d %H:%M}"
    return f"{first:%Y-%m-%d %H:%M} to {end}"
