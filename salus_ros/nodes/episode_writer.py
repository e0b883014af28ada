"""Writing episodes in a thread, so that no callback waits for the disk."""

import logging
import queue
import shutil
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np

from salus_ros.core.errors import SalusError, StoreError
from salus_ros.episodes import EpisodeMeta, EpisodeStore, StoreReader, StoreSpec
from salus_ros.nodes.assembly import Finished
from salus_ros.nodes.episode_arrays import Label, stack_images, store_spec, to_episode


class EpisodeWriter:
    """Owns the store: takes finished episodes, commits them one after the other, labels them.

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
        *,
        queue_episodes: int,
        min_free_bytes: int,
        log: Callable[[str], object],
    ) -> None:
        """Make the thread; nothing is opened yet.

        Args:
            path: The store.
            cameras: Cameras that are recorded.
            queue_episodes: Episodes that may wait.
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
        self._min_free_bytes = min_free_bytes
        self._log = log
        self._store: EpisodeStore | None = None
        self._lock = threading.Lock()  # the store, and the labels to come
        self._labels: dict[str, Label] = {}
        self._pending: list[str] = []
        self._queue: queue.Queue[Finished | None] = queue.Queue(queue_episodes)
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
            if self.path.exists() and not (self.path.is_dir() and not any(self.path.iterdir())):
                self._store = EpisodeStore.open(self.path)
                self._check_cameras(self._store.spec)
            else:
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
        """Episodes that wait or are being written."""
        return len(self._pending)

    @property
    def writing(self) -> str:
        """The episode that is written now or next; empty without one."""
        return self._pending[0] if self._pending else ""

    def free_bytes(self) -> int:
        """Free space where the store lies."""
        place = self.path
        while not place.exists():
            place = place.parent
        return shutil.disk_usage(place).free

    def submit(self, episode: Finished) -> bool:
        """Hand over an episode; false when too many are waiting."""
        self._pending.append(episode.status.episode_id)
        try:
            self._queue.put_nowait(episode)
        except queue.Full:
            self._pending.pop()
            return False
        return True

    def label(self, episode_id: str, label: Label, *, in_flight: bool) -> str:
        """Label an episode.

        Args:
            episode_id: The episode.
            label: Outcome, type and step.
            in_flight: Whether it is still being recorded.

        Returns:
            What was done, in words.

        Raises:
            StoreError: if the label contradicts itself or there is no such episode.
        """
        outcome, kind, step = label
        EpisodeMeta(episode_id, "", outcome, kind, step)
        with self._lock:
            if in_flight or episode_id in self._pending:
                self._labels[episode_id] = label
                return f"{episode_id} will be labelled {_words(label)} when it is written"
            if self._store is None:
                raise StoreError(f"there is no store at '{self.path}' yet, so nothing to label")
            ids = [meta.id for meta in StoreReader(self.path).episodes()]
            if episode_id not in ids:
                some = ", ".join(ids[-3:]) or "none"
                raise StoreError(
                    f"no episode '{episode_id}' in '{self.path}'; the last are {some}"
                )
            index = len(ids) - 1 - ids[::-1].index(episode_id)
            self._store.relabel(index, outcome, kind, step)
            return f"{episode_id} is now labelled {_words(label)}"

    def close(self) -> None:
        """Write what is waiting, then close the store."""
        self._queue.put(None)
        self._thread.join()
        if self._store is not None:
            self._store.close()

    # The thread

    def _work(self) -> None:
        while (episode := self._queue.get()) is not None:
            episode_id = episode.status.episode_id
            try:
                with self._lock:
                    self._write(episode)
            except SalusError as error:
                self._fail(episode, str(error))
                self._log(f"{episode_id} was not recorded: {error}")
            except Exception as error:  # a thread that died would lose the next ones
                self._fail(episode, f"{type(error).__name__}: {error}")
                logging.getLogger(__name__).exception("writing %s", episode_id)
            finally:
                del self._pending[0]

    def _fail(self, episode: Finished, error: str) -> None:
        self.error = error
        self.dropped += 1
        self.dropped_messages += episode.messages

    def _write(self, finished: Finished) -> None:
        free = self.free_bytes()
        if free < self._min_free_bytes:
            raise StoreError(
                f"{free / 1e6:.0f} MB are free at '{self.path}', fewer than min_free_mb "
                f"{self._min_free_bytes / 1e6:.0f}; make room"
            )
        episode_id = finished.status.episode_id
        images = {camera: stack_images(finished, camera) for camera in self._cameras}
        if self._store is None:
            spec = store_spec(finished, images)
            self._store = EpisodeStore.open_or_create(self.path, spec)
            self._check_cameras(self._store.spec)
        label = self._labels.pop(episode_id, None)
        episode = to_episode(finished, images, self._store.spec, label)
        self._store.append(episode)
        self.error = ""
        self.committed += 1
        self.steps += len(episode)
        assert episode.age_ms is not None
        self.gaps += int(np.isnan(episode.age_ms).any(axis=1).sum())
        self.last_id = episode_id

    def _check_cameras(self, spec: StoreSpec) -> None:
        if spec.cameras != self._cameras:
            raise StoreError(
                f"'{self.path}' holds the cameras {list(spec.cameras)}, the parameter cameras "
                f"names {list(self._cameras)}; record into another store"
            )


def _words(label: Label) -> str:
    outcome, kind, step = label
    at = f" by {kind.label}" + (f" at step {step}" if step >= 0 else "") if kind else ""
    return outcome.name.lower() + at
