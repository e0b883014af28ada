"""One writer per store: a lock that the kernel drops with its process, or an object beside it."""

import json
import os
import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from salus_ros.core.errors import StoreError
from salus_ros.episodes.location import is_remote


class WriterLock:
    """Exclusive lock on the file `<store>.lock`, which names the process that holds it.

    The lock is the kernel's, not the file's existence: a file left behind by a killed writer is
    stale by itself and is taken over.
    """

    def __init__(self, store: Path) -> None:
        """Take the lock of `store`.

        Raises:
            StoreError: if another writer, in this process or in another, holds it.
        """
        place = store.resolve()  # one lock however the folder is spelled
        self.path = place.with_name(place.name + ".lock")
        self._lock = FileLock(self.path, thread_local=False)  # a store may change threads
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise StoreError(
                f"'{store}' is being written by {_describe(self._holder())}; wait until it is "
                "done, stop it, or record into another folder; to label an episode meanwhile, "
                "call the recorder's service ~/label"
            ) from None
        entry = {"pid": os.getpid(), "host": socket.gethostname()}
        self.path.write_text(json.dumps(entry))

    def _holder(self) -> bytes:
        try:
            return self.path.read_bytes()
        except FileNotFoundError:
            return b""

    @property
    def released(self) -> bool:
        """Whether the lock has been given back."""
        return not self._lock.is_locked

    def release(self) -> None:
        """Give the lock back and remove its file; a second call does nothing."""
        if not self.released:
            self.path.unlink(missing_ok=True)  # while it is held: nobody locks a file that is gone
            self._lock.release()


class RemoteLock:
    """The object `<store>.lock`, which only one writer can make (a conditional put).

    Nothing removes it when its writer is killed. A process of this machine that is gone is
    recognised, and its lock taken over; of another machine's process nobody can tell, so the
    error says who holds the lock, since when, and what to delete.
    """

    def __init__(self, store: Path) -> None:
        """Take the lock of `store`.

        Raises:
            StoreError: if another writer holds it.
        """
        self.path = store.with_name(store.name + ".lock")
        self._fs: Any = store.fs  # type: ignore[attr-defined]
        self._key = str(self.path)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        entry = {"pid": os.getpid(), "host": socket.gethostname(), "since": now}
        self._content = json.dumps(entry).encode()
        self.released = False
        if not self._put() and not (self._remove_stale() and self._put()):
            raise StoreError(
                f"'{store}' is being written by {_describe(self._holder())}; wait until it is "
                f"done or stop it. If it is gone, delete '{self.path}'"
            )

    def _put(self) -> bool:
        """Make the object; false where it is there already."""
        try:
            self._fs.pipe_file(self._key, self._content, mode="create")
        except FileExistsError:
            return False
        return True

    def _holder(self) -> bytes:
        try:
            return bytes(self._fs.cat_file(self._key))
        except FileNotFoundError:
            return b""

    def _remove_stale(self) -> bool:
        """Remove the lock of a process that was here and is gone."""
        try:
            entry = json.loads(self._holder())
            if entry["host"] != socket.gethostname():
                return False
            os.kill(int(entry["pid"]), 0)
        except ProcessLookupError:
            self._fs.rm_file(self._key)
            return True
        except (ValueError, KeyError, TypeError, PermissionError):
            return False
        return False

    def release(self) -> None:
        """Give the lock back and remove its object; a second call does nothing."""
        if not self.released:
            self.released = True
            if self._holder() == self._content:
                self._fs.rm_file(self._key)


type Lock = WriterLock | RemoteLock


def lock_store(store: Path) -> Lock:
    """Take the lock of a store.

    Raises:
        StoreError: if another writer holds it.
    """
    return RemoteLock(store) if is_remote(store) else WriterLock(store)


def _describe(holder: bytes) -> str:
    try:
        entry = json.loads(holder)
        since = f" since {entry['since']}" if "since" in entry else ""
        return f"process {entry['pid']} on {entry['host']}{since}"
    except (ValueError, KeyError, TypeError):
        return "another process"
