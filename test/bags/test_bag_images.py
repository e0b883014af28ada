"""Images of a bag: what the mapping says of them reaches the store."""

import io

import numpy as np
import pytest
from PIL import Image
from written_bags import (
    COMPRESSED,
    IMAGE,
    PERIOD_NS,
    START_NS,
    Recording,
    check_steps,
    header,
    image,
    make,
    picture,
    recording,
)


def camera_bag(folder, pixels, encoding):
    """Three steps of one image (H, W, C); with a format, compressed."""
    made = Recording([m for m in recording(3).messages if m[0] != "/cam"])
    for step in range(3):
        stamp = START_NS + step * PERIOD_NS
        if "png" in encoding:
            file = io.BytesIO()
            Image.fromarray(pixels).save(file, "png")
            data = np.frombuffer(file.getvalue(), np.uint8)
            message = make(COMPRESSED, header=header(stamp), format=encoding, data=data)
            made.add("/cam", COMPRESSED, stamp + 10_000_000, message)
        else:
            message = image(stamp, pixels, encoding)
            made.add("/cam", IMAGE, stamp + 10_000_000, message)
    return made.write(folder / "bag")


RGB = np.full((4, 6, 3), (40, 100, 160), np.uint8)
MOSAIC = np.tile(np.uint8([[40, 100], [100, 160]]), (2, 3))[..., None]


@pytest.mark.parametrize(
    ("pixels", "sent", "told"),
    [
        (RGB[..., ::-1], "bgr8", ""),
        (RGB[..., ::-1], "8UC3", ""),
        (RGB, "8UC3", "rgb8"),
        (MOSAIC, "bayer_rggb8", ""),
        (MOSAIC, "mono8", "bayer_rggb8"),
        (RGB, "rgb8; png compressed bgr8", ""),
    ],
)
def test_every_encoding_gives_rgb_and_the_mapping_may_say_which_it_is(
    convert, tmp_path, pixels, sent, told
):
    encoding = {"front": told} if told else {}
    report, reader = convert(camera_bag(tmp_path, pixels, sent), encoding=encoding)
    assert report["problems"] == []
    assert (reader.episode(0).images["front"] == RGB[0, 0]).all()
    guessed = "camera front: '8UC3' does not say which colours; bgr8 is taken" in str(
        report["notes"]
    )
    assert guessed == (sent == "8UC3" and not told)


def test_images_that_change_size_or_encoding_are_gaps_and_named(convert, tmp_path):
    made = recording()
    for place, pixels, encoding in (
        (6, picture(2, (8, 8)), "rgb8"),
        (9, np.zeros((4, 6, 2), np.uint8), "odd"),
    ):
        topic, kind, receive_ns, _ = made.messages[place]
        made.messages[place] = (topic, kind, receive_ns, image(receive_ns, pixels, encoding))
    report, reader = convert(made.write(tmp_path / "bag"))
    missing = np.isin(np.arange(10), (2, 3))
    np.testing.assert_array_equal(np.isnan(reader.episode(0).age_ms[:, 0]), missing)
    assert report["streams"]["front"]["unreadable"] == 2
    assert "the image is 8x8, the first one 6x4" in str(report["problems"])
    assert "camera 'front' sends encoding 'odd'" in str(report["problems"])
    assert "encoding: {front: ENCODING}" in str(report["problems"])


DEPTH = np.array([[0, 500, 1000], [1500, 2000, 65535]], np.uint16)
DEPTHS = [(DEPTH.astype("<u2").view(np.uint8).reshape(2, 3, 2), "16UC1"),
          (DEPTH, "16UC1; png compressed ")]  # fmt: skip


@pytest.mark.parametrize(("pixels", "sent"), DEPTHS)
def test_depth_becomes_grey_as_the_mapping_says(convert, tmp_path, pixels, sent):
    bag = camera_bag(tmp_path, pixels, sent)
    report, reader = convert(bag, depth_range_mm={"front": (1000, 2000)})
    assert report["problems"] == []
    wanted = np.array([[0, 1, 1], [128, 255, 255]])  # 0 is no measurement
    for channel in range(3):
        given = reader.episode(0).images["front"][2, ..., channel]
        np.testing.assert_array_equal(given, wanted)


@pytest.mark.parametrize(("pixels", "sent"), DEPTHS)
def test_depth_without_a_range_is_refused(convert, tmp_path, pixels, sent):
    report, reader = convert(camera_bag(tmp_path, pixels, sent))
    assert reader is None
    assert "set depth_range_mm: {front: [NEAR, FAR]}" in str(report["problems"])


def test_images_are_scaled_where_the_mapping_says_so(convert, tmp_path):
    _, reader = convert(recording().write(tmp_path / "bag"), image_size=(8, 12))
    assert reader.spec.image_size == (8, 12)
    check_steps(reader)
