"""Rows of an array on their way to the disk, written one whole file at a time."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.episodes.files import ZarrArray


class RowBuffer:
    """Appends rows to an array so that each of its files is written once.

    To add rows to a file (a shard, or a chunk without one) means to write it anew, with all that
    it holds already. So what does not fill one is kept in memory until it does, or until `flush`:
    at most one file's worth, however the rows come.
    """

    def __init__(self, array: ZarrArray, start: int) -> None:
        """Go on behind row `start` of an array; rows that it has there are overwritten."""
        self._array = array
        self._file_rows = (array.shards or array.chunks)[0]
        self._written = start
        self._held = 0
        self._rows: NDArray[Any] | None = None

    def add(self, values: NDArray[Any]) -> None:
        """Append rows (T, ...); they may be changed afterwards."""
        while len(values):
            room = self._file_rows - (self._written + self._held) % self._file_rows
            part, values = values[:room], values[room:]
            if len(part) == room and not self._held:
                self._put(part)
                continue
            if self._rows is None:
                self._rows = np.empty((self._file_rows, *part.shape[1:]), part.dtype)
            self._rows[self._held : self._held + len(part)] = part
            self._held += len(part)
            if len(part) == room:
                self.flush()

    def flush(self) -> None:
        """Write what is held, though it fills no file."""
        if self._held and self._rows is not None:
            self._put(self._rows[: self._held])
            self._held = 0

    def _put(self, rows: NDArray[Any]) -> None:
        end = self._written + len(rows)
        if self._array.shape[0] < end:
            self._array.resize((end, *self._array.shape[1:]))
        self._array[self._written : end] = rows
        self._written = end
