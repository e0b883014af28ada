"""Figures of a report about the signals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Patch
from matplotlib.transforms import blended_transform_factory
from numpy.typing import NDArray

from salus_ros.reports.figures.colours import (
    ENDING_COLOURS,
    FAILED_COLOUR,
    FAILURE_COLOUR,
    FAINT,
    INK,
)
from salus_ros.reports.figures.style import DPI, new_figure, tidy
from salus_ros.reports.numbers.signals import ALL, GROUPS, NO_TIMEOUT, WAY_S, Values

COLUMNS = 4
CELLS = 48
GROUP_COLOURS = {
    "success": ENDING_COLOURS["success"],
    "failed": FAILED_COLOUR,
    "last": FAILURE_COLOUR,
}
GROUP_LABELS = {
    "success": "successful episodes",
    "failed": "failed episodes",
    "last": "last second before a failure",
}
NAMES_END_AT = 0.115
"""Right end of the names of the signals beside their way, as a share of the figure's width."""

_ENDS = ("auroc", "low", "high")
SKEWED = 30.0
"""A positive signal whose 95th percentile is this many times its 5th has a logarithmic axis."""


def on_log_axis(values: Values) -> bool:
    """Whether a signal is positive and so skewed that a linear axis would hide most of it."""
    if not values.value.size or values.value.min() <= 0:
        return False
    low, high = np.percentile(values.value, (5, 95))
    return bool(high > SKEWED * low)


