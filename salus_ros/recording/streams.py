"""One stream of stamped samples, looked up by time and never ahead of it."""

from bisect import bisect_left, bisect_right
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from salus_ros.recording.time import Order, TimeRule

OTHERS_KEPT = 100
"""Names of joints that nobody asked for, and that are remembered."""

type Found = tuple[int, Any]
"""Stamp of a sample in ns, and the sample."""


class Source(Protocol):
    """What the assembler asks of a stream."""

    @property
    def newest_ns(self) -> int:
        """Stamp up to which it is known in ns; -1 without a sample."""

    @property
    def size(self) -> int:
        """Bytes of the samples that are held, as given with them."""

    @property
    def refused(self) -> int:
        """Samples whose stamps were wrong."""

    @property
    def jump_ns(self) -> int:
        """By how much its clock jumped at the last `Order.JUMP`."""

    @property
    def restart_ns(self) -> int:
        """First stamp after that jump."""

    def add(self, stamp_ns: int, sample: Any, size: int = 0) -> Order:
        """Take in a sample, in its place."""

    def as_of(self, stamp_ns: int, after_ns: int) -> Found | None:
        """Newest sample with after_ns < stamp <= stamp_ns; None without one."""

    def at(self, stamps_ns: Collection[int]) -> Found | None:
        """The sample of exactly these stamps; None where one is not there."""

    def forget_before(self, stamp_ns: int) -> None:
        """Drop what `as_of` can no longer give for `stamp_ns` or later."""

    def forget_after(self, stamp_ns: int) -> None:
        """Drop what is newer than `stamp_ns`."""


class Stream:
    """The latest samples of a stream, in the order of their stamps."""

    def __init__(self) -> None:
        """No sample yet."""
        self._rule = TimeRule()
        self._stamps: list[int] = []
        self._samples: list[tuple[Any, int]] = []
        self._suspect: tuple[Any, int] | None = None
        self.size = 0

    @property
    def newest_ns(self) -> int:
        """Stamp of the newest sample in ns; -1 without one."""
        newest = self._rule.newest_ns
        return -1 if newest is None else newest

    @property
    def stamps(self) -> Sequence[int]:
        """Stamps of the samples that are held, ascending."""
        return self._stamps

    @property
    def refused(self) -> int:
        """Samples whose stamps were wrong."""
        return self._rule.refused

    @property
    def jump_ns(self) -> int:
        """By how much its clock jumped at the last `Order.JUMP`; negative: back."""
        return self._rule.jump_ns

    @property
    def restart_ns(self) -> int:
        """First stamp after that jump."""
        return self._rule.restart_ns

    def add(self, stamp_ns: int, sample: Any, size: int = 0) -> Order:
        """Take in a sample, in its place; at a jump what was before is forgotten.

        Returns:
            Where it stands. One that is repeated is not taken, one that is suspect is held back.
        """
        suspect_ns = self._rule.suspect_ns
        order = self._rule.judge(stamp_ns)
        if order is Order.NEXT:  # nearly always
            self._stamps.append(stamp_ns)
            self._samples.append((sample, size))
            self.size += size
        elif order is Order.LATE:
            return self._insert(stamp_ns, sample, size)
        elif order is Order.SUSPECT:
            self._suspect = (sample, size)
        elif order is Order.JUMP:
            self._drop(0, len(self._stamps))
            assert suspect_ns is not None
            assert self._suspect is not None
            self._insert(suspect_ns, *self._suspect)
            self._insert(stamp_ns, sample, size)
            self._suspect = None
        return order

    def as_of(self, stamp_ns: int, after_ns: int) -> Found | None:
        """Newest sample with after_ns < stamp <= stamp_ns, and its stamp; None without one."""
        suspect_ns = self._rule.suspect_ns
        index = bisect_right(self._stamps, stamp_ns) - 1
        newest_ns = self._stamps[index] if index >= 0 else after_ns
        if suspect_ns is not None and newest_ns < suspect_ns <= stamp_ns:
            assert self._suspect is not None  # a step that is there too speaks for it
            return suspect_ns, self._suspect[0]
        return (newest_ns, self._samples[index][0]) if newest_ns > after_ns else None

    def at(self, stamps_ns: Collection[int]) -> Found | None:
        """The sample of exactly this stamp, one; None where it is not there."""
        (stamp_ns,) = stamps_ns
        if stamp_ns == self._rule.suspect_ns:
            assert self._suspect is not None
            return stamp_ns, self._suspect[0]
        index = bisect_left(self._stamps, stamp_ns)
        if index == len(self._stamps) or self._stamps[index] != stamp_ns:
            return None
        return stamp_ns, self._samples[index][0]

    def nearest(self, stamp_ns: int, slop_ns: int) -> Found | None:
        """Sample nearest to a stamp, at most `slop_ns` away; of two as near the earlier one."""
        first = max(bisect_left(self._stamps, stamp_ns) - 1, 0)
        places = range(first, min(first + 2, len(self._stamps)))
        place = min(places, key=lambda one: abs(self._stamps[one] - stamp_ns), default=None)
        if place is None or abs(self._stamps[place] - stamp_ns) > slop_ns:
            return None
        return self._stamps[place], self._samples[place][0]

    def keep(self, count: int) -> None:
        """Drop all but the newest `count` samples."""
        self._drop(0, len(self._stamps) - count)

    def forget_before(self, stamp_ns: int) -> None:
        """Drop what `as_of` can no longer give for `stamp_ns` or later."""
        self._drop(0, bisect_right(self._stamps, stamp_ns) - 1)

    def forget_after(self, stamp_ns: int) -> None:
        """Drop what is newer than `stamp_ns`: it is of a time that is over."""
        self._drop(bisect_right(self._stamps, stamp_ns), len(self._stamps))
        suspect_ns, suspect = self._rule.suspect_ns, self._suspect
        if suspect_ns is not None and suspect is not None:  # it was right
            self._rule.suspect_ns = self._suspect = None
            self._insert(suspect_ns, *suspect)
        self._rule.newest_ns = self._stamps[-1] if self._stamps else None

    def frozen(self) -> "Stream":
        """The samples that are held now, to be looked at in another thread."""
        other = Stream()
        other._stamps, other._samples = list(self._stamps), list(self._samples)
        return other

    def _insert(self, stamp_ns: int, sample: Any, size: int) -> Order:
        index = bisect_left(self._stamps, stamp_ns)
        if index < len(self._stamps) and self._stamps[index] == stamp_ns:
            return Order.REPEATED
        self._stamps.insert(index, stamp_ns)
        self._samples.insert(index, (sample, size))
        self.size += size
        return Order.LATE

    def _drop(self, first: int, last: int) -> None:
        if last > first:
            self.size -= sum(size for _, size in self._samples[first:last])
            del self._stamps[first:last], self._samples[first:last]


