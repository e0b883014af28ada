"""The proof of concept's padded layout, one array over all episodes, and writing it.

    actions (E, T, A)   states (E, T, S)   signals (E, T, 12)   float32
    images (E, T, C, 3, H, W)           uint8; absent without cameras
    horizon_labels (E, T, H x K)        float32, 0 or 1, horizon by horizon, of the store's failure
                                        types (`core.labels`); NaN without a label
    mask (E, T)                         bool, a step that was recorded whole

T is the longest episode. Behind the end of a shorter one floats are NaN, and what has no NaN is
0 (images, stamps) or False: only the mask tells such a frame from a black one. It does so too for
a step within an episode that lacks an image (0 there), a state or an action (NaN there). The
other arrays of a store lie in `data/` (E, T, ...) and `meta/` (E,), with the `length` of each
episode, so that an import gives back what was exported; sizes and names, those of the joints
too, are attributes.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from salus_ros import __version__
from salus_ros.core.errors import StoreError
from salus_ros.core.labels import horizon_labels
from salus_ros.core.schema import horizon_steps
from salus_ros.episodes.episode import Episode
from salus_ros.episodes.files import STRICT, whole_folder
from salus_ros.episodes.layout import META_ARRAYS, data_arrays, image_array
from salus_ros.episodes.layouts.gaps import Exported, lacks_any, missing
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import StoreSpec

FORMAT = "salus-padded"
PLURAL = {"action": "actions", "state": "states", "signals": "signals"}
"""Arrays of a store that have a name of their own in this layout."""

LENGTH = "meta/length"
CHUNK_STEPS = 4096

OnEpisode = Callable[[int], None]


def check_new(out: Path) -> None:
    """Refuse to write over something.

    Raises:
        StoreError: if there is something at `out` that is not an empty folder.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise StoreError(f"'{out}' exists already; give a new folder")


def check_export(reader: StoreReader, out: Path) -> None:
    """Refuse to export nothing, or over something.

    Raises:
        StoreError: if the store has no episode, or there is something at `out` that is not an
            empty folder.
    """
    check_new(out)
    if not len(reader):
        raise StoreError(f"'{reader.path}' holds no episode to export; record some first")


def export_padded(
    reader: StoreReader, out: str | Path, on_episode: OnEpisode | None = None
) -> Exported:
    """Write the episodes of a store in the padded layout, one episode in memory at a time.

    The folder is there as a whole or not at all.

    Args:
        reader: Store to export.
        out: Folder of the zarr group.
        on_episode: Called after each episode with the number of those done.

    Returns:
        How much was written; steps that lack something are False in the mask, and counted.

    Raises:
        StoreError: if the store is empty or damaged, or the folder exists or cannot be written.
    """
    out = Path(out)
    check_export(reader, out)
    with whole_folder(out) as part:
        marked = _write(reader, part, on_episode)
    return Exported(len(reader), reader.steps, marked=marked)


def _write(reader: StoreReader, part: Path, on_episode: OnEpisode | None) -> int:
    spec = reader.spec
    episodes, longest = len(reader), int(reader.table()["length"].max())
    attributes = {"format": FORMAT, "salus_version": __version__, **spec.to_attributes()}
    group = zarr.create_group(part, attributes=attributes)

    def create(name: str, shape: tuple[int, ...], dtype: Any, fill_value: Any) -> Any:
        return group.create_array(
            name,
            shape=(episodes, longest, *shape),
            chunks=(1, min(longest, CHUNK_STEPS), *shape),
            dtype=dtype,
            fill_value=fill_value,
            config=STRICT,
        )

    outputs = len(spec.horizons_s) * len(spec.failure_types)
    frames = {image_array(camera) for camera in spec.cameras}
    arrays = {
        name: create(_path(name), layout.row_shape, layout.dtype, layout.fill_value)
        for name, layout in data_arrays(spec).items()
        if name not in frames
    }
    labels = create("horizon_labels", (outputs,), np.float32, np.nan)
    mask = create("mask", (), np.bool_, False)
    if spec.cameras:
        frame = (1, 3, *spec.image_size)
        images = group.create_array(
            "images",
            shape=(episodes, longest, len(spec.cameras), *frame[1:]),
            chunks=(1, 1, *frame),
            shards=(1, min(longest, spec.shard_steps), *frame),
            dtype=np.uint8,
            config=STRICT,
        )
    marked = 0
    for index in range(episodes):
        episode = reader.episode(index, images=False)
        steps = slice(0, len(episode))
        for name, array in arrays.items():
            array[index, steps] = getattr(episode, name)
        labels[index, steps] = _labels(episode, spec)
        lacking = lacks_any(missing(reader, index), len(episode))
        mask[index, steps] = ~lacking
        marked += int(lacking.sum())
        for number, camera in enumerate(spec.cameras):
            images[index, steps, number] = reader.frames(camera, index).transpose(0, 3, 1, 2)
        if on_episode is not None:
            on_episode(index + 1)
    table = reader.table()
    for name, layout in META_ARRAYS.items():
        arguments = layout.create_arguments() | {"shape": (episodes,)}
        group.create_array(f"meta/{name}", config=STRICT, **arguments)[:] = table[name]
    group.create_array(LENGTH, data=table["length"], config=STRICT)
    return marked


def _path(name: str) -> str:
    return PLURAL.get(name, f"data/{name}")


def _labels(episode: Episode, spec: StoreSpec) -> NDArray[np.float32]:
    """Float32 (T, H x K), by the store's types; NaN where nothing can be labelled."""
    meta, outputs = episode.meta, len(spec.horizons_s) * len(spec.failure_types)
    if not meta.labelled:
        return np.full((len(episode), outputs), np.nan, np.float32)
    steps = horizon_steps(spec.horizons_s, meta.rate_hz)
    how = (len(episode), meta.failure_step, meta.finest_type)
    labels = horizon_labels(*how, steps, spec.failure_types)  # (T, H, K)
    return labels.reshape(len(episode), outputs).astype(np.float32)
