"""Writing an episode store: whole episodes, committed one at a time."""

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer
from zarr.storage import MemoryStore

from salus_ros.core.closing import Closing
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes.buffer import RowBuffer
from salus_ros.episodes.episode import OPTIONAL, Episode, EpisodeMeta
from salus_ros.episodes.files import (
    STRICT,
    check_arrays,
    committed_ends,
    expected_arrays,
    get_array,
    meta_arrays,
    open_group,
    refuse_packed,
    store_errors,
)
from salus_ros.episodes.layout import (
    EPISODE_ENDS,
    META_ARRAYS,
    SCHEMA_VERSION,
    ArrayLayout,
    data_arrays,
    image_array,
    store_attributes,
)
from salus_ros.episodes.location import holds_something, is_remote, put_whole, resolve
from salus_ros.episodes.lock import Lock, lock_store
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import NAMED, StoreSpec

logger = logging.getLogger(__name__)


class EpisodeStore(Closing):
    """The one writer of a store; a context manager.

    An episode is committed whole: its rows first, `meta/episode_ends` last. A writer that is
    killed on the way leaves rows that no reader sees and that the next writer trims. `append`
    takes an episode that is over; `write`, block by block, and `commit` one that still grows.

    Make one with `create`, `open` or `open_or_create`; read with `StoreReader`, also while this
    writes.
    """

    def __init__(self, path: Path, group: zarr.Group, spec: StoreSpec, lock: Lock) -> None:
        """For the class methods; takes over the lock."""
        self.path = path
        self.spec = spec
        self._group = group
        self._lock = lock
        self._ends: NDArray[np.int64] = np.zeros(0, dtype=np.int64)
        self._pending = 0  # steps taken and not committed
        self._last_ns = -1  # stamp of the last of them
        self._buffers: dict[str, RowBuffer] = {}  # of the arrays under data/

    @classmethod
    def create(cls, path: str | Path, spec: StoreSpec) -> Self:
        """Create an empty store in a folder that does not exist yet, or is empty.

        Raises:
            StoreError: if something is there already, the folder cannot be written, or the name
                is that of a packed store.
        """
        path = resolve(path)
        refuse_packed(path)
        with store_errors(path, "create"):
            if not is_remote(path):
                path.parent.mkdir(parents=True, exist_ok=True)
            lock = lock_store(path)
        try:
            with store_errors(path, "create"):
                if holds_something(path):
                    raise StoreError(
                        f"'{path}' exists already; open it to append, or give a new folder"
                    )
                if is_remote(path):
                    objects: dict[str, Buffer] = {}
                    _create_group(MemoryStore(objects), spec)
                    put_whole(path, {key: value.to_bytes() for key, value in objects.items()})
                else:
                    # Beside its place and moved there whole: nobody ever sees half of a new
                    # store. What lies there is stale, since this process holds the lock.
                    part = path.with_name(f".{path.name}.new")
                    shutil.rmtree(part, ignore_errors=True)
                    _create_group(part, spec)
                    part.replace(path)
                return cls(path, open_group(path, "r+")[0], spec, lock)
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(cls, path: str | Path, spec: StoreSpec | None = None) -> Self:
        """Open an existing store to append; rows that were never committed are trimmed.

        A store of an earlier schema version becomes one of this version.

        Args:
            path: Folder of the store.
            spec: If given, the sizes the store must have. Names of columns that the store does
                not know are kept in it from now on.

        Raises:
            StoreError: if it is no store, is damaged, packed, has other sizes or names, or has a
                writer already.
        """
        path = resolve(path)
        refuse_packed(path)
        open_group(path, "r")  # before a lock file appears beside something that is no store
        with store_errors(path, "lock"):
            lock = lock_store(path)
        try:
            group, stored = open_group(path, "r+")
            if spec is not None:
                stored.check_same(spec, path)
            store = cls(path, group, stored, lock)
            with store_errors(path, "open"):
                store._ends = committed_ends(group)
                check_arrays(group, stored, store.steps, len(store))
                store._trim()
                store._migrate()
                if spec is not None:
                    store._take_names(spec)
            return store
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open_or_create(cls, path: str | Path, spec: StoreSpec) -> Self:
        """Append to the store at `path`, or create it there."""
        path = resolve(path)
        with store_errors(path, "open"):
            there = (is_remote(path) or path.is_dir()) and holds_something(path)
        if there:
            return cls.open(path, spec)
        return cls.create(path, spec)

    def __len__(self) -> int:
        """Number of committed episodes."""
        return len(self._ends)

    @property
    def steps(self) -> int:
        """Number of committed steps over all episodes."""
        return int(self._ends[-1]) if len(self._ends) else 0

    def append(self, episode: Episode) -> int:
        """Write one episode and commit it.

        An episode that fails to be written, for a full disc say, leaves the store as it was.

        Returns:
            Index of the episode in the store.

        Raises:
            StoreError: if the episode does not have the store's sizes, or cannot be written.
        """
        self.discard()
        self.write(episode)
        return self.commit(episode.meta)

    @property
    def pending(self) -> int:
        """Number of steps that were taken and are not committed."""
        return self._pending

    def write(self, block: Episode) -> None:
        """Take the next steps of the episode in flight, which no reader sees before `commit`.

        Blocks may have any size: each file is written when it is full, what fills none waits in
        memory, at most one shard of each camera. Blocks that end where a shard does
        (`steps_to_shard_end`) are not even copied.

        Args:
            block: The steps; its metadata is not looked at.

        Raises:
            StoreError: if the block does not have the store's sizes or does not come after what
                is there, which leaves the episode as it was; or if the disk does not take it,
                which drops the episode in flight.
        """
        if self._lock.released:
            raise StoreError(f"'{self.path}' has been closed; open it again to append")
        if self._pending and block.stamp_ns[0] <= self._last_ns:
            raise StoreError(
                f"episode '{block.meta.id}': stamp_ns must increase with every step; it goes from "
                f"{self._last_ns} to {block.stamp_ns[0]} after step {self._pending - 1}"
            )
        rows = self._rows(block)
        try:
            with store_errors(self.path, "append to"):
                if not self._pending:
                    self._buffers = {name: self._buffer(name) for name in rows}
                for name, values in rows.items():
                    self._buffers[name].add(values)
        except BaseException:
            self.discard()
            raise
        self._pending, self._last_ns = self._pending + len(block), int(block.stamp_ns[-1])

    def _buffer(self, name: str) -> RowBuffer:
        array = get_array(self._group, f"data/{name}")
        if array.shape[0] > self.steps:  # of an episode that was discarded
            array.resize((self.steps, *array.shape[1:]))
        return RowBuffer(array, self.steps)

    @property
    def steps_to_shard_end(self) -> int:
        """Number of steps after which the image file that is being filled is full."""
        return self.spec.shard_steps - (self.steps + self._pending) % self.spec.shard_steps

    def commit(self, meta: EpisodeMeta) -> int:
        """Make an episode of the steps that were written.

        Returns:
            Index of the episode in the store.

        Raises:
            StoreError: if nothing was written, the failure lies after the last step, or the disk
                takes no more.
        """
        if not self._pending:
            raise StoreError(f"episode '{meta.id}' has no steps; write them before")
        meta.check_length(self._pending)
        index, end = len(self), self.steps + self._pending
        with store_errors(self.path, "append to"):
            for buffer in self._buffers.values():
                buffer.flush()
            for name in META_ARRAYS:
                self._write_row(f"meta/{name}", index, getattr(meta, name))
            self._write_row(EPISODE_ENDS, index, end)
        self._ends = np.append(self._ends, np.int64(end))
        self.discard()  # nothing is left of it in memory
        return index

    def discard(self) -> None:
        """Drop the steps that were taken and not committed, if there are any.

        Their files are overwritten by the next episode, or trimmed when the store is opened.
        """
        self._pending, self._buffers = 0, {}

    def relabel(
        self,
        index: int,
        outcome: Outcome,
        failure_type: FailureType,
        failure_step: int,
        failure_cause: str | None = None,
    ) -> EpisodeMeta:
        """Set or correct how a committed episode ended, and why: its cause, else as `judged` does.

        Killed on the way, it leaves the episode with an unknown outcome, never half a label.
        Returns its metadata as it is now.

        Raises:
            StoreError: if there is no such episode, or outcome, type and step do not go together.
        """
        reader = StoreReader(self.path)
        rows = reader.rows(index)
        meta = reader.meta(index).judged(outcome, failure_type, failure_step)
        if failure_cause is not None:
            meta = replace(meta, failure_cause=failure_cause)
        meta.check_length(rows.stop - rows.start)
        with store_errors(self.path, f"label episode {index} of"):
            self._write_row("meta/outcome", index, Outcome.UNKNOWN)
            self._write_row("meta/failure_type", index, meta.failure_type)
            self._write_row("meta/failure_step", index, meta.failure_step)
            self._write_row("meta/failure_cause", index, meta.failure_cause)
            self._write_row("meta/outcome", index, meta.outcome)
        return meta

    def close(self) -> None:
        """Give the store back to other writers; a second call does nothing."""
        self._lock.release()

    def _write_row(self, name: str, index: int, value: Any) -> None:
        array = get_array(self._group, name)
        if array.shape[0] <= index:
            array.resize((index + 1,))
        array[index : index + 1] = np.asarray([value], dtype=array.dtype)

    def _rows(self, episode: Episode) -> dict[str, NDArray[Any]]:
        """Arrays of the episode by their name under `data/`, checked against the sizes."""
        if set(episode.images) != set(self.spec.cameras):
            raise StoreError(
                f"episode '{episode.meta.id}' has images of {sorted(episode.images)}, the store "
                f"'{self.path}' takes {sorted(self.spec.cameras)}"
            )
        images = {image_array(camera): frames for camera, frames in episode.images.items()}
        layouts = data_arrays(self.spec)
        rows: dict[str, NDArray[Any]] = {}
        for name, layout in layouts.items():
            value = images[name] if name in images else getattr(episode, name)
            shape = (len(episode), *layout.row_shape)
            if value is None:
                value = np.full(shape, layout.fill_value, dtype=layout.dtype)
            if value.shape != shape:
                raise StoreError(
                    f"episode '{episode.meta.id}': {name} is {value.shape}, the store "
                    f"'{self.path}' takes {shape}"
                )
            rows[name] = value
        for name in OPTIONAL:
            if name not in layouts and getattr(episode, name) is not None:
                given = getattr(episode, name)
                if not np.isnan(given).all():
                    raise StoreError(
                        f"episode '{episode.meta.id}' has {name} {given.shape}, but the store "
                        f"'{self.path}' was created without; create one with its size"
                    )
        return rows

    def _take_names(self, spec: StoreSpec) -> None:
        """Keep the names of columns that the store did not know."""
        named = self.spec.with_names_of(spec)
        if named == self.spec:
            return
        if len(self):
            logger.warning(
                "'%s' did not know the names of its columns; its %d episodes count as those of "
                "the next: state %s, action %s",
                self.path,
                len(self),
                list(named.state_names),
                list(named.action_names),
            )
        attributes = named.to_attributes()
        self._group.attrs.update({f"{what}_names": attributes[f"{what}_names"] for what in NAMED})
        self.spec = named

    def _migrate(self) -> None:
        """Add the arrays that a store of an earlier schema version lacks, as unknown."""
        if self._group.attrs["schema_version"] == SCHEMA_VERSION:
            return
        there = meta_arrays(self._group)
        for name in META_ARRAYS:
            if name not in there:
                layout = META_ARRAYS[name]
                arguments = layout.create_arguments() | {"shape": (len(self),)}
                array = self._group.create_array(
                    f"meta/{name}", config=STRICT, overwrite=True, **arguments
                )
                array[:] = np.full(len(self), layout.fill_value, layout.dtype)
        # Last: killed before, the store is still whole in its old form.
        self._group.attrs.update({"schema_version": SCHEMA_VERSION})

    def _trim(self) -> None:
        """Drop rows and unfinished files that a killed writer left behind its last commit."""
        if not is_remote(self.path):  # an object is there as a whole or not at all
            for unfinished in self.path.rglob("*.partial"):
                unfinished.unlink()
        trimmed = 0
        for name in expected_arrays(self._group, self.spec):
            array = get_array(self._group, name)
            rows = self.steps if name.startswith("data/") else len(self)
            if array.shape[0] > rows:
                trimmed = max(trimmed, array.shape[0] - rows)
                array.resize((rows, *array.shape[1:]))
        ends = get_array(self._group, EPISODE_ENDS)
        if ends.shape[0] > len(self):
            ends.resize((len(self),))
        if trimmed:
            logger.warning("'%s': trimmed %d rows of an uncommitted episode", self.path, trimmed)


def _create_group(place: Path | MemoryStore, spec: StoreSpec) -> None:
    group = zarr.create_group(place, attributes=store_attributes(spec))
    for name, layout in expected_arrays(group, spec).items():
        group.create_array(name, config=STRICT, **layout.create_arguments())
    ends = ArrayLayout((), np.dtype(np.int64), 0, 4096)
    group.create_array(EPISODE_ENDS, config=STRICT, **ends.create_arguments())
