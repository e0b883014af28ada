import numpy as np
import pytest
from image_messages import raw

from salus_ros.core.errors import ObservationError
from salus_ros.messages.camera import ImageReader, scaled
from salus_ros.messages.kinds import IMAGE, JOINT_STATE


def picture(height, width, value=0):
    return raw(np.full((height, width, 3), value, np.uint8), "rgb8")


def test_the_first_image_settles_the_size_of_all():
    reader = ImageReader()
    assert reader.size is None
    assert reader.read(picture(4, 6), IMAGE, "front").shape == (4, 6, 3)
    assert reader.size == (4, 6)
    with pytest.raises(ObservationError, match="the image is 8x8, the first one 6x4"):
        reader.read(picture(8, 8), IMAGE, "front")
    with pytest.raises(ObservationError, match="the store takes 6x4 of every camera; set image_s"):
        reader.read(picture(8, 8), IMAGE, "wrist")


def test_a_store_has_its_size_already():
    with pytest.raises(ObservationError, match="the store takes 5x5"):
        ImageReader(size=(5, 5)).read(picture(4, 6), IMAGE, "front")


def test_cameras_of_several_sizes_are_scaled_to_one():
    reader = ImageReader(image_size=(2, 3))
    for camera, size in (("front", (4, 6)), ("wrist", (8, 8)), ("side", (2, 3))):
        assert reader.read(picture(*size, 7), IMAGE, camera).tolist() == [[[7] * 3] * 3] * 2
    assert reader.size == (2, 3)


def test_a_scaled_pixel_is_the_mean_of_what_it_covers_but_of_depth_one_of_them():
    image = np.zeros((2, 2, 3), np.uint8)
    image[0] = 100
    assert (scaled(image, (1, 1)) == 50).all()
    assert scaled(image, (1, 1), depth=True)[0, 0, 0] in (0, 100)
    assert scaled(image, (2, 2)) is image


def test_each_camera_has_its_own_range_and_encoding():
    reader = ImageReader(
        depth_range_mm={"depth": (0.0, 1000.0)}, encoding={"front": "bgr8"}, image_size=(1, 1)
    )
    depth = raw(np.array([[1000]], np.uint16), "16UC1")
    assert reader.read(depth, IMAGE, "depth").tolist() == [[[255] * 3]]
    colour = raw(np.uint8([[[1, 2, 3]]]), "rgb8")
    assert reader.read(colour, IMAGE, "front").tolist() == [[[3, 2, 1]]]
    assert reader.read(colour, IMAGE, "wrist").tolist() == [[[1, 2, 3]]]
    with pytest.raises(ObservationError, match="has a depth_range_mm"):
        reader.read(colour, IMAGE, "depth")


def test_another_type_is_no_image():
    with pytest.raises(ObservationError, match="JointState is no image; allowed are"):
        ImageReader().read(picture(4, 6), JOINT_STATE, "front")


def test_an_error_gives_the_advice_for_a_recording():
    with pytest.raises(ObservationError, match="in the mapping"):
        ImageReader().read(raw(np.zeros((2, 2), np.uint8), "odd"), IMAGE, "front")
