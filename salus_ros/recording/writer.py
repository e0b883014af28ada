"""Writing episodes in a thread, so that no callback waits for the disk."""

import logging
import queue
import shutil
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import SalusError, StoreError
from salus_ros.episodes import EpisodeStore, StoreReader, StoreSpec
from salus_ros.episodes.files import store_errors
from salus_ros.episodes.location import holds_something, is_remote
from salus_ros.recording.blocks import BlockMaker, Kept, Lost, Piece, Written
from salus_ros.recording.rows import Dropped, Finished, Label, Result

FATES_REMEMBERED = 64
LABEL_WAIT_S = 0.3
"""How long a label waits for what is being written before it."""

FREE_WARNING = 2.0
"""Free space is said to run out below this many times what must stay free."""


@dataclass(frozen=True, slots=True)
class _Relabel:
    """A label for an episode that is committed."""

    episode_id: str
    label: Label
    done: threading.Event


class EpisodeWriter:
    """Owns the store: takes an episode's rows as they come, commits it when it is over, labels it.

    Blocks are written as they come, so that the memory an episode needs does not grow with its
    length. Nothing that is asked of it waits for the disk.

    Attributes:
        committed: Episodes committed.
        steps: Steps in them.
        gaps: Steps in them that lack a sample of some stream.
        dropped: Episodes that could not be written.
        dropped_messages: Messages of episodes that could not be written.
        error: Why the last episode was not written; empty when it was.
        last_id: Id of the last episode that was committed.
        fate: What became of the episodes that were heard of last, by id.
    """

    def __init__(
        self,
        path: Path,
        cameras: tuple[str, ...],
        blocks: Callable[[StoreSpec | None], BlockMaker],
        *,
        min_free_bytes: int,
        log: Callable[[str], object],
    ) -> None:
        """Make the thread; nothing is opened yet.

        Args:
            path: The store.
            cameras: Cameras that are recorded.
            blocks: Makes what makes blocks of rows, for the store's sizes if there is a store.
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
        self.fate: dict[str, str] = {}
        self._cameras = cameras
        self._make_blocks = blocks
        self._min_free_bytes = min_free_bytes
        self._log = log
        self._store: EpisodeStore | None = None
        self._blocks: BlockMaker | None = None
        self._opened = False
        self._lock = threading.Lock()  # the labels to come, and which episodes have an end to come
        self._labels: dict[str, Label] = {}
        self._ending: list[str] = []  # episodes that are over and not committed yet
        self._dropping: set[str] = set()  # episodes whose blocks are not worth writing any more
        self._stamps_ns: list[NDArray[np.int64]] = []  # of what is written and not committed
        self._bytes_in = 0  # counted by the node's thread
        self._bytes_out = 0  # counted by this one
        self._queue: queue.Queue[Result | _Relabel | None] = queue.Queue()
        self._thread = threading.Thread(target=self._work, name="writer", daemon=True)
        self._thread.start()

    def open(self) -> None:
        """Open the store if it exists; a new one is made with the first episode.

        Raises:
            StoreError: if what is there is no store, or nothing can be written there.
        """
        if self._opened:
            return
        with store_errors(self.path, "open"):
            there = holds_something(self.path)
        if there:
            self._take_store(EpisodeStore.open(self.path))
        elif not is_remote(self.path):
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
            except OSError as error:
                raise StoreError(
                    f"no store can be made at '{self.path}': {error.strerror}; "
                    "set store_path to a folder that can be written"
                ) from error
        self._opened, self.error = True, ""

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
        return next(iter(self._ending), "")

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
            with self._lock:
                self._ending.append(result.episode_id)
        self._queue.put(result)

    def label(self, episode_id: str, label: Label, *, in_flight: bool) -> str:
        """Label an episode; of one that is not committed yet, when it is.

        Args:
            episode_id: The episode.
            label: How a person judges it.
            in_flight: Whether it is still being recorded.

        Returns:
            What is done, in words.

        Raises:
            StoreError: if the label contradicts itself or there is no such episode.
        """
        label.check()
        with self._lock:
            if in_flight or episode_id in self._ending:
                self._labels[episode_id] = label
                return f"{episode_id} will be labelled {label.words()} when it is written"
        if not holds_something(self.path):
            raise StoreError(
                self.fate.get(episode_id)
                or f"there is no store at '{self.path}' yet, so nothing to label"
            )
        reader = StoreReader(self.path)
        index_of = {meta.id: index for index, meta in enumerate(reader.episodes())}
        if episode_id not in index_of:
            some = ", ".join(list(index_of)[-3:]) or "none"
            raise StoreError(
                self.fate.get(episode_id)
                or f"no episode '{episode_id}' in '{self.path}'; the last are {some}"
            )
        meta = label.on_stored(reader, index_of[episode_id])
        asked = _Relabel(episode_id, label, threading.Event())
        self._queue.put(asked)
        now = "is now" if asked.done.wait(LABEL_WAIT_S) else "will soon be"
        words = label._replace(failure_step=meta.failure_step).words()
        return f"{episode_id} {now} labelled {words}"

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
                if isinstance(result, _Relabel):
                    self._relabel(result.episode_id, result.label)
                    result.done.set()
                else:
                    self._take(result)
            except Exception as error:  # a thread that died would lose the next ones
                logging.getLogger(__name__).exception("writing to %s", self.path)
                self.error = f"{type(error).__name__}: {error}"
            finally:
                if isinstance(result, Finished):
                    self._settle_label(result.episode_id)

    def _take(self, result: Result) -> None:
        size = 0 if isinstance(result, Dropped) else sum(row.size for row in result.rows)
        try:
            if isinstance(result, Dropped):
                self._dropping.discard(result.episode_id)
            elif result.episode_id in self._dropping:
                return  # its end is on the way
            if self._blocks is None:
                self._blocks = self._make_blocks(None)
            for piece in self._blocks.take(result):
                self._do(piece, self._blocks)
        finally:
            self._bytes_out += size

    def _do(self, piece: Piece, blocks: BlockMaker) -> None:
        episode_id = piece.episode_id
        try:
            if isinstance(piece, Written):
                self._write(piece)
            elif isinstance(piece, Kept):
                self._commit(piece)
            else:
                self._lose(piece)
        except Exception as error:  # whatever a disk, or what a message holds, may do
            known = isinstance(error, SalusError)
            self.error = str(error) if known else f"{type(error).__name__}: {error}"
            if not known:
                logging.getLogger(__name__).exception("writing %s", episode_id)
            self._discard()
            blocks.fail(episode_id, self.error)
            if isinstance(piece, Kept):
                self._lose(Lost(episode_id, self.error, piece.messages))

    def _write(self, piece: Written) -> None:
        free = self.free_bytes()
        if free < self._min_free_bytes:
            raise StoreError(
                f"{free / 1e6:.0f} MB are free at '{self.path}', fewer than min_free_mb "
                f"{self._min_free_bytes / 1e6:.0f}; make room"
            )
        if self._store is None:
            self._take_store(EpisodeStore.open_or_create(self.path, piece.spec))
        assert self._store is not None
        self._store.write(piece.for_store(self._store.spec))
        self._stamps_ns.append(piece.block.stamp_ns)

    def _commit(self, piece: Kept) -> None:
        if self._store is None:
            raise StoreError(f"there is no store at '{self.path}'")
        with self._lock:
            label = self._labels.pop(piece.meta.id, None)
        meta, refused = piece.meta, ""
        if label is not None:
            try:
                meta = label.on(meta, np.concatenate(self._stamps_ns))
            except StoreError as error:  # the episode stays what it is without it
                refused = f" without its label '{label.words()}': {error}"
        self._store.commit(meta)
        self._stamps_ns = []
        self.error = ""
        self.committed += 1
        self.steps += piece.steps
        self.gaps += piece.gaps
        self.last_id = piece.meta.id
        self._say(piece.meta.id, f"'{piece.meta.id}' is recorded{refused}")
        if refused:
            self._log(f"{piece.meta.id} is recorded{refused}")

    def _lose(self, piece: Lost) -> None:
        self._discard()
        self._say(piece.episode_id, f"'{piece.episode_id}' was dropped: {piece.reason}")
        if not piece.told:
            self.error = piece.reason
            self.dropped += 1
            self.dropped_messages += piece.messages
            self._log(f"{piece.episode_id} was not recorded: {piece.reason}")

    def _discard(self) -> None:
        """Forget what is written of an episode and not committed."""
        self._stamps_ns = []
        if self._store is not None:
            self._store.discard()

    def _settle_label(self, episode_id: str) -> None:
        """An episode is over for this writer: a label that came meanwhile is not lost."""
        with self._lock:
            self._ending.remove(episode_id)
            label = self._labels.pop(episode_id, None)
        if label is None or self.last_id != episode_id:
            return
        try:
            self._relabel(episode_id, label)
        except StoreError as error:
            self._log(f"{episode_id} is recorded without its label '{label.words()}': {error}")

    def _relabel(self, episode_id: str, label: Label) -> None:
        ids = [meta.id for meta in StoreReader(self.path).episodes()]
        if self._store is None:
            self._take_store(EpisodeStore.open(self.path))
        assert self._store is not None
        index = len(ids) - 1 - ids[::-1].index(episode_id)
        meta = label.on_stored(StoreReader(self.path), index)
        self._store.relabel(index, meta.outcome, meta.failure_type, meta.failure_step)
        words = label._replace(failure_step=meta.failure_step).words()
        self._say(episode_id, f"'{episode_id}' is recorded, labelled {words}")

    def _say(self, episode_id: str, fate: str) -> None:
        self.fate.pop(episode_id, None)
        self.fate[episode_id] = fate
        while len(self.fate) > FATES_REMEMBERED:
            del self.fate[next(iter(self.fate))]

    def _take_store(self, store: EpisodeStore) -> None:
        if set(store.spec.cameras) != set(self._cameras):
            store.close()
            raise StoreError(
                f"'{self.path}' holds the cameras {list(store.spec.cameras)}, the parameter "
                f"cameras names {list(self._cameras)}; record into another store"
            )
        self._store = store
        if self._blocks is None:
            self._blocks = self._make_blocks(store.spec)
