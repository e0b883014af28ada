"""Figures about episodes as wholes: endings, lengths, moments of failure, faults."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from salus_ros.reports.figures.colours import ENDING_COLOURS, FAINT, INK
from salus_ros.reports.figures.style import DPI, add_ending_legend, new_figure, tidy
from salus_ros.reports.numbers.recordings import (
    UNLABELLED,
    Recordings,
    name_or_absence,
)

BINS = 40
TEXT_COLOURS = {"drop": INK, "misplaced_release": INK, "other": INK}
"""Of the number in a segment, where white would be hard to read."""
LEAST_LABEL = 0.045
"""A segment of a bar that is a smaller share of it has no number in it."""


def save_outcomes(path: Path, groups: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draw one bar per group: the shares of its endings, and the interval of its success rate.

    Args:
        path: PNG file to write.
        groups: What `numbers.episodes.outcomes` returns.
    """
    rows: list[tuple[str, Mapping[str, Any] | None]] = []
    for title, members in groups.items():
        if title != "all":
            rows.append((f"by {title}", None))
        rows += [(name_or_absence(member["name"]), member) for member in members]
    figure = new_figure(0.36 * len(rows) + 1.0)
    axis = figure.subplots()
    for place, (label, member) in enumerate(rows):
        if member is None:
            axis.text(-0.012, place, label, ha="right", va="center", fontsize=8.5, color=FAINT)
            continue
        axis.text(-0.012, place, label, ha="right", va="center", fontsize=9.5, color=INK)
        _draw_bar(axis, place, member)
    axis.set_ylim(len(rows) - 0.4, -0.6)
    axis.set_xlim(0, 1)
    axis.set_yticks([])
    axis.set_xticks(np.linspace(0, 1, 6), [f"{percent} %" for percent in range(0, 101, 20)])
    tidy(axis)
    add_ending_legend(figure, groups["all"][0]["endings"])
    figure.savefig(path, dpi=DPI)


def save_lengths(path: Path, recordings: Recordings) -> None:
    """Draw how long episodes lasted, stacked by ending."""
    seconds = recordings.seconds(recordings.length)
    named = (*recordings.endings, UNLABELLED)
    present = [ending for ending in named if (recordings.ending == ending).any()]
    figure = new_figure(3.2)
    axis = figure.subplots()
    axis.hist(
        [seconds[recordings.ending == ending] for ending in present],
        bins=np.linspace(0, 1.0001 * seconds.max(), BINS + 1).tolist(),
        stacked=True,
        color=[ENDING_COLOURS[ending] for ending in present],
        label=present,
    )
    axis.set_xlabel("length of the episode in s", fontsize=9.5, color=INK)
    axis.set_ylabel("episodes", fontsize=9.5, color=INK)
    axis.yaxis.set_major_locator(MaxNLocator(integer=True))
    axis.set_xlim(0, None)
    tidy(axis, grid="y")
    axis.legend(frameon=False, fontsize=9.5, loc="upper left")
    figure.savefig(path, dpi=DPI)


def save_failure_times(path: Path, recordings: Recordings) -> None:
    """Draw when each type of failure happened: a histogram and one tick per episode."""
    moments = recordings.failure_s()
    present = [k for k in recordings.kinds if np.isfinite(moments[recordings.ending == k]).any()]
    longest = recordings.seconds(recordings.length).max()
    edges = np.linspace(0, 1.0001 * longest, BINS + 1)
    figure = new_figure(1.15 * len(present) + 0.6)
    axes = figure.subplots(len(present), 1, sharex=True, squeeze=False)[:, 0]
    for axis, kind in zip(axes, present, strict=True):
        at = moments[recordings.ending == kind]
        at = at[np.isfinite(at)]
        counts, _, _ = axis.hist(at, bins=edges, color=ENDING_COLOURS[kind], alpha=0.75)
        top = float(np.max(counts))
        axis.vlines(at, -0.16 * top, -0.05 * top, color=ENDING_COLOURS[kind], lw=0.7, alpha=0.7)
        axis.axvline(float(np.median(at)), color=INK, lw=1.2)
        axis.set_ylim(-0.18 * top, 1.1 * top)
        axis.set_yticks([0, int(top)])
        axis.set_ylabel(f"{kind}\n{at.size}", rotation=0, ha="right", va="center", fontsize=9.5)
        tidy(axis)
    axes[-1].set_xlim(0, edges[-1])
    axes[-1].set_xlabel("time of the failure in the episode in s; line: median", fontsize=9.5)
    figure.savefig(path, dpi=DPI)


def save_fault_delays(path: Path, delays: Mapping[str, Mapping[str, NDArray[np.float64]]]) -> None:
    """Draw how long after each fault an episode failed, and how: one dot per episode."""
    rng = np.random.default_rng(0)
    figure = new_figure(0.85 * len(delays) + 0.9)
    axis = figure.subplots()
    for place, kinds in enumerate(delays.values()):
        for kind, values in kinds.items():
            height = place + rng.uniform(-0.28, 0.28, values.size)
            axis.scatter(values, height, s=22, color=ENDING_COLOURS[kind], alpha=0.75, lw=0)
        median = float(np.median(np.concatenate(list(kinds.values()))))
        axis.plot([median, median], [place - 0.38, place + 0.38], color=INK, lw=1.5)
    axis.set_yticks(range(len(delays)), [name_or_absence(name) for name in delays])
    axis.set_ylim(len(delays) - 0.5, -0.5)
    axis.set_xlim(0, None)
    axis.set_xlabel("time from the fault to the failure in s; line: median", fontsize=9.5)
    tidy(axis)
    by_fault = list(delays.values())
    used = [kind for kind in by_fault[0] if any(kinds[kind].size for kinds in by_fault)]
    add_ending_legend(figure, used)
    figure.savefig(path, dpi=DPI)


def _draw_bar(axis: Axes, place: int, member: Mapping[str, Any]) -> None:
    left = 0.0
    for ending, found in member["endings"].items():
        width = found["share"] or 0.0
        axis.barh(place, width, left=left, height=0.74, color=ENDING_COLOURS[ending])
        if width >= LEAST_LABEL:
            axis.text(
                left + width / 2, place, str(found["count"]),
                ha="center", va="center", color=TEXT_COLOURS.get(ending, "white"), fontsize=8.5,
            )  # fmt: skip
        left += width
    success = member["endings"]["success"]
    if success["low"] is not None:
        ends = [success["low"], success["high"]]
        axis.plot(ends, [place + 0.27] * 2, color=INK, lw=1.4, solid_capstyle="butt")
    apart = f" + {member['unlabelled']} unlabelled" if member["unlabelled"] else ""
    labelled = success["of"]
    axis.text(1.008, place, f"{labelled}{apart}", va="center", fontsize=8.5, color=FAINT)
