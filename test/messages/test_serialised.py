import numpy as np
import pytest
from rclpy.serialization import serialize_message
from sensor_msgs.msg import CompressedImage, Image

from salus_ros.core.errors import ObservationError
from salus_ros.messages.serialised import read_serialised_image
from salus_ros.nodes import convert

RGB = np.arange(1, 19, dtype=np.uint8).reshape(3, 2, 3)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("raw", [b"", b"\0\1\0\0", b"\0\1\0\0" + bytes(8), b"\xff" * 100])
def test_bytes_that_are_no_image_are_refused(compressed, raw):
    with pytest.raises(ObservationError, match=r"camera .front. sends"):
        read_serialised_image(raw, "front", compressed=compressed)


def test_one_range_serves_the_cameras_that_give_depth_and_no_others():
    sent = convert.array_to_image(RGB, convert.header(0))
    given = read_serialised_image(serialize_message(sent), "front", depth_mm=(0, 1000))
    np.testing.assert_array_equal(given, RGB)
    depth = Image(height=1, width=2, encoding="16UC1", step=4, data=b"\0\0\xe8\3")
    given = read_serialised_image(serialize_message(depth), "front", depth_mm=(0, 1000))
    np.testing.assert_array_equal(given[..., 0], [[0, 255]])


def test_an_encoding_that_the_message_says_wrongly_can_be_given():
    sent = serialize_message(convert.array_to_image(RGB, convert.header(0)))
    given = read_serialised_image(sent, "front", encoding="bgr8")
    np.testing.assert_array_equal(given, RGB[..., ::-1])


def test_an_image_of_the_other_order_of_bytes_is_read():
    header = b"\0\0\0\0" + bytes(8) + b"\0\0\0\1\0" + bytes(3)  # big-endian, frame_id ""
    sizes = (1).to_bytes(4, "big") + (2).to_bytes(4, "big")
    text = (5).to_bytes(4, "big") + b"rgb8\0" + b"\0" + bytes(2)
    pixels = (6).to_bytes(4, "big") + (6).to_bytes(4, "big") + bytes(range(6))  # step, size
    data = header + sizes + text + pixels
    np.testing.assert_array_equal(read_serialised_image(data, "front"), [[[0, 1, 2], [3, 4, 5]]])


@pytest.mark.parametrize("kind", [Image, CompressedImage])
def test_bytes_cut_short_are_refused(kind):
    whole = serialize_message(kind(data=bytes(100)))
    for length in range(len(whole)):
        with pytest.raises(ObservationError):
            read_serialised_image(whole[:length], "front", compressed=kind is CompressedImage)
