import struct
from types import SimpleNamespace

import numpy as np
import pytest
from image_messages import compressed, raw

from salus_ros.core.errors import ObservationError
from salus_ros.messages.depth import depth_to_array, is_depth
from salus_ros.messages.images import read_image

DEPTH_MM = np.array([[0, 500, 1000], [1500, 2000, 65535]], np.uint16)
GREY = np.array([[0, 1, 1], [128, 255, 255]])  # 0 is no measurement
RANGE_MM = (1000.0, 2000.0)


def in_metres():
    metres = DEPTH_MM.astype(np.float32) / 1000
    metres[0, 0] = np.nan
    return metres


def compressed_depth(said="16UC1; compressedDepth png", a=0.0, b=0.0, pixels=DEPTH_MM):
    """As compressed_depth_image_transport sends it: 12 bytes, then a png."""
    given = compressed(pixels, said=said)
    given.data = struct.pack("<iff", 0, a, b) + given.data
    return given


@pytest.mark.parametrize(
    "message",
    [
        raw(DEPTH_MM, "16UC1"),
        raw(DEPTH_MM, "16UC1", padding=4, bigendian=1),
        raw(DEPTH_MM, "mono16"),
        raw(in_metres(), "32FC1"),
        raw(in_metres(), "32FC1", padding=4, bigendian=1),
        compressed(DEPTH_MM, said="16UC1; png compressed "),
        compressed_depth(),
        compressed(in_metres(), "tiff", said="32FC1; tiff compressed "),
    ],
)
def test_depth_in_millimetres_or_metres_becomes_grey(message):
    given = read_image(message, "top", depth_range_mm=RANGE_MM)
    assert given.dtype == np.uint8
    np.testing.assert_array_equal(given, np.repeat(GREY[..., None], 3, axis=2))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 0.0, -1.0])
def test_of_floats_what_is_no_distance_is_no_measurement(bad):
    metres = np.array([[bad, 1.5]], np.float32)
    given = depth_to_array(raw(metres, "32FC1"), "top", RANGE_MM)
    np.testing.assert_array_equal(given[..., 0], [[0, 128]])


def test_floats_that_were_made_whole_numbers_are_made_distances_again():
    # v = a / metres + b, 0 where nothing was measured
    a, b = 1000.0, 10.0
    whole = np.array([[0, round(a / 1.0 + b), round(a / 2.0 + b)]], np.uint16)
    given = compressed_depth("32FC1; compressedDepth png", a, b, whole)
    grey = depth_to_array(given, "top", RANGE_MM)
    np.testing.assert_array_equal(grey[..., 0], [[0, 1, 255]])


def test_the_encoding_that_is_given_counts():
    metres_said_to_be_bytes = raw(in_metres(), "8UC4")
    given = depth_to_array(metres_said_to_be_bytes, "top", RANGE_MM, encoding="32FC1")
    np.testing.assert_array_equal(given[..., 0], GREY)


def test_it_is_told_from_other_images():
    for message in (raw(DEPTH_MM, "16UC1"), raw(in_metres(), "32FC1"), compressed_depth()):
        assert is_depth(message)
        assert not is_depth(message, "mono16")
    for message in (raw(DEPTH_MM, "mono16"), compressed(DEPTH_MM)):
        assert not is_depth(message)
        assert is_depth(message, "16UC1")


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (raw(np.zeros((2, 3, 3), np.uint8), "rgb8"), "encoding 'rgb8', but has a depth_range_mm"),
        (compressed(np.zeros((2, 3, 3), np.uint8)), "format 'png' of 8 bits"),
        (compressed(np.zeros((2, 3), np.uint8)), "format 'png' of 8 bits"),
        (SimpleNamespace(format="16UC1; compressedDepth rvl", data=b"\1" * 30), "rvl"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=b"\1" * 30), "no whole"),
        (SimpleNamespace(format="16UC1; compressedDepth png", data=b""), "no whole"),
        (raw(DEPTH_MM[:, :2], "32FC1"), "needed are a step of at least 8"),
    ],
)
def test_what_is_no_depth_is_refused(message, said):
    with pytest.raises(ObservationError, match=said):
        read_image(message, "top", depth_range_mm=RANGE_MM)
