"""The picture of a clip: frames of each camera around its alarm, and the risk over time."""

import math
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray

from salus_ros.reports.figures.colours import FAILURE_COLOUR, FAINT, INK
from salus_ros.reports.figures.style import WIDTH_IN, new_figure, tidy
from salus_ros.reports.figures.timeline import draw_risk
from salus_ros.reports.numbers.alarms import Clip

DPI = 72
BEFORE_S = (-2.0, -1.0)
AFTER_S = (0.5, 1.0, 2.0)
QUALITY = 85
RISK_IN, LEFT_IN, TOP_IN, BOTTOM_IN = 1.7, 0.6, 0.25, 0.5
FURTHEST = 1.5
"""Steps that a frame may be away from its moment."""


def moments(lead_s: float) -> dict[float, str]:
    """Times of the frames, from the alarm on in s, and what is said of each.

    Args:
        lead_s: From the alarm to the failure; NaN for none.
    """
    after = AFTER_S
    if lead_s > 0:
        after = (lead_s / 2, lead_s, lead_s + 1.0)
    times = dict.fromkeys((*BEFORE_S, 0.0, *after), "")
    return {time: "failure" if time == lead_s else f"{time:+.1f} s" for time in times}


def save_clip(path: Path, clip: Clip) -> None:
    """Draw a clip: a row of frames for each camera, and the risk below.

    Args:
        path: JPEG file to write.
        clip: The clip.

    Raises:
        StoreError: if it cannot be read.
    """
    episode = clip.reader.episode(0, images=False)
    first = clip.info.reasons[0]
    times = (episode.stamp_ns - first.stamp_ns) / 1e9
    lead_s = (clip.failure_ns - first.stamp_ns) / 1e9 if clip.failure_ns >= 0 else math.nan
    step_s = 1.0 / episode.meta.rate_hz
    within = times[0] <= lead_s <= times[-1] + step_s
    shown = moments(lead_s if within else math.nan)
    cameras = clip.reader.spec.cameras
    height, width = clip.reader.spec.image_size
    size_in = (WIDTH_IN - LEFT_IN) / len(shown)
    frame_in = size_in * (height / width if cameras else 1.0) + 0.05
    height_in = len(cameras) * frame_in + RISK_IN + TOP_IN + BOTTOM_IN
    figure = new_figure(height_in, layout=None)
    grid = figure.add_gridspec(
        len(cameras) + 1,
        len(shown),
        height_ratios=[*[frame_in] * len(cameras), RISK_IN],
        left=LEFT_IN / WIDTH_IN,
        right=0.995,
        top=1 - TOP_IN / height_in,
        bottom=BOTTOM_IN / height_in,
        hspace=0.06,
        wspace=0.03,
    )
    for place, camera in enumerate(cameras):
        for column, (moment, says) in enumerate(shown.items()):
            axis = figure.add_subplot(grid[place, column])
            what = first.why if moment == 0.0 else says
            frame = _frame(clip, camera, times, moment, step_s)
            _draw_frame(axis, frame, what if place == 0 else "", marked=what == "failure")
            if column == 0:
                axis.set_ylabel(camera, fontsize=10, color=INK)
    axis = figure.add_subplot(grid[-1, :])
    draw_risk(axis, times, episode)
    limits = {one.threshold for one in clip.info.reasons if math.isfinite(one.threshold)}
    for limit in sorted(limits):
        axis.axhline(limit, color="#666666", linestyle="--", linewidth=1, label="threshold")
    for one in clip.info.reasons:
        at_s = (one.stamp_ns - first.stamp_ns) / 1e9
        axis.axvline(at_s, color=INK, linewidth=1.0, linestyle=":")
    if within:
        axis.axvline(lead_s, color=FAILURE_COLOUR, linewidth=1.8, label="failure")
    tidy(axis)
    axis.set_xlim(times[0], times[-1] + step_s)
    axis.set_xlabel(f"s from the {first.why} on", fontsize=9, color=FAINT)
    handles, labels = axis.get_legend_handles_labels()
    once = dict(zip(labels, handles, strict=True))
    axis.legend(once.values(), once, fontsize=8, loc="upper left", ncols=4, framealpha=0.7)
    # A page has many of them: a JPEG takes a fifth of a PNG.
    figure.savefig(path, dpi=DPI, pil_kwargs={"quality": QUALITY})


def _frame(
    clip: Clip, camera: str, times: NDArray[np.float64], moment_s: float, step_s: float
) -> NDArray[np.uint8] | str:
    """The frame of a moment, or why there is none."""
    row = int(np.abs(times - moment_s).argmin())
    if abs(times[row] - moment_s) > FURTHEST * step_s:
        return "not in\nthe clip"
    column = clip.reader.spec.streams.index(camera)
    age_ms = clip.reader.to_numpy(["age_ms"], slice(row, row + 1))["age_ms"][0, column]
    if math.isnan(age_ms):
        return "no image"
    return clip.reader.frames(camera, 0, slice(row, row + 1))[0]


def _draw_frame(axis: Axes, frame: NDArray[np.uint8] | str, title: str, *, marked: bool) -> None:
    axis.set_xticks([])
    axis.set_yticks([])
    axis.spines[:].set_visible(False)
    colour = FAILURE_COLOUR if marked else INK
    if title:
        axis.set_title(title, fontsize=9, loc="left", pad=3, color=colour)
    if isinstance(frame, str):
        axis.text(0.5, 0.5, frame, ha="center", va="center", fontsize=9, color=FAINT)
        return
    axis.imshow(frame)
    if marked:
        axis.spines[:].set(visible=True, color=FAILURE_COLOUR, linewidth=2.5)
