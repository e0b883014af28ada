"""One writer per store: an advisory lock that the kernel drops when its process dies."""

import fcntl
import json
import os
import socket
from pathlib import Path

from salus_ros.core.errors import StoreError


class WriterLock:
    """Exclusive lock on the file `<store>.lock`, which names the process that holds it.

    The lock is the kernel's (flock), not the file's existence: a file left behind by a killed
    writer is stale by itself and is taken over.
    """

    def __init__(self, store: Path) -> None:
        """Take the lock of `store`.

        Raises:
            StoreError: if another writer, in this process or in another, holds it.
        """
        place = store.resolve()  # one lock however the folder is spelled
        self.path = place.with_name(place.name + ".lock")
        self._file = self._acquire(store)

    def _acquire(self, store: Path) -> int:
        while True:
            file = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                holder = os.pread(file, 4096, 0)
                os.close(file)
                raise StoreError(
                    f"'{store}' is being written by {_describe(holder)}; wait until it is done, "
                    "stop it, or record into another folder; to label an episode meanwhile, call "
                    "the recorder's service ~/label"
                ) from None
            if self._is_current(file):
                break
            os.close(file)  # released and removed by its holder between open and lock
        os.ftruncate(file, 0)
        os.pwrite(file, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
        return file

    def _is_current(self, file: int) -> bool:
        try:
            return self.path.stat().st_ino == os.fstat(file).st_ino
        except FileNotFoundError:
            return False

    @property
    def released(self) -> bool:
        """Whether the lock has been given back."""
        return self._file < 0

    def release(self) -> None:
        """Give the lock back and remove its file; a second call does nothing."""
        if not self.released:
            self.path.unlink(missing_ok=True)
            os.close(self._file)
            self._file = -1


def _describe(holder: bytes) -> str:
    try:
        entry = json.loads(holder)
        return f"process {entry['pid']} on {entry['host']}"
    except (ValueError, KeyError, TypeError):
        return "another process"
