"""Frames of one episode per ending, for a person to see what the numbers mean."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salus_ros.reports.recordings import ENDINGS, Recordings

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
    for ending in ENDINGS:
        found = np.flatnonzero((recordings.ending == ending) & has_images[recordings.store])
        if found.size:
            by_length = found[np.argsort(recordings.length[found], kind="stable")]
            strips.append(_strip(recordings, int(by_length[by_length.size // 2])))
    return strips


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
