"""Sections of the page: each draws its figures into a folder and returns its HTML."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros.evaluation.statistics import CONFIDENCE
from salus_ros.reports import figures, markup
from salus_ros.reports.counts import NO_FAULT, fault_delays
from salus_ros.reports.figures import shown
from salus_ros.reports.filmstrip import Strip
from salus_ros.reports.recordings import ENDINGS, FAILED, SUCCESS, UNLABELLED, Recordings

LEVEL = f"{100 * CONFIDENCE:.0f} %"

Numbers = Mapping[str, Any]


def head(overview: Numbers) -> list[str]:
    """Figures at a glance, and a line on where they come from."""
    success, hours = overview["success"], overview["hours"]
    rate = markup.percent(success["share"])
    tiles = {
        "episodes": f"{overview['episodes']:,}",
        "steps": f"{overview['steps']:,}",
        "of simulated time": f"{hours:.2f} h" if hours >= 1 else f"{60 * hours:.1f} min",
        f"success, {LEVEL} interval {markup.interval(success) or '-'}": rate,
    }
    if overview["unlabelled"]:
        tiles["unlabelled, in no share"] = f"{overview['unlabelled']:,}"
    rows = [
        (name, ", ".join(f"{shown(value)} ({n})" for value, n in overview[name].items()))
        for name in ("policies", "conditions", "tasks", "faults")
    ]
    return [markup.tiles(tiles), markup.table((), rows)]


def outcomes(groups: Numbers, out: Path) -> str:
    """Endings by task, fault, condition and policy."""
    if not groups["all"][0]["episodes"]:
        return markup.note("There is no episode yet.")
    file = out / "outcomes.png"
    figures.save_outcomes(file, groups)
    header = ("", "episodes", *(markup.dot(ending) for ending in ENDINGS), UNLABELLED)
    rows: list[tuple[Any, ...]] = []
    for name, members in groups.items():
        if name != "all":
            rows.append((f"by {name}",))
        rows += [
            (
                markup.Markup(f"<b>{markup.escape(shown(member['name']))}</b>"),
                member["episodes"],
                *(markup.share_cell(member["endings"][ending]) for ending in ENDINGS),
                member["unlabelled"],
            )
            for member in members
        ]
    return markup.join(
        markup.note(
            "Each bar is one group of episodes, the number in a segment how many ended that way, "
            f"the dark line the {LEVEL} Wilson interval of the success rate. On the "
            "right: how many episodes have a known outcome."
        ),
        markup.image(file, "Shares of outcomes by group"),
        markup.table(header, rows),
    )


def frames(strips: Sequence[Strip], out: Path) -> str:
    """Frames of one episode of each ending."""
    if not strips:
        return markup.note("No episode with a known outcome has images.")
    file = out / "frames.png"
    figures.save_filmstrips(file, strips)
    rows = [
        (
            markup.dot(s.ending), s.task, f"fault: {shown(s.fault)}", f"camera {s.camera}",
            f"episode {s.index} of {s.store}",
        )
        for s in strips
    ]  # fmt: skip
    absent = [ending for ending in ENDINGS if ending not in {s.ending for s in strips}]
    return markup.join(
        markup.note(
            "Of each ending, the episode of median length among those with images; from the start "
            "to the failure (framed) or the end.",
            f"Without such an episode: {', '.join(absent)}." if absent else None,
        ),
        markup.image(file, "Frames of one episode per ending"),
        markup.table((), rows),
    )


def lengths(numbers: Numbers, recordings: Recordings, out: Path) -> str:
    """How long episodes lasted."""
    if not len(recordings):
        return markup.note("There is no episode yet.")
    file = out / "lengths.png"
    figures.save_lengths(file, recordings)
    rows = [
        (
            markup.dot(ending), found["steps"]["values"], found["steps"]["min"],
            found["steps"]["p05"], found["steps"]["p50"], found["steps"]["p95"],
            found["steps"]["max"], found["seconds"]["p50"],
        )
        for ending, found in numbers.items()
        if found["steps"]["values"] or ending != UNLABELLED
    ]  # fmt: skip
    header = (
        "steps", "episodes", "shortest", "5 %", "median", "95 %", "longest", "median in s",
    )  # fmt: skip
    return markup.join(
        markup.image(file, "Histogram of episode lengths by ending"), markup.table(header, rows)
    )


def failure_times(numbers: Numbers, recordings: Recordings, out: Path) -> str:
    """When in the episode each type of failure happened."""
    rows = [
        (
            markup.dot(kind), found["episodes"], found["moment_unknown"],
            found["seconds"]["p05"], found["seconds"]["p25"], found["seconds"]["p50"],
            found["seconds"]["p75"], found["seconds"]["p95"],
        )
        for kind, found in numbers.items()
    ]  # fmt: skip
    header = ("s", "failures", "moment unknown", "5 %", "25 %", "median", "75 %", "95 %")
    if not np.isfinite(recordings.failure_s()).any():
        return markup.join(
            markup.note("No failure has a known moment."), markup.table(header, rows)
        )
    file = out / "failure_times.png"
    figures.save_failure_times(file, recordings)
    return markup.join(
        markup.note("One tick below the histogram per episode."),
        markup.image(file, "When each type of failure happens"),
        markup.table(header, rows),
    )


def faults(numbers: Sequence[Numbers], recordings: Recordings, out: Path) -> str:
    """What followed the injected faults."""
    injected = [found for found in numbers if found["fault"] != NO_FAULT]
    if not injected:
        return markup.note("No fault was injected in any of these episodes.")
    delays = fault_delays(recordings)
    file = out / "fault_delays.png"
    if delays:
        figures.save_fault_delays(file, delays)
    header = (
        "fault", "episodes", "failed after it", *(markup.dot(kind) for kind in FAILED),
        "delay in s", "failed before", "over before", "no moment",
    )  # fmt: skip
    rows = [
        (
            markup.Markup(f"<b>{markup.escape(shown(found['fault']))}</b>"),
            found["episodes"],
            markup.share_cell(found["failed_after"]),
            *(n if found["failed_after"]["of"] else None for n in found["types_after"].values()),
            _delay(found["delay_s"]),
            *(
                None if found["fault"] == NO_FAULT else found[key]
                for key in ("failed_before", "over_before", "without_moment")
            ),
        )
        for found in numbers
    ]
    return markup.join(
        markup.note(
            "“Failed after it”: failures at the step of the fault or later, among the episodes "
            "with a known outcome that were still going when the fault came; in the row without "
            "a fault, all failures. Delay: median and quartiles. The difference between the rows, "
            "not a row alone, is what a fault does."
        ),
        markup.image(file, "Delay from fault to failure")
        if delays
        else markup.note("No failure followed a fault at a known moment."),
        markup.table(header, rows),
    )


def stores(overview: Numbers) -> str:
    """The stores the episodes come from."""
    rows = [
        (
            part["path"], part["episodes"], part["steps"], markup.share_cell(part["success"]),
            ", ".join(shown(name) for name in part["conditions"]),
            ", ".join(part["cameras"]) or "none", part["embedding_dim"],
        )
        for part in overview["stores"]
    ]  # fmt: skip
    header = ("store", "episodes", "steps", SUCCESS, "conditions", "cameras", "embedding")
    return markup.table(header, rows)


def _delay(found: Numbers) -> markup.Markup:
    """Median, and quartiles below it."""
    if found["p50"] is None:
        return markup.Markup("-")
    return markup.below(f"{found['p50']:.2f}", f"{found['p25']:.2f} to {found['p75']:.2f}")
