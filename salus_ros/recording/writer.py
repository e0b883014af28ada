"""Writing episodes in a thread, so that no callback waits for the disk."""

import logging
import queue
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from salus_ros.core.errors import SalusError, StoreError
from salus_ros.core.schema import RATE_HZ
from salus_ros.episodes import EpisodeMeta, EpisodeStore, StoreReader, StoreSpec
from salus_ros.episodes.files import store_errors
from salus_ros.episodes.location import holds_something, is_remote
from salus_ros.episodes.spec import SHARD_STEPS
from salus_ros.recording.assembly import Block, Dropped, Finished, Result, Row
from salus_ros.recording.rows import (
    PREDICTION,
    Label,
    ReadImage,
    stack_images,
    store_spec,
    to_block,
    to_meta,
)

FREE_WARNING = 2.0
"""Free space is said to run out below this many times what must stay free."""


@dataclass(slots=True)
class _InFlight:
    """The episode that is being written: rows that wait for a file's worth, and what was."""

    episode_id: str
    rows: list[Row] = field(default_factory=list)
    gaps: int = 0
    steps: int = 0
    model_id: str = ""
    failed: bool = False


class EpisodeWriter:
    """Owns the store: takes an episode's rows as they come, commits it when it is over, labels it.

    Rows are written when they fill an image file of the store, and when their episode ends, so
    that the memory an episode needs does not grow with its length.

    Attributes:
        committed: Episodes committed.
        steps: Steps in them.
        gaps: Steps in them that lack a sample of some stream.
        dropped: Episodes that could not be written.
        dropped_messages: Messages of episodes that could not be written.
        error: Why the last episode was not written; empty when it was.
        last_id: Id of the last episode that was committed.
    """

    def __init__(
        self,
        path: Path,
        cameras: tuple[str, ...],
        read_image: ReadImage,
        *,
        image_codec: str,
        block_bytes: int,
        min_free_bytes: int,
        log: Callable[[str], object],
    ) -> None:
        """Make the thread; nothing is opened yet.

        Args:
            path: The store.
            cameras: Cameras that are recorded.
            read_image: Reads a serialised image.
            image_codec: How a new store compresses images.
            block_bytes: Size of images from which rows are written though they fill no file.
            min_free_bytes: Free space below which nothing is written.
            log: Takes what a person should read about an episode.
        """
        self.path = path
        self.committed = 0
        self.steps = 0
        self.gaps = 0
        self.dropped = 0
        self.dropped_messages = 0
        self.error = ""
        self.last_id = ""
        self._cameras = cameras
        self._read_image = read_image
        self._image_codec = image_codec
        self._block_bytes = block_bytes
        self._min_free_bytes = min_free_bytes
        self._log = log
        self._store: EpisodeStore | None = None
        self._lock = threading.Lock()  # the store, and the labels to come
        self._labels: dict[str, Label] = {}
        self._ending: list[str] = []  # episodes that are over and not committed yet
        self._dropping: set[str] = set()  # episodes whose blocks are not worth writing any more
        self._bytes_in = 0  # counted by the node's thread
        self._bytes_out = 0  # counted by this one
        self._in_flight: _InFlight | None = None
        self._queue: queue.Queue[Result | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Open the store if it exists; a new one is made with the first episode.

        Raises:
            StoreError: if what is there is no store, or nothing can be written there.
        """
        with self._lock:
            if self._store is not None:
                return
            with store_errors(self.path, "open"):
                there = holds_something(self.path)
            if there:
                self._store = EpisodeStore.open(self.path)
                self._check_cameras(self._store.spec)
            elif not is_remote(self.path):
                try:
                    self.path.parent.mkdir(parents=True, exist_ok=True)
                except OSError as error:
                    raise StoreError(
                        f"no store can be made at '{self.path}': {error.strerror}; "
                        "set store_path to a folder that can be written"
                    ) from error
            self.error = ""

    @property
    def queue_depth(self) -> int:
        """Blocks and ends of episodes that wait to be looked at."""
        return self._queue.qsize() + len(self._ending)

    @property
    def held_bytes(self) -> int:
        """Size of the images that are not written yet."""
        return self._bytes_in - self._bytes_out

    @property
    def writing(self) -> str:
        """The episode that is over and committed now or next; empty without one."""
        return self._ending[0] if self._ending else ""

    def free_bytes(self) -> int:
        """Free space where the store lies; without end on an object store."""
        if is_remote(self.path):
            return sys.maxsize
        place = self.path
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def warning(self) -> str:
        """Say that the disk fills up, while there is still room; empty where it does not."""
        free = self.free_bytes()
        if free >= FREE_WARNING * self._min_free_bytes:
            return ""
        return (
            f"only {free / 1e6:.0f} MB are free at '{self.path}'; below "
            f"{self._min_free_bytes / 1e6:.0f} MB (min_free_mb) nothing is written"
        )

    def put(self, result: Result) -> None:
        """Hand over the next rows of an episode, its end, or that it is not to be kept."""
        if isinstance(result, Dropped):
            self._dropping.add(result.episode_id)
        else:
            self._bytes_in += sum(row.size for row in result.rows)
        if isinstance(result, Finished):
            self._ending.append(result.status.episode_id)
        self._queue.put(result)

    def label(self, episode_id: str, label: Label, *, in_flight: bool) -> str:
        """Label an episode.

        Args:
            episode_id: The episode.
            label: How a person judges it.
            in_flight: Whether it is still being recorded.

        Returns:
            What was done, in words.

        Raises:
            StoreError: if the label contradicts itself or there is no such episode.
        """
        EpisodeMeta(episode_id, "", label.outcome, label.failure_type, label.step(RATE_HZ))
        with self._lock:
            if in_flight or episode_id in self._ending:
                self._labels[episode_id] = label
                words = _words(label, label.failure_step)
                return f"{episode_id} will be labelled {words} when it is written"
            if self._store is None:
                raise StoreError(f"there is no store at '{self.path}' yet, so nothing to label")
            metas = StoreReader(self.path).episodes()
            ids = [meta.id for meta in metas]
            if episode_id not in ids:
                some = ", ".join(ids[-3:]) or "none"
                raise StoreError(
                    f"no episode '{episode_id}' in '{self.path}'; the last are {some}"
                )
            index = len(ids) - 1 - ids[::-1].index(episode_id)
            step = label.step(metas[index].rate_hz)
            self._store.relabel(index, label.outcome, label.failure_type, step)
            return f"{episode_id} is now labelled {_words(label, step)}"

    def close(self) -> None:
        """Write what is waiting, then close the store."""
        self._queue.put(None)
        self._thread.join()
        if self._store is not None:
            self._store.close()

    # The thread

    def _work(self) -> None:
        while (result := self._queue.get()) is not None:
            try:
                if isinstance(result, Block):
                    self._take(result.episode_id, result.rows)
                elif isinstance(result, Finished):
                    self._finish(result)
                else:
                    self._discard(result.episode_id)
            except Exception as error:  # a thread that died would lose the next ones
                logging.getLogger(__name__).exception("writing to %s", self.path)
                self.error = f"{type(error).__name__}: {error}"

    def _take(self, episode_id: str, rows: list[Row]) -> None:
        """Take the next rows of an episode; what fills a file is written."""
        if self._in_flight is None or self._in_flight.episode_id != episode_id:
            self._in_flight = _InFlight(episode_id)
        episode = self._in_flight
        episode.rows += rows
        while not episode.failed and len(episode.rows) >= self._steps_per_file():
            self._write(episode, self._steps_per_file())
        if episode.rows and sum(row.size for row in episode.rows) > self._block_bytes:
            self._write(episode, len(episode.rows))
        if episode.failed:
            self._release(episode)

    def _finish(self, finished: Finished) -> None:
        episode_id = finished.status.episode_id
        try:
            self._take(episode_id, finished.rows)
            episode = self._in_flight
            assert episode is not None
            if episode.rows:
                self._write(episode, len(episode.rows))
            if not episode.failed:
                self._guard(episode, lambda: self._commit(episode, finished))
            if episode.failed:
                self.dropped += 1
                self.dropped_messages += finished.messages
        finally:
            self._in_flight = None
            self._labels.pop(episode_id, None)
            self._ending.remove(episode_id)

    def _discard(self, episode_id: str) -> None:
        self._dropping.discard(episode_id)
        episode = self._in_flight
        if episode is not None and episode.episode_id == episode_id:
            self._in_flight = None
            self._release(episode)
            if self._store is not None:
                self._store.discard()
        self._labels.pop(episode_id, None)

    def _steps_per_file(self) -> int:
        if self._store is None:
            return SHARD_STEPS
        return self._store.steps_to_shard_end

    def _write(self, episode: _InFlight, count: int) -> None:
        """Write the next rows; after an error the episode counts as failed."""
        rows, episode.rows = episode.rows[:count], episode.rows[count:]
        size = sum(row.size for row in rows)
        if episode.episode_id not in self._dropping:
            self._guard(episode, lambda: self._write_rows(episode, rows))
        self._bytes_out += size

    def _guard(self, episode: _InFlight, work: Callable[[], None]) -> None:
        try:
            with self._lock:
                work()
        except SalusError as error:
            self.error = str(error)
        except Exception as error:  # whatever a message may do to the code that reads it
            self.error = f"{type(error).__name__}: {error}"
            logging.getLogger(__name__).exception("writing %s", episode.episode_id)
        else:
            return
        episode.failed = True
        if self._store is not None:
            self._store.discard()
        self._log(f"{episode.episode_id} was not recorded: {self.error}")

    def _write_rows(self, episode: _InFlight, rows: list[Row]) -> None:
        free = self.free_bytes()
        if free < self._min_free_bytes:
            raise StoreError(
                f"{free / 1e6:.0f} MB are free at '{self.path}', fewer than min_free_mb "
                f"{self._min_free_bytes / 1e6:.0f}; make room"
            )
        size = None if self._store is None else self._store.spec.image_size
        images = {c: stack_images(rows, c, self._read_image, size) for c in self._cameras}
        if self._store is None:
            spec = store_spec(rows, images, self._image_codec)
            self._store = EpisodeStore.open_or_create(self.path, spec)
            self._check_cameras(self._store.spec)
        block = to_block(rows, images, self._store.spec, episode.episode_id)
        self._store.write(block)
        assert block.age_ms is not None
        episode.gaps += int(np.isnan(block.age_ms).any(axis=1).sum())
        episode.steps += len(rows)
        predictions = (row.samples[PREDICTION] for row in reversed(rows))
        newest = next((p.model_id for p in predictions if p is not None), "")
        episode.model_id = newest or episode.model_id

    def _commit(self, episode: _InFlight, finished: Finished) -> None:
        assert self._store is not None
        label = self._labels.pop(episode.episode_id, None)
        self._store.commit(to_meta(finished, episode.model_id, label))
        self.error = ""
        self.committed += 1
        self.steps += episode.steps
        self.gaps += episode.gaps
        self.last_id = episode.episode_id

    def _release(self, episode: _InFlight) -> None:
        self._bytes_out += sum(row.size for row in episode.rows)
        episode.rows = []

    def _check_cameras(self, spec: StoreSpec) -> None:
        if spec.cameras != self._cameras:
            raise StoreError(
                f"'{self.path}' holds the cameras {list(spec.cameras)}, the parameter cameras "
                f"names {list(self._cameras)}; record into another store"
            )


def _words(label: Label, step: int) -> str:
    kind = label.failure_type
    at = f" at step {step}" if step >= 0 else ""
    if not at and label.failure_time_s > 0:
        at = f" after {label.failure_time_s:.2f} s"
    return label.outcome.name.lower() + (f" by {kind.label}{at}" if kind else "")
