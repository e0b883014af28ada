"""The one rule for time that does not simply go on.

Stamps of a stream come late, twice, or from another clock:

- up to `DISORDER_NS` before the newest one is small disorder: put in order;
- a stamp that is there already is a repetition: the first one counts;
- further back than that, or more than `AHEAD_NS` ahead, is suspect: held back, since one wrong
  stamp must not undo what was recorded. If the next stamp goes on from there, the clock has
  jumped, and what was before is over; if not, it was wrong and is refused.

Streams that share a clock are judged each by itself, since one may come seconds after another: a
slow policy's actions, or what a busy reader finds in its queues. A stamp that does not go on from
its own stream's but is in another one's time is right, and no jump: the other one has been there.
"""

from enum import Enum

NANO = 1_000_000_000
DISORDER_NS = NANO
"""How far behind the newest stamp of its stream a sample may be and still be put in order."""

AHEAD_NS = 60 * NANO
"""How far ahead of the newest stamp the next one may be without being suspect."""


class Order(Enum):
    """Where a stamp stands among those of its stream."""

    NEXT = "next"
    REPEATED = "repeated"
    LATE = "late"
    SUSPECT = "suspect"
    JUMP = "jump"
    FOLLOWS = "follows"


def is_far(stamp_ns: int, newest_ns: int) -> bool:
    """Whether a stamp does not go on from the newest one, be it before or ahead of it."""
    return not newest_ns - DISORDER_NS <= stamp_ns <= newest_ns + AHEAD_NS


class TimeRule:
    """Judges the stamps of one stream.

    Attributes:
        newest_ns: Newest stamp that counts; None before the first one.
        suspect_ns: Stamp that is held back; None for none.
        jump_ns: By how much the clock jumped at the last `JUMP`; negative: back.
        restart_ns: First stamp after that, or first of all.
        refused: Suspect stamps that turned out to be wrong.
    """

    def __init__(self) -> None:
        """No stamp yet."""
        self.newest_ns: int | None = None
        self.suspect_ns: int | None = None
        self.jump_ns = self.restart_ns = 0
        self.refused = 0
        self._jumps = 0

    def judge(self, stamp_ns: int, other: "TimeRule | None" = None) -> Order:
        """Take note of a stamp and say where it stands.

        Args:
            stamp_ns: The stamp in ns.
            other: That of another stream of the same clock; None without one.

        Returns:
            At `JUMP` the suspect stamp before it and this one are the first two of the new time.
            At `FOLLOWS` the stamp is in the other stream's time; a suspect one before it that it
            goes on from was right too. `REPEATED` compares with the newest one alone.
        """
        newest, suspect = self.newest_ns, self.suspect_ns
        if newest is None:
            self.newest_ns = self.restart_ns = stamp_ns
            return Order.NEXT
        if is_far(stamp_ns, newest):
            if other is not None and self._follows(stamp_ns, newest, other):
                self.refused += suspect is not None and is_far(stamp_ns, suspect)
                self.newest_ns = self.restart_ns = stamp_ns
                self.suspect_ns, self._jumps = None, other._jumps
                return Order.FOLLOWS
            if suspect is not None and not is_far(stamp_ns, suspect):
                self.jump_ns, self.restart_ns = suspect - newest, suspect
                self.suspect_ns = None
                self.newest_ns = max(stamp_ns, suspect)
                self._jumps += 1
                return Order.JUMP
            self.refused += suspect is not None
            self.suspect_ns = stamp_ns
            return Order.SUSPECT
        if suspect is not None:
            self.refused, self.suspect_ns = self.refused + 1, None
        if stamp_ns == newest:
            return Order.REPEATED
        if stamp_ns < newest:
            return Order.LATE
        self.newest_ns = stamp_ns
        return Order.NEXT

    def _follows(self, stamp_ns: int, newest_ns: int, other: "TimeRule") -> bool:
        """Whether a stamp that is far from this stream's newest is in another one's time."""
        if other.newest_ns is None or stamp_ns > other.newest_ns + AHEAD_NS:
            return False
        if stamp_ns > newest_ns:
            return True
        return other._jumps > self._jumps and stamp_ns >= other.restart_ns - DISORDER_NS

    def forget(self) -> None:
        """Time starts again: the next stamp is right whatever it is."""
        self.newest_ns = self.suspect_ns = None
        self._jumps = 0


def jump_words(jump_ns: int) -> str:
    """Say in words that a clock jumped."""
    return f"time jumped {'back' if jump_ns < 0 else 'ahead'} by {abs(jump_ns) / NANO:.1f} s"
