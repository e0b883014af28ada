"""One episode over time: frames, risk and signals, in a page or in a window."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import EPISODE_OUTPUTS, HORIZONS_S, SIGNAL_NAMES, columns_by_kind
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.prediction.extras import of_episode
from salus_ros.reports.figures.colours import ENDING_COLOURS, FAILURE_COLOUR, INK, LINE_COLOURS
from salus_ros.reports.figures.style import WIDTH_IN

if TYPE_CHECKING:  # it loads torch
    from salus_ros.prediction.predictor import Prediction, Predictor

FRAMES = 8
FRAME_EDGE = 128
END_MARGIN = 1.005
"""A failure at the very end is still drawn inside."""
LEAST_TOP = 0.01
"""Top of the axis of the types where all are below it: no smaller probability is worth a line."""

LEGEND_COLUMNS = 4
TOP_UNDER_TWO_ROWS = 1.35
"""Of the axis of the risk, so that two rows of its legend hide nothing."""

FRAME_GAP = 0.06
"""Share of a frame's slot that is left free beside it."""


def save_timeline(
    path: Path,
    episode: Episode,
    predictor: "Predictor | None" = None,
    signal_names: Sequence[str] = SIGNAL_NAMES,
) -> None:
    """Draw camera frames above the risk and the signals of one episode, on one time axis.

    The moment of failure is marked through all of it, with the longest horizon before it. The
    risk is what was predicted live, and beside it what the predictor, if given, says now where
    that differs.

    Args:
        path: PNG file to write.
        episode: The episode; without images the frames are left out.
        predictor: Adds its risk and the probability of each type.
        signal_names: Names of the columns of its signals.
    """
    kinds = columns_by_kind(signal_names)
    step_s = 1.0 / episode.meta.rate_hz
    times = np.arange(len(episode), dtype=np.float64) * step_s
    prediction = None
    if predictor is not None:
        prediction = predictor.predict(episode.signals, episode.signals_valid, of_episode(episode))
    slot_in = 0.9 * WIDTH_IN / FRAMES
    heights = [slot_in * (1 - FRAME_GAP)] * len(episode.images)
    heights += [1.9] + ([1.5] if prediction is not None else []) + [1.5] * len(kinds)
    figure = Figure(figsize=(WIDTH_IN, sum(heights) + 0.25 * len(heights) + 0.6))
    figure.set_layout_engine("constrained", hspace=0.01)
    axes: list[Axes] = list(
        figure.subplots(len(heights), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[
            :, 0
        ]
    )
    figure.suptitle(_title(episode.meta, len(episode)), fontsize=11)
    failure_s = episode.meta.failure_step * step_s if episode.meta.failure_step >= 0 else None
    end_s = len(episode) * step_s
    for camera, frames in episode.images.items():
        _draw_frames(axes.pop(0), camera, frames, end_s, failure_s)
    plots = list(axes)
    draw_risk(axes.pop(0), times, episode, prediction, predictor)
    if prediction is not None and predictor is not None:
        _draw_types(axes.pop(0), times, prediction, predictor)
    for kind, columns in kinds.items():
        draw_signals(axes.pop(0), times, episode, kind, columns, predictor)
    horizon_s = predictor.horizons_s[-1] if predictor is not None else HORIZONS_S[-1]
    before_label = f"last {horizon_s:g} s before the failure"
    for axis in plots:
        axis.set_xlim(0.0, END_MARGIN * end_s)
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.5)
        axis.tick_params(labelsize=8, labelbottom=axis is plots[-1])
        if failure_s is not None:
            axis.axvline(failure_s, color=FAILURE_COLOUR, linewidth=1.5)
            axis.axvspan(
                max(0.0, failure_s - horizon_s), failure_s, color=FAILURE_COLOUR, alpha=0.07,
                linewidth=0, label=before_label if axis is plots[0] else None,
            )  # fmt: skip
        handles, labels = axis.get_legend_handles_labels()
        if labels:
            side_by_side = min(len(labels), LEGEND_COLUMNS)
            if axis is plots[0] and len(labels) > side_by_side:
                axis.set_ylim(-0.02, TOP_UNDER_TWO_ROWS)
            axis.legend(
                handles, labels, fontsize=7, loc="upper left", ncols=side_by_side, framealpha=0.7
            )
    plots[-1].set_xlabel("time in the episode in s", fontsize=9)
    figure.savefig(path, dpi=110)