def save_distributions(
    path: Path, signals: Sequence[Values], numbers: Sequence[Mapping[str, Any]]
) -> None:
    """Draw each signal's density and quantiles in each group of steps.

    Args:
        path: PNG file to write.
        signals: Values of each signal.
        numbers: What `numbers.signals.describe_signal` says of each.
    """
    rows = -(-len(signals) // COLUMNS)
    height = 2.15 * rows + 0.5
    figure = new_figure(height, layout=None)
    figure.subplots_adjust(
        left=0.012,
        right=0.988,
        bottom=0.3 / height,
        top=1 - 0.85 / height,
        wspace=0.08,
        hspace=0.5,
    )
    axes = figure.subplots(rows, COLUMNS, squeeze=False).ravel()
    for axis in axes[len(signals) :]:
        axis.set_visible(False)
    for axis, values, described in zip(axes, signals, numbers, strict=False):
        auroc = described["auroc"][ALL]
        axis.set_title(values.name, fontsize=10, color=INK, loc="left", pad=14)
        axis.text(0, 1.02, auroc_text(auroc), transform=axis.transAxes, fontsize=8.5, color=FAINT)
        axis.set_yticks([])
        tidy(axis)
        if values.value.size:
            _draw_densities(axis, values, described["distributions"])
        else:
            axis.set_xticks([])
            axis.text(0.5, 0.5, "no value", transform=axis.transAxes, ha="center", color=FAINT)
    handles = [Patch(color=GROUP_COLOURS[name], label=GROUP_LABELS[name]) for name in GROUPS]
    figure.legend(handles=handles, loc="upper center", ncols=3, frameon=False, fontsize=10)
    figure.savefig(path, dpi=DPI)


def save_aurocs(path: Path, numbers: Sequence[Mapping[str, Any]]) -> None:
    """Draw how well each signal alone tells the last second from success: any type, and each."""
    named = [kind for kind in numbers[0]["auroc"] if kind not in (ALL, NO_TIMEOUT)]
    kinds = [ALL, *(k for k in named if any(d["auroc"][k]["auroc"] is not None for d in numbers))]
    figure = new_figure(0.42 * len(numbers) + 1.0)
    axis = figure.subplots()
    offsets = np.linspace(-0.3, 0.3, len(kinds))
    for place, described in enumerate(numbers):
        for offset, kind in zip(offsets, kinds, strict=True):
            found = described["auroc"][kind]
            if found["auroc"] is None:
                continue
            colour = INK if kind == ALL else ENDING_COLOURS[kind]
            if found["low"] is not None:
                ends = [found["low"], found["high"]]
                axis.plot(ends, [place + offset] * 2, color=colour, lw=1.6, alpha=0.55)
            size = 40 if kind == ALL else 22
            axis.scatter(found["auroc"], place + offset, s=size, color=colour, lw=0, zorder=3)
        if place % 2:
            axis.axhspan(place - 0.5, place + 0.5, color="#f6f7f9", zorder=0, lw=0)
    axis.axvline(0.5, color=FAINT, lw=1.0, linestyle=":")
    axis.set_yticks(range(len(numbers)), [described["name"] for described in numbers])
    axis.set_ylim(len(numbers) - 0.5, -0.5)
    ends = [found[end] for d in numbers for found in d["auroc"].values() for end in _ENDS]
    known = [end for end in ends if end is not None]
    axis.set_xlim(min(0.4, *known) - 0.02, max(0.6, *known) + 0.02)
    axis.set_xlabel(
        "AUROC: the chance that a value of the last second exceeds one of a success; below 0.5 "
        "the signal falls",
        fontsize=9.5,
    )
    tidy(axis)
    handles = [Patch(color=INK if k == ALL else ENDING_COLOURS[k], label=k) for k in kinds]
    figure.legend(
        handles=handles, loc="outside upper center", ncols=len(kinds), frameon=False, fontsize=10
    )
    figure.savefig(path, dpi=DPI)


def save_ways(path: Path, signals: Sequence[Values], ways: Sequence[Mapping[str, Any]]) -> None:
    """Draw each signal on the way into each type of failure, and in successes at that moment.

    Args:
        path: PNG file to write.
        signals: Values of each signal.
        ways: What `numbers.signals.way_to_failure` says of each.
    """
    kinds = [kind for kind in signals[0].kinds if any(way[kind]["failures"] for way in ways)]
    height = 1.12 * len(signals) + 0.8
    figure = new_figure(height, layout=None)
    figure.subplots_adjust(
        left=0.17, right=0.99, bottom=0.5 / height, top=1 - 0.35 / height, wspace=0.12, hspace=0.16
    )
    axes = figure.subplots(
        len(signals), len(kinds), sharex=True, sharey="row", squeeze=False,
    )  # fmt: skip
    for row, values, way in zip(axes, signals, ways, strict=True):
        for axis, kind in zip(row, kinds, strict=True):
            tidy(axis, grid="both")
            for name, colour in (
                ("success", ENDING_COLOURS["success"]),
                ("failure", ENDING_COLOURS[kind]),
            ):
                _draw_band(axis, way[kind]["seconds"], way[kind][name], colour, name)
            axis.axvline(0, color=FAILURE_COLOUR, lw=1.2)
            axis.set_xlim(-WAY_S, 0.03)
        if not values.value.size:
            row[0].set_yticks([])
            for axis in row:
                axis.text(0.5, 0.4, "no value", transform=axis.transAxes, ha="center", color=FAINT)
        elif on_log_axis(values):
            row[0].set_yscale("log")
            row[0].minorticks_off()
        words = values.name.split("_")
        half = -(-len(words) // 2)
        name = "_".join(words[:half]) + "\n_" + "_".join(words[half:])
        row[0].set_ylabel(name if len(words) > 1 else values.name, fontsize=9, rotation=0)
        # At one place of the figure, however wide the axes are.
        place = blended_transform_factory(figure.transFigure, row[0].transAxes)
        row[0].yaxis.set_label_coords(NAMES_END_AT, 0.35, place)
        row[0].yaxis.label.set_horizontalalignment("right")
        for axis in row:
            axis.tick_params(labelsize=8)
    for axis, kind in zip(axes[0], kinds, strict=True):
        number = max(way[kind]["failures"] for way in ways)
        axis.set_title(f"{kind} ({number})", fontsize=11, color=ENDING_COLOURS[kind])
    for axis in axes[-1]:
        axis.set_xlabel("s before the failure", fontsize=9)
    figure.savefig(path, dpi=DPI)


def auroc_text(found: Mapping[str, Any]) -> str:
    """AUROC, its interval, and on how many values it stands, in one line."""
    if found["auroc"] is None:
        return "AUROC -"
    interval = "" if found["low"] is None else f" [{found['low']:.2f}, {found['high']:.2f}]"
    return f"AUROC {found['auroc']:.2f}{interval}, {found['values']} values"


def _draw_densities(
    axis: Axes, values: Values, distributions: Mapping[str, Mapping[str, Any]]
) -> None:
    """Rows from the top: density above a bar of quantiles (5 to 95 %, 25 to 75 %, median)."""
    low, high = np.percentile(values.value, (0.5, 99.5))
    if low == high:
        low, high = low - 0.5, high + 0.5
    log = on_log_axis(values)
    edges = (np.geomspace if log else np.linspace)(low, high, CELLS + 1)
    middle = np.sqrt(edges[1:] * edges[:-1]) if log else (edges[1:] + edges[:-1]) / 2
    for place, group in enumerate(GROUPS):
        base, colour = float(len(GROUPS) - 1 - place), GROUP_COLOURS[group]
        found = distributions[group]
        if not found["values"]:
            axis.text(low, base + 0.1, "none", fontsize=8.5, color=colour)
            continue
        height = _smoothed(np.histogram(values.value[values.mask(group)], bins=edges)[0])
        top = base + 0.68 * height / max(height.max(), 1e-12)
        axis.fill_between(middle, base, top, color=colour, alpha=0.3, lw=0)
        bar = base - 0.09
        axis.plot([found["p05"], found["p95"]], [bar, bar], color=colour, lw=1.2)
        axis.plot(
            [found["p25"], found["p75"]], [bar, bar], color=colour, lw=4.5, solid_capstyle="butt"
        )
        axis.plot(found["p50"], bar, "o", ms=4.5, mfc="white", mec=colour, mew=1.4)
    if log:
        axis.set_xscale("log")
        axis.minorticks_off()
    axis.set_xlim(low, high)
    axis.set_ylim(-0.25, len(GROUPS) - 0.25)
    axis.tick_params(labelsize=8)


def _smoothed(counts: NDArray[np.integer]) -> NDArray[np.float64]:
    kernel = np.exp(-0.5 * (np.arange(-4, 5) / 1.5) ** 2)
    return np.convolve(counts.astype(np.float64), kernel / kernel.sum(), mode="same")


def _draw_band(
    axis: Axes,
    seconds: Sequence[float],
    quartiles: Mapping[str, Sequence[float | None]],
    colour: str,
    name: str,
) -> None:
    low, median, high = (
        np.asarray(quartiles[key], dtype=np.float64) for key in ("p25", "p50", "p75")
    )
    axis.fill_between(seconds, low, high, color=colour, alpha=0.22, lw=0)
    axis.plot(seconds, median, color=colour, lw=1.6, ls="--" if name == "success" else "-")
