import math

import numpy as np
import pytest
from rclpy.serialization import deserialize_message, serialize_message
from sensor_msgs.msg import Image

from salus_msgs.msg import VlaSignals
from salus_ros.core.errors import ObservationError
from salus_ros.messages.images import image_to_array
from salus_ros.messages.signals import further_array, signals_array
from salus_ros.messages.stamps import header_stamp_ns, to_ns
from salus_ros.nodes import convert

RGB = np.array([[[1, 2, 3], [4, 5, 6]], [[7, 8, 9], [10, 11, 12]], [[13, 14, 15], [16, 17, 18]]])
RGB = RGB.astype(np.uint8)  # (3, 2, 3)


def test_an_image_goes_there_and_back():
    sent = convert.array_to_image(RGB, convert.header(1_500_000_000, "front"))
    got = deserialize_message(serialize_message(sent), Image)
    np.testing.assert_array_equal(image_to_array(got, "front"), RGB)
    assert (got.encoding, got.step, got.header.frame_id) == ("rgb8", 6, "front")
    assert to_ns(got.header.stamp) == 1_500_000_000


def test_a_view_that_is_not_contiguous_is_sent_right():
    sent = convert.array_to_image(RGB[::-1, ::-1], convert.header(0))
    np.testing.assert_array_equal(image_to_array(sent, "front"), RGB[::-1, ::-1])


@pytest.mark.parametrize("stamp_ns", [0, 1, 999_999_999, 1_000_000_000, 1_790_000_000_123_456_789])
def test_stamps_are_exact(stamp_ns):
    assert to_ns(convert.to_stamp(stamp_ns)) == stamp_ns
    raw = serialize_message(convert.array_to_image(RGB, convert.header(stamp_ns)))
    assert header_stamp_ns(raw) == stamp_ns


def test_an_action_of_the_right_form():
    np.testing.assert_array_equal(convert.action_array([0.5, -1.0], 2), np.float32([0.5, -1]))


@pytest.mark.parametrize("values", [[], [0.0], [0.0, 0.0, 0.0]])
def test_an_action_of_another_size_is_refused(values):
    with pytest.raises(ObservationError, match=f"has {len(values)} values; this world takes 2"):
        convert.action_array(values, 2)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_an_action_that_is_not_finite_is_refused(bad):
    with pytest.raises(ObservationError, match="must be finite"):
        convert.action_array([0.0, bad], 2)


def test_signals_go_there_and_back():
    values = np.arange(12, dtype=np.float32)
    valid = np.ones(12, bool)
    values[3], valid[3] = np.nan, False
    sent = VlaSignals()
    convert.fill_signals(sent, values, valid)
    got = deserialize_message(serialize_message(sent), VlaSignals)
    assert got.attention_entropy == 0.0
    assert got.latent_ood == 11.0
    back, back_valid = signals_array(got)
    np.testing.assert_array_equal(back, values)
    np.testing.assert_array_equal(back_valid, valid)


def test_signals_beyond_the_twelve_there_and_back():
    sent = VlaSignals()
    convert.fill_further(sent, ("hesitation", "regret"), np.float32([0.5, np.nan]))
    values, names = further_array(deserialize_message(serialize_message(sent), VlaSignals))
    np.testing.assert_array_equal(values, np.float32([0.5, np.nan]))
    assert names == ("hesitation", "regret")
    assert further_array(VlaSignals()) == (None, ())


def test_a_signal_that_is_not_finite_is_not_valid():
    sent = VlaSignals()
    convert.fill_signals(sent, np.full(12, np.inf, np.float32), np.ones(12, bool))
    values, valid = signals_array(sent)
    assert not valid.any()
    assert np.isnan(values).all()


def test_a_camera_without_calibration_says_so():
    info = convert.camera_info(48, 64, convert.header(0))
    assert (info.height, info.width, info.k[0]) == (48, 64, 0.0)


def test_a_camera_matrix_is_passed_on():
    matrix = np.array([[100.0, 0, 32], [0, 100, 24], [0, 0, 1]])
    info = convert.camera_info(48, 64, convert.header(0), matrix)
    np.testing.assert_array_equal(np.reshape(info.k, (3, 3)), matrix)
    np.testing.assert_array_equal(np.reshape(info.p, (3, 4))[:, :3], matrix)
    assert info.distortion_model == "plumb_bob"
