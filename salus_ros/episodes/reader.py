"""Reading an episode store, also while another process writes it."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.files import (
    ZarrArray,
    check_arrays,
    committed_ends,
    get_array,
    open_group,
    read_table,
    store_errors,
)
from salus_ros.episodes.interventions import by_step
from salus_ros.episodes.layout import data_arrays, image_array
from salus_ros.episodes.location import holds_something, resolve


class StoreReader:
    """The committed episodes of a store.

    What is committed when the reader is made, or at its last `refresh`, is what it shows;
    an episode that is being written stays out of sight. It never writes.

    A store is a folder or one packed file (`.zarr.zip`). A reader may be used by several threads,
    and by a process that was forked from the one that made it.
    """

    def __init__(self, path: str | Path) -> None:
        """Open the store at `path`.

        Raises:
            StoreError: if it is no store, or damaged.
        """
        self.path = resolve(path)
        self._group, self.spec = open_group(self.path, "r")
        self._ends: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._table: dict[str, NDArray[Any]] = {}
        self._arrays: dict[str, ZarrArray] = {}  # opened once: that takes as long as some frames
        self.refresh()

    def refresh(self) -> int:
        """Take in the episodes committed since; return their number in all."""
        self._process = os.getpid()
        # The order matters: an episode is visible in `episode_ends` only after its rows are.
        self._group, _ = open_group(self.path, "r")
        with store_errors(self.path, "read"):
            ends = committed_ends(self._group)
            # Opened after the ends were read, an array has all their rows, in other threads too.
            self._arrays, self._ends = {}, ends
            check_arrays(self._group, self.spec, self.steps, len(self))
            self._table = read_table(self._group, len(self))
            # The outcome is written last when an episode is labelled, so it alone decides.
            failed = self._table["outcome"] == Outcome.FAILURE
            self._table["failure_type"][~failed] = FailureType.NONE
            self._table["failure_step"][~failed] = -1
            self._table["failure_cause"][~failed] = ""
        return len(self)

    @property
    def attributes(self) -> dict[str, Any]:
        """What the store says of itself beside its sizes."""
        with store_errors(self.path, "read"):
            return dict(self._group.attrs)

    def __len__(self) -> int:
        """Number of committed episodes E."""
        return len(self._ends)

    def __contains__(self, name: str) -> bool:
        """Whether there is an array of this name under `data/`; empty ones are left out."""
        return name in data_arrays(self.spec)

    @property
    def steps(self) -> int:
        """Number of committed steps N over all episodes."""
        return int(self._ends[-1]) if len(self._ends) else 0

    @property
    def episode_ends(self) -> NDArray[np.int64]:
        """Row after the last one of each episode: int64 (E,)."""
        return self._ends.copy()

    def rows(self, index: int) -> slice:
        """Rows of episode `index` in every array under `data/`.

        Raises:
            StoreError: if there is no such episode.
        """
        self._check_index(index)
        start = int(self._ends[index - 1]) if index else 0
        return slice(start, int(self._ends[index]))

    def meta(self, index: int) -> EpisodeMeta:
        """Return what is known about episode `index` as a whole."""
        self._check_index(index)
        values = {name: column[index] for name, column in self._table.items()}
        plain = {name: v.item() if isinstance(v, np.generic) else v for name, v in values.items()}
        with store_errors(self.path, f"read episode {index} of"):
            return EpisodeMeta(**plain)

    def episodes(self) -> list[EpisodeMeta]:
        """Return the metadata of all episodes, by index."""
        return [self.meta(index) for index in range(len(self))]

    def table(self) -> dict[str, NDArray[Any]]:
        """Metadata as columns of length E, one per field of `EpisodeMeta`, and `length`."""
        return self._table | {"length": np.diff(self._ends, prepend=0)}

    def to_numpy(
        self, names: Sequence[str] | None = None, rows: slice | None = None
    ) -> dict[str, NDArray[Any]]:
        """Read low-dimensional arrays into memory; images are never touched.

        Args:
            names: Names under `data/`; all but the images by default.
            rows: Rows to read, as `rows(index)` gives them; all committed ones by default.

        Returns:
            Arrays (rows, ...) by name.

        Raises:
            StoreError: if a name is unknown, or a chunk is damaged or gone.
        """
        images = {image_array(camera) for camera in self.spec.cameras}
        known = [name for name in data_arrays(self.spec) if name not in images]
        names = known if names is None else names
        unknown = [name for name in names if name not in known]
        if unknown:
            raise StoreError(f"'{self.path}' has no array {unknown}; it has {sorted(known)}")
        rows = slice(0, self.steps) if rows is None else rows
        with store_errors(self.path, "read"):
            return {name: self._read(name, rows) for name in names}

    def frames(self, camera: str, index: int, steps: slice | None = None) -> NDArray[np.uint8]:
        """Read the images of one camera and episode: uint8 (T, H, W, 3).

        Args:
            camera: Name of the camera.
            index: Episode.
            steps: Steps of the episode; all by default.

        Raises:
            StoreError: if there is no such camera or episode, or a shard is damaged or gone.
        """
        if camera not in self.spec.cameras:
            raise StoreError(
                f"'{self.path}' has no camera '{camera}'; it has {list(self.spec.cameras)}"
            )
        rows = self.rows(index)
        first, last, stride = (steps or slice(None)).indices(rows.stop - rows.start)
        with store_errors(self.path, f"read the images of episode {index} of"):
            part = slice(rows.start + first, rows.start + last, stride)
            return self._read(image_array(camera), part)

    def intervention(self, index: int) -> NDArray[np.int16]:
        """Which intervention acts at each step of episode `index`: int16 (T,).

        0 for the policy, n for the n-th of `interventions.parse` of its metadata, which names it.
        """
        rows = self.rows(index)
        return by_step(str(self._table["interventions"][index]), rows.stop - rows.start)

    def episode(self, index: int, *, images: bool = True) -> Episode:
        """Read episode `index` whole.

        Args:
            index: Episode.
            images: Whether to read the images too; they are most of the bytes.
        """
        arrays = self.to_numpy(rows=self.rows(index))
        cameras = self.spec.cameras if images else ()
        with store_errors(self.path, f"read episode {index} of"):
            return Episode(
                meta=self.meta(index),
                images={camera: self.frames(camera, index) for camera in cameras},
                **arrays,
            )

    def _read(self, name: str, rows: slice) -> NDArray[Any]:
        if self._process != os.getpid():
            # After a fork the place in a packed file is shared with the parent, who moves it.
            self._group, _ = open_group(self.path, "r")
            self._arrays = {}
            self._process = os.getpid()
        arrays = self._arrays
        if name not in arrays:
            arrays[name] = get_array(self._group, f"data/{name}")
        return np.asarray(arrays[name][rows])

    def _check_index(self, index: int) -> None:
        if not 0 <= index < len(self):
            allowed = f"0 to {len(self) - 1}" if len(self) else "none, it is empty"
            raise StoreError(f"'{self.path}' has no episode {index}; its episodes are {allowed}")


def existing(path: str | Path) -> StoreReader | None:
    """Open the store at `path` for reading; None where there is nothing yet.

    Raises:
        StoreError: if there is something else, or a damaged store.
    """
    place = resolve(path)
    with store_errors(place, "open"):
        there = holds_something(place)
    return StoreReader(place) if there else None
