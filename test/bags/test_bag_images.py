"""Images of a bag: encodings, sizes and depth."""

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


@pytest.mark.parametrize("encoding", ["bgr8", "rgba8", "bgra8", "mono8", "jpeg", "png"])
def test_every_encoding_gives_rgb(convert, tmp_path, encoding):
    red = np.full((4, 6), 40, np.uint8)
    rgb = np.stack([red, red + 60, red + 120], -1)
    made = Recording([m for m in recording(3).messages if m[0] != "/cam"])
    for step in range(3):
        stamp = START_NS + step * PERIOD_NS
        if encoding in ("jpeg", "png"):
            file = io.BytesIO()
            Image.fromarray(rgb).save(file, encoding, quality=100)
            data = np.frombuffer(file.getvalue(), np.uint8)
            message = make(COMPRESSED, header=header(stamp), format=encoding, data=data)
            made.add("/cam", COMPRESSED, stamp + 10_000_000, message)
            continue
        alpha = np.full((4, 6, 1), 9, np.uint8)
        pixels = {
            "bgr8": rgb[..., ::-1],
            "rgba8": np.concatenate([rgb, alpha], -1),
            "bgra8": np.concatenate([rgb[..., ::-1], alpha], -1),
            "mono8": red[..., None],
        }[encoding]
        made.add("/cam", IMAGE, stamp + 10_000_000, image(stamp, pixels, encoding))
    report, reader = convert(made.write(tmp_path / "bag"))
    assert report["problems"] == []
    given = reader.episode(0).images["front"].astype(int)
    wanted = np.stack([red] * 3, -1) if encoding == "mono8" else rgb
    assert np.abs(given - wanted).max() <= (3 if encoding == "jpeg" else 0)


def test_images_that_change_size_or_encoding_are_gaps_and_named(convert, tmp_path):
    made = recording()
    for place, pixels, encoding in (
        (6, picture(2, (8, 8)), "rgb8"),
        (9, np.zeros((4, 6, 2), np.uint8), "16UC1"),
    ):
        topic, kind, receive_ns, _ = made.messages[place]
        made.messages[place] = (topic, kind, receive_ns, image(receive_ns, pixels, encoding))
    report, reader = convert(made.write(tmp_path / "bag"))
    missing = np.isin(np.arange(10), (2, 3))
    np.testing.assert_array_equal(np.isnan(reader.episode(0).age_ms[:, 0]), missing)
    assert report["streams"]["front"]["unreadable"] == 2
    assert "1 messages cannot be used: the image is 8x8, the first one 6x4" in str(report)
    assert "sends encoding '16UC1'" in str(report["problems"])


def depth_bag(folder, compressed=False):
    """Three steps of 0, 500, 1000, 1500, 2000 and 65535 mm."""
    made = Recording([m for m in recording(3).messages if m[0] != "/cam"])
    depth = np.array([[0, 500, 1000], [1500, 2000, 65535]], np.uint16)
    for step in range(3):
        stamp = START_NS + step * PERIOD_NS
        if compressed:
            file = io.BytesIO()
            Image.fromarray(depth).save(file, "png")
            data = np.frombuffer(file.getvalue(), np.uint8)
            form = "16UC1; png compressed"
            message = make(COMPRESSED, header=header(stamp), format=form, data=data)
            made.add("/cam", COMPRESSED, stamp + 10_000_000, message)
        else:
            rows = depth.astype("<u2").view(np.uint8).reshape(2, 3, 2)
            made.add("/cam", IMAGE, stamp + 10_000_000, image(stamp, rows, "16UC1"))
    return made.write(folder / "bag")


@pytest.mark.parametrize("compressed", [False, True])
def test_depth_becomes_grey_as_the_mapping_says(convert, tmp_path, compressed):
    bag = depth_bag(tmp_path, compressed)
    report, reader = convert(bag, depth_range_mm={"front": (1000, 2000)})
    assert report["problems"] == []
    wanted = np.array([[0, 1, 1], [128, 255, 255]])  # 0 is no measurement
    for channel in range(3):
        given = reader.episode(0).images["front"][2, ..., channel]
        np.testing.assert_array_equal(given, wanted)


@pytest.mark.parametrize("compressed", [False, True])
def test_depth_without_a_range_is_refused(convert, tmp_path, compressed):
    report, reader = convert(depth_bag(tmp_path, compressed))
    assert reader is None
    says = "of 16 bits per channel" if compressed else "set depth_range_mm: {front: [NEAR, FAR]}"
    assert says in str(report["problems"])


def test_a_colour_image_is_no_depth(convert, tmp_path):
    report, reader = convert(recording().write(tmp_path / "bag"), depth_range_mm={"front": (1, 2)})
    assert reader is None
    assert "sends encoding 'rgb8', but has a depth_range_mm" in str(report["problems"])


def test_images_are_scaled_where_the_mapping_says_so(convert, tmp_path):
    _, reader = convert(recording().write(tmp_path / "bag"), image_size=(8, 12))
    assert reader.spec.image_size == (8, 12)
    check_steps(reader)