def _title(meta: EpisodeMeta, length: int) -> str:
    ending = meta.outcome.name.lower()
    if meta.outcome == Outcome.FAILURE:
        moment = f" at step {meta.failure_step}" if meta.failure_step >= 0 else ""
        ending = f"failure: {meta.finest_type.label}{moment}"
    return f"episode {meta.id}, {length} steps, {ending}\n{meta.task}"


def _draw_frames(
    axis: Axes, camera: str, frames: NDArray[np.uint8], end_s: float, failure_s: float | None
) -> None:
    """Frames at the middle of equal slots of time; the last one before the failure is framed."""
    slot_s = end_s / FRAMES
    centres = (np.arange(FRAMES) + 0.5) * slot_s
    marked = -1
    if failure_s is not None:
        marked = min(int(failure_s / slot_s), FRAMES - 1)
        centres[marked] = min(failure_s, end_s)
    for place, moment in enumerate(centres):
        step = min(round(moment / end_s * len(frames)), len(frames) - 1)
        stride = max(1, frames.shape[1] // FRAME_EDGE)
        left, width = (place + FRAME_GAP / 2) * slot_s, slot_s * (1 - FRAME_GAP)
        axis.imshow(
            frames[step, ::stride, ::stride], extent=(left, left + width, 0, 1), aspect="auto"
        )
        colour = FAILURE_COLOUR if place == marked else "#333333"
        label = f"step {step}" + (" failure" if place == marked else "")
        axis.text(
            left + 0.03 * slot_s, 0.03, label, fontsize=7, color="white",
            bbox={"facecolor": colour, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip
        if place == marked:
            axis.plot(
                [left, left + width, left + width, left, left], [0, 0, 1, 1, 0],
                color=FAILURE_COLOUR, linewidth=2.5,
            )  # fmt: skip
    axis.set_xlim(0.0, END_MARGIN * end_s)
    axis.set_ylim(-0.01, 1.01)
    axis.set_ylabel(camera, fontsize=9)
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)


def draw_risk(
    axis: Axes,
    times: NDArray[np.float64],
    episode: Episode,
    prediction: "Prediction | None" = None,
    predictor: "Predictor | None" = None,
) -> None:
    """Risk and alarm as predicted live, and beside them what a predictor, if given, says now."""
    live = np.full(len(episode), np.nan) if episode.risk is None else episode.risk
    has_live = bool(np.isfinite(live).any())
    if prediction is not None and predictor is not None:
        both = np.isfinite(live) & np.isfinite(prediction.risk)
        if not has_live or np.abs(live - prediction.risk)[both].max(initial=0.0) > 1e-3:
            label = f"risk, by model {predictor.model_id} afterwards"
            axis.plot(times, prediction.risk, color=LINE_COLOURS[0], linewidth=1.2, label=label)
        limits = [("the risk", predictor.threshold, "--")]
        if np.isfinite(prediction.episode_failure).any():
            colour, label = LINE_COLOURS[1], "it fails at all"
            axis.plot(times, prediction.episode_failure, color=colour, linewidth=1.2, label=label)
            limits.append((f"'{label}'", predictor.episode_threshold, ":"))
        if np.isfinite(prediction.no_progress).any():
            label = "no progress"
            axis.plot(times, prediction.no_progress, color=LINE_COLOURS[2], lw=1.2, label=label)
        for name, limit, style in limits:
            if np.isfinite(limit):
                label = f"alarm when {name} exceeds {limit:.2f}"
                label += "" if predictor.calibrated else ", not calibrated"
                axis.axhline(limit, color="#666666", linestyle=style, linewidth=1, label=label)
    if prediction is None and episode.episode_outputs is not None:
        for values, name, colour in zip(
            episode.episode_outputs.T, EPISODE_OUTPUTS, LINE_COLOURS[1:], strict=False
        ):
            if np.isfinite(values).any():
                label = f"{name.replace('_', ' ')}, live"
                axis.plot(times, values, color=colour, linewidth=1.2, label=label)
    if has_live:
        axis.plot(times, live, color=INK, linewidth=1.6, label="risk, predicted live")
    if episode.alarm is not None and (episode.alarm == 1).any():
        # Runs of steps with an alarm, each as one bar: (start, length).
        edges = np.flatnonzero(np.diff(episode.alarm == 1, prepend=False, append=False))
        step_s = 1.0 / episode.meta.rate_hz
        bars = [
            (times[start], times[end - 1] + step_s - times[start])
            for start, end in edges.reshape(-1, 2)
        ]
        axis.broken_barh(bars, (0, 1), color=FAILURE_COLOUR, alpha=0.2, lw=0, label="alarm, live")
    if not has_live and prediction is None:
        axis.text(0.5, 0.5, "nothing was predicted", transform=axis.transAxes, ha="center")
    axis.set_ylim(-0.02, 1.15)
    axis.set_yticks([0.0, 0.25, 0.5, 0.75, 1.0])
    axis.set_ylabel("probability", fontsize=9)


def _draw_types(
    axis: Axes, times: NDArray[np.float64], prediction: "Prediction", predictor: "Predictor"
) -> None:
    """Probability of each type, on an axis that its largest value fills."""
    values = prediction.probability[:, -1]  # (T, K)
    for column, kind in enumerate(predictor.failure_types):
        assert kind != FailureType.NONE
        colour = ENDING_COLOURS[kind.label]
        axis.plot(times, values[:, column], color=colour, linewidth=1.3, label=kind.label)
    top = max(float(np.max(values, initial=0.0, where=np.isfinite(values))), LEAST_TOP)
    axis.set_ylim(-0.02 * top, 1.35 * top)  # room for the legend
    axis.set_ylabel(f"by type,\nwithin {predictor.horizons_s[-1]:g} s", fontsize=9)


def draw_signals(
    axis: Axes,
    times: NDArray[np.float64],
    episode: Episode,
    kind: str,
    columns: Mapping[str, int],
    predictor: "Predictor | None" = None,
) -> None:
    """Signals of a kind in standard deviations of the training split, or of the episode."""
    values = episode.signals.astype(np.float64)
    if predictor is not None:
        statistics = predictor.checkpoint.features.signals
        scale = np.where(statistics.inverse_std > 0, statistics.inverse_std, np.nan)
        values = (values - statistics.mean) * scale
    else:
        counts = np.maximum(episode.signals_valid.sum(axis=0), 1)
        centred = values - np.nansum(values, axis=0) / counts
        std = np.sqrt(np.nansum(centred**2, axis=0) / counts)
        values = centred / np.where(std > 0, std, np.nan)
    for place, (name, column) in enumerate(columns.items()):
        colour = LINE_COLOURS[place % len(LINE_COLOURS)]
        if not np.isfinite(values[:, column]).any():
            name += " (none)"
        axis.plot(times, values[:, column], color=colour, linewidth=1.0, label=name)
    low, high = _limits(values[:, list(columns.values())])
    axis.set_ylim(low, high + 0.3 * (high - low))  # room for the legend
    axis.set_ylabel(f"{kind}\nin std", fontsize=9)


def _limits(values: NDArray[np.float64]) -> tuple[float, float]:
    present = values[np.isfinite(values)]
    if not present.size:
        return -1.0, 1.0
    low, high = float(present.min()), float(present.max())
    margin = 0.05 * (high - low) or 1.0
    return low - margin, high + margin
