"""Stamps in ns, of messages and of their serialised bytes."""

import struct
from typing import Any

from salus_ros.core.errors import ObservationError

NANO = 1_000_000_000
MAX_SECONDS = 2**31 - 1
"""The largest that builtin_interfaces/Time can hold."""

_SHORTEST = 12
"""Four bytes that say how the others are written, then seconds and nanoseconds."""


def to_ns(stamp: Any) -> int:
    """Stamp in ns.

    Args:
        stamp: A builtin_interfaces/Time, of whichever library.

    Raises:
        ObservationError: if its seconds are not in [0, 2^31), or its nanoseconds not in [0, 1e9).
    """
    return _checked(int(stamp.sec), int(stamp.nanosec))


def header_stamp_ns(data: bytes) -> int:
    """Stamp in ns of a serialised message (CDR) that begins with a header.

    Its second byte is 1 where what follows is little-endian, 0 where it is big-endian.

    Raises:
        ObservationError: if it is too short, not CDR, or its stamp is none (`to_ns`).
    """
    if len(data) < _SHORTEST:
        raise ObservationError(
            f"it has {len(data)} bytes, too few for a header, which takes {_SHORTEST}; it was cut "
            "short on its way",
            "too few bytes for a header",
        )
    if data[0] or data[1] > 1:
        raise ObservationError(
            f"it begins with the bytes {data[0]} {data[1]}; a message in CDR begins with 0 0 or "
            "0 1; it is damaged or of another middleware",
            "not in CDR",
        )
    seconds, nanoseconds = struct.unpack_from("<iI" if data[1] else ">iI", data, 4)
    return _checked(seconds, nanoseconds)


def _checked(seconds: int, nanoseconds: int) -> int:
    if not (0 <= seconds <= MAX_SECONDS and 0 <= nanoseconds < NANO):
        raise ObservationError(
            f"its stamp is {seconds} s and {nanoseconds} ns; allowed are 0 to {MAX_SECONDS} s and "
            f"0 to {NANO - 1} ns; check the clock of what sends it",
            "a stamp that is none",
        )
    return seconds * NANO + nanoseconds
