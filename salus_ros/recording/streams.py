"""One stream of stamped samples, looked up by time and never ahead of it."""

from bisect import bisect_right
from typing import Any


class Stream:
    """The latest samples of a stream, in the order of their stamps.

    Attributes:
        size: Bytes of the samples that are held, as given with them.
    """

    def __init__(self) -> None:
        """No sample yet."""
        self._stamps: list[int] = []
        self._samples: list[tuple[Any, int]] = []
        self.size = 0

    @property
    def newest_ns(self) -> int:
        """Stamp of the newest sample in ns; -1 without one."""
        return self._stamps[-1] if self._stamps else -1

    def add(self, stamp_ns: int, sample: Any, size: int = 0) -> bool:
        """Take in a sample; a stamp before the newest one means that time has jumped back.

        Returns:
            False if the sample of this stamp is there already.
        """
        if stamp_ns == self.newest_ns:
            return False
        if stamp_ns < self.newest_ns:
            self._drop(0, len(self._stamps))
        self._stamps.append(stamp_ns)
        self._samples.append((sample, size))
        self.size += size
        return True

    def as_of(self, stamp_ns: int, after_ns: int) -> tuple[int, Any] | None:
        """Newest sample with after_ns < stamp <= stamp_ns, and its stamp; None without one."""
        index = bisect_right(self._stamps, stamp_ns) - 1
        if index < 0 or self._stamps[index] <= after_ns:
            return None
        return self._stamps[index], self._samples[index][0]

    def forget_before(self, stamp_ns: int) -> None:
        """Drop what `as_of` can no longer give for `stamp_ns` or later."""
        self._drop(0, bisect_right(self._stamps, stamp_ns) - 1)

    def forget_after(self, stamp_ns: int) -> None:
        """Drop what is newer than `stamp_ns`."""
        self._drop(bisect_right(self._stamps, stamp_ns), len(self._stamps))

    def _drop(self, first: int, last: int) -> None:
        if last > first:
            self.size -= sum(size for _, size in self._samples[first:last])
            del self._stamps[first:last], self._samples[first:last]
