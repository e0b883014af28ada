"""Frames of one episode per ending, for a person to see what the numbers mean."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salus_ros.reports.figures.colours import ENDING_COLOURS, FAILURE_COLOUR, FAINT
from salus_ros.reports.figures.style import DPI, WIDTH_IN, new_figure
from salus_ros.reports.numbers.recordings import Recordings

MOMENTS = 6
CAMERA = "front"
"""Shown where a store has it, else the store's first camera."""


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """Frames of one episode.

    Attributes:
        ending: How it ended.
        store: Folder of its store.
        index: Its index there.
        task: Instruction.
        fault: Injected fault.
        camera: Whose frames these are.
        steps: Step of each frame.
        seconds: Time of each frame in s.
        failure_place: Which frame is the last one before the failure; -1 for none.
        frames: Uint8 (H, W, 3) each.
    """

    ending: str
    store: str
    index: int
    task: str
    fault: str
    camera: str
    steps: tuple[int, ...]
    seconds: tuple[float, ...]
    failure_place: int
    frames: tuple[NDArray[np.uint8], ...]


def filmstrips(recordings: Recordings) -> list[Strip]:
    """One episode of each ending that has images: of each, the one of median length.

    The frames are spread evenly from the start to the failure, or to the end without one.

    Raises:
        StoreError: if images cannot be read.
    """
    has_images = np.asarray([bool(reader.spec.cameras) for reader in recordings.readers])
    strips = []
    for ending in recordings.endings:
        found = np.flatnonzero((recordings.ending == ending) & has_images[recordings.store])
        if found.size:
            by_length = found[np.argsort(recordings.length[found], kind="stable")]
            strips.append(_strip(recordings, int(by_length[by_length.size // 2])))
    return strips


def save_filmstrips(path: Path, strips: Sequence[Strip]) -> None:
    """Draw one row of frames per ending; the last frame before a failure is framed."""
    columns = max(len(strip.frames) for strip in strips)
    size = (WIDTH_IN - 0.9) / columns
    figure = new_figure(len(strips) * (size + 0.32))
    axes = figure.subplots(len(strips), columns, squeeze=False)
    for row, strip in zip(axes, strips, strict=True):
        colour = ENDING_COLOURS[strip.ending]
        for place, axis in enumerate(row):
            axis.set_xticks([])
            axis.set_yticks([])
            axis.spines[:].set_visible(False)
            if place >= len(strip.frames):
                continue
            axis.imshow(strip.frames[place])
            marked = place == strip.failure_place
            label = f"{strip.seconds[place]:.1f} s" + (", failure" if marked else "")
            axis.set_title(
                label, fontsize=9, loc="left", pad=3, color=FAILURE_COLOUR if marked else FAINT
            )
            if marked:
                axis.spines[:].set(visible=True, color=FAILURE_COLOUR, linewidth=3)
        row[0].set_ylabel(strip.ending, fontsize=11, color=colour, fontweight="bold")
    figure.savefig(path, dpi=DPI)


def _strip(recordings: Recordings, episode: int) -> Strip:
    reader = recordings.readers[recordings.store[episode]]
    index = int(recordings.index[episode])
    cameras = reader.spec.cameras
    camera = CAMERA if CAMERA in cameras else cameras[0]
    failure_step = int(recordings.columns["failure_step"][episode])
    last = int(recordings.length[episode]) - 1
    if failure_step >= 0:
        last = min(failure_step, last)
    steps = np.unique(np.linspace(0, last, MOMENTS).round().astype(int))
    rate_hz = float(recordings.columns["rate_hz"][episode])
    return Strip(
        ending=str(recordings.ending[episode]),
        store=str(reader.path),
        index=index,
        task=str(recordings.columns["task"][episode]),
        fault=str(recordings.columns["fault"][episode]),
        camera=camera,
        steps=tuple(int(step) for step in steps),
        seconds=tuple(float(step / rate_hz) for step in steps),
        failure_place=len(steps) - 1 if failure_step >= 0 else -1,
        frames=tuple(reader.frames(camera, index, slice(s, s + 1))[0] for s in steps),
    )
