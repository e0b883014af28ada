import struct
from types import SimpleNamespace

import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.messages.stamps import header_stamp_ns, to_ns

LITTLE, BIG = b"\x00\x01\x00\x00", b"\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("raw", "stamp_ns"),
    [
        (LITTLE + struct.pack("<iI", 3, 7), 3_000_000_007),
        (BIG + struct.pack(">iI", 3, 7), 3_000_000_007),
        (LITTLE + bytes(8), 0),
        (LITTLE + struct.pack("<iI", 2**31 - 1, 999_999_999) + b"more", 2_147_483_647_999_999_999),
    ],
)
def test_the_stamp_of_serialised_bytes(raw, stamp_ns):
    assert header_stamp_ns(raw) == stamp_ns
    assert header_stamp_ns(memoryview(raw)) == stamp_ns


@pytest.mark.parametrize("raw", [b"", b"\x00", b"\x00\x01\x00\x00\x01", LITTLE + bytes(7)])
def test_short_bytes_are_refused_with_one_cause(raw):
    with pytest.raises(ObservationError, match=f"it has {len(raw)} bytes, too few") as caught:
        header_stamp_ns(raw)
    assert caught.value.cause == "too few bytes for a header"


@pytest.mark.parametrize("begin", [b"\x01\x01\x00\x00", b"\x00\x02\x00\x00", b"\xff" * 4])
def test_bytes_that_are_no_cdr_are_refused(begin):
    with pytest.raises(ObservationError, match="a message in CDR begins with"):
        header_stamp_ns(begin + bytes(8))


@pytest.mark.parametrize(("sec", "nanosec"), [(-1, 0), (0, 10**9), (0, 2**32 - 1), (-(2**31), 5)])
def test_a_stamp_out_of_range_is_refused(sec, nanosec):
    with pytest.raises(ObservationError, match=f"its stamp is {sec} s and {nanosec} ns"):
        header_stamp_ns(LITTLE + struct.pack("<iI", sec, nanosec))
    with pytest.raises(ObservationError, match="check the clock"):
        to_ns(SimpleNamespace(sec=sec, nanosec=nanosec))


def test_a_stamp_of_a_message():
    assert to_ns(SimpleNamespace(sec=1_790_000_000, nanosec=5)) == 1_790_000_000_000_000_005