class JointStream:
    """Joint states, which one message or several of them give: an arm's and a gripper's, say.

    A sample is a mapping of joint names to values, of some of the joints or all; the state at a
    time is made of the newest value of each, and is as old as the oldest of them.
    """

    def __init__(self, joints: Sequence[str], *, partial: bool = False) -> None:
        """Without a sample yet.

        Args:
            joints: Names of the S joints of the state, in its order; empty for those of the
                first sample.
            partial: Whether there is a state, NaN elsewhere, where some of them are not known.
                Its messages are another stream's too, which counts those with wrong stamps.
        """
        self._partial = partial
        self._parts: dict[frozenset[str], Stream] = {}
        self._sources: list[list[Stream]]
        self.settle(joints)
        self.others: set[str] = set()
        """Joints that came and that nobody asked for."""

    @property
    def missing(self) -> list[str]:
        """Joints that the state waits for: no message has had them yet."""
        if self._partial:
            return []
        return [
            joint for joint, parts in zip(self.joints, self._sources, strict=True) if not parts
        ]

    @property
    def newest_ns(self) -> int:
        """Stamp up to which every joint is known in ns, or any if partial; -1 before."""
        if self.missing or not self._parts:
            return -1
        if self._partial:  # joints that have fallen silent hold up no row of others
            return max(part.newest_ns for part in self._parts.values())
        # Another message may tell what one that came no more did.
        return min(max(part.newest_ns for part in parts) for parts in self._sources)

    @property
    def size(self) -> int:
        """Bytes of the samples that are held, as given with them."""
        return sum(part.size for part in self._parts.values())

    @property
    def refused(self) -> int:
        """Samples whose stamps were wrong."""
        return 0 if self._partial else sum(part.refused for part in self._parts.values())

    @property
    def jump_ns(self) -> int:
        """By how much the clock jumped that jumped furthest; negative: back."""
        return max((part.jump_ns for part in self._parts.values()), key=abs, default=0)

    @property
    def restart_ns(self) -> int:
        """First stamp after that jump."""
        parts = self._parts.values()
        return max(parts, key=lambda part: abs(part.jump_ns)).restart_ns if parts else 0

    def add(self, stamp_ns: int, sample: Mapping[str, float], size: int = 0) -> Order:
        """Take in the values of some joints; those that nobody asked for are left out."""
        if not self.joints:
            self.settle(tuple(sample))
        given = frozenset(sample)
        names = given.intersection(self.joints)
        if len(names) < len(given) and len(self.others) < OTHERS_KEPT:
            self.others |= given - names
        if not names:
            return Order.REPEATED  # nothing new in it
        part = self._parts.get(names)
        if part is None:
            part = Stream()
            self._add_part(names, part)
        order = part.add(stamp_ns, sample, size)
        # No episode ends for the clock of a gripper; that of the state is the other stream's.
        return Order.NEXT if self._partial and order is Order.JUMP else order

    def settle(self, joints: Sequence[str]) -> None:
        """Say which joints the state has, before the first sample."""
        self.joints = tuple(joints)
        self._sources = [[] for _ in self.joints]

    def as_of(self, stamp_ns: int, after_ns: int) -> Found | None:
        """State float32 (S,) of the newest values with after_ns < stamp <= stamp_ns."""
        found = {id(part): part.as_of(stamp_ns, after_ns) for part in self._parts.values()}
        return self._merged(found)

    def at(self, stamps_ns: Collection[int]) -> Found | None:
        """State float32 (S,) of the messages of exactly these stamps."""
        found: dict[int, Found | None] = {}
        for part in self._parts.values():
            of_part = (part.at((stamp_ns,)) for stamp_ns in sorted(stamps_ns, reverse=True))
            found[id(part)] = next((one for one in of_part if one is not None), None)
        if self._partial and None in found.values():
            return None  # that part may still come
        return self._merged(found)

    def nearest(self, stamp_ns: int, slop_ns: int) -> tuple[list[int], NDArray[np.float32]] | None:
        """State of the messages nearest to a stamp, at most `slop_ns` away.

        Returns:
            Stamps of these messages, ascending, and the state float32 (S,) that `at` gives for
            them; None where a joint has none.
        """
        near = [part.nearest(stamp_ns, slop_ns) for part in self._parts.values()]
        stamps = sorted({one[0] for one in near if one is not None})
        found = self.at(stamps)
        return None if found is None else (stamps, found[1])

    def keep(self, count: int) -> None:
        """Drop all but the newest `count` samples of each set of joints."""
        for part in self._parts.values():
            part.keep(count)

    def forget_before(self, stamp_ns: int) -> None:
        """Drop what `as_of` can no longer give for `stamp_ns` or later."""
        for part in self._parts.values():
            part.forget_before(stamp_ns)

    def forget_after(self, stamp_ns: int) -> None:
        """Drop what is newer than `stamp_ns`: it is of a time that is over."""
        for part in self._parts.values():
            part.forget_after(stamp_ns)

    def frozen(self) -> "JointStream":
        """The samples that are held now, to be looked at in another thread."""
        other = JointStream(self.joints, partial=self._partial)
        for names, part in self._parts.items():
            other._add_part(names, part.frozen())
        return other

    def _add_part(self, names: frozenset[str], part: Stream) -> None:
        self._parts[names] = part
        for joint, parts in zip(self.joints, self._sources, strict=True):
            if joint in names:
                parts.append(part)

    def _merged(self, found: Mapping[int, Found | None]) -> Found | None:
        values: NDArray[np.float32] = np.empty(len(self.joints), np.float32)
        oldest: int | None = None
        for place, joint in enumerate(self.joints):
            newest: Found | None = None
            for part in self._sources[place]:
                one = found[id(part)]
                if one is not None and (newest is None or one[0] > newest[0]):
                    newest = one
            if newest is None:
                if not self._partial:
                    return None
                values[place] = np.nan
                continue
            values[place] = newest[1][joint]
            oldest = newest[0] if oldest is None else min(oldest, newest[0])
        return None if oldest is None else (oldest, values)
