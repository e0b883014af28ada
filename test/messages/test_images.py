import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from image_messages import compressed, raw
from PIL import Image

from salus_ros.core.errors import ObservationError
from salus_ros.messages import pixels
from salus_ros.messages.images import ENCODINGS, read_image
from salus_ros.messages.pixels import RECORDING

RGB = np.arange(1, 19, dtype=np.uint8).reshape(3, 2, 3)
ALPHA = np.full((3, 2, 1), 99, np.uint8)
RGBA = np.concatenate([RGB, ALPHA], axis=2)
BGRA = np.concatenate([RGB[..., ::-1], ALPHA], axis=2)
FORMS = {
    "rgb8": RGB,
    "bgr8": RGB[..., ::-1],
    "rgba8": RGBA,
    "bgra8": BGRA,
    "8UC3": RGB[..., ::-1],
    "8UC4": BGRA,
}
WIDE = {"rgb16": RGB, "bgr16": RGB[..., ::-1], "rgba16": RGBA, "16UC3": RGB[..., ::-1],
        "16UC4": BGRA}  # fmt: skip


def check(given, wanted=RGB):
    np.testing.assert_array_equal(given, wanted)
    assert given.dtype == np.uint8
    assert given.flags.c_contiguous


@pytest.mark.parametrize("bigendian", [0, 1])
@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", FORMS)
def test_every_colour_encoding_reads_the_same(encoding, padding, bigendian):
    check(read_image(raw(FORMS[encoding], encoding, padding=padding, bigendian=bigendian), "top"))


@pytest.mark.parametrize("bigendian", [0, 1])
@pytest.mark.parametrize("padding", [0, 6])
@pytest.mark.parametrize("encoding", WIDE)
def test_sixteen_bits_are_scaled_so_that_white_stays_white(encoding, padding, bigendian):
    wide = WIDE[encoding].astype(np.uint16) * 257
    check(read_image(raw(wide, encoding, padding=padding, bigendian=bigendian), "top"))
    white = np.full_like(wide, 65535)
    assert (read_image(raw(white, encoding, bigendian=bigendian), "top") == 255).all()


def test_sixteen_bits_are_rounded_to_the_nearest():
    grey = np.array([[0, 128, 129, 257 + 128, 257 + 129, 65535 - 129]], np.uint16)
    given = read_image(raw(grey, "mono16"), "top")
    np.testing.assert_array_equal(given[..., 0], [[0, 0, 1, 1, 2, 254]])


@pytest.mark.parametrize("encoding", ["mono8", "8UC1"])
@pytest.mark.parametrize("padding", [0, 3])
def test_grey_is_repeated(encoding, padding):
    grey = RGB[..., 0]
    given = read_image(raw(grey, encoding, padding=padding), "top")
    check(given, np.repeat(grey[..., None], 3, axis=2))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("order", ["rggb", "bggr", "gbrg", "grbg"])
def test_every_bayer_pattern_gives_the_colour_that_was_seen(order, bits):
    colour = {"r": 200, "g": 100, "b": 50}
    cell = np.array([colour[one] for one in order]).reshape(2, 2)
    mosaic = np.tile(cell, (4, 5))
    mosaic = mosaic.astype(np.uint8) if bits == 8 else (mosaic * 257).astype(np.uint16)
    message = raw(mosaic, f"bayer_{order}{bits}", padding=2, bigendian=int(bits == 16))
    given = read_image(message, "top")
    assert given.shape == (8, 10, 3)
    assert (given == (200, 100, 50)).all()


# Of BT.601 with a limited range: Y = 16 + 0.257 R + 0.504 G + 0.098 B, U = 128 - 0.148 R - 0.291 G
# + 0.439 B, V = 128 + 0.439 R - 0.368 G - 0.071 B.
ORANGE, (Y, U, V) = (220, 120, 40), (137, 78, 178)


@pytest.mark.parametrize(
    ("encoding", "order"),
    [("yuv422", (U, Y, V, Y)), ("uyvy", (U, Y, V, Y)), ("yuyv", (Y, U, Y, V)),
     ("yuv422_yuy2", (Y, U, Y, V))],
)  # fmt: skip
def test_packed_yuv_gives_the_colour_that_was_seen(encoding, order):
    given = read_image(raw(np.tile(np.uint8(order).reshape(1, 2, 2), (4, 3, 1)), encoding), "top")
    assert given.shape == (4, 6, 3)
    assert np.abs(given.astype(int) - ORANGE).max() <= 2


@pytest.mark.parametrize(("encoding", "order"), [("nv12", (U, V)), ("nv21", (V, U))])
@pytest.mark.parametrize("padding", [0, 2])
def test_planar_yuv_gives_the_colour_that_was_seen(encoding, order, padding):
    planes = np.concatenate([np.full((4, 6), Y), np.tile(order, (2, 3))]).astype(np.uint8)
    given = read_image(raw(planes, encoding, padding=padding, height=4), "top")
    assert given.shape == (4, 6, 3)
    assert np.abs(given.astype(int) - ORANGE).max() <= 2


def test_planar_yuv_of_odd_sizes_is_refused():
    with pytest.raises(ObservationError, match="of even sizes"):
        read_image(raw(np.zeros((4, 5), np.uint8), "nv12", height=3), "top")


def test_one_column_of_packed_yuv_is_refused():
    with pytest.raises(ObservationError, match="too few for yuv422"):
        read_image(raw(np.zeros((4, 1, 2), np.uint8), "yuv422"), "top")


def test_an_encoding_that_is_given_counts_whatever_the_message_says():
    check(read_image(raw(RGB, "8UC3"), "top", encoding="rgb8"))
    check(read_image(raw(RGB[..., ::-1], "rgb8"), "top", encoding="bgr8"))
    mosaic = np.tile(np.uint8([[200, 100], [100, 50]]), (4, 5))
    given = read_image(raw(mosaic, "mono8"), "top", encoding="bayer_rggb8")
    assert (given == (200, 100, 50)).all()
    grey = np.full((2, 2), 65535, np.uint16)
    assert (read_image(raw(grey, "16UC1"), "top", encoding="mono16") == 255).all()


@pytest.mark.parametrize("encoding", ["RGB8", "nv24", "yuv444", "32SC1", "64FC3", "", "8UC2"])
def test_another_encoding_is_refused_with_those_that_are_accepted(encoding):
    with pytest.raises(ObservationError, match="accepted are mono8, bayer_rggb8") as error:
        read_image(raw(RGB, encoding), "wrist")
    text = str(error.value)
    assert f"camera 'wrist' sends encoding '{encoding}'" in text
    assert all(one in text for one in ENCODINGS)
    assert text.endswith("set the driver's encoding")


def test_of_a_recording_it_says_what_can_be_done_with_one():
    with pytest.raises(ObservationError) as error:
        read_image(raw(RGB, "odd"), "wrist", advice=RECORDING)
    assert "driver" not in str(error.value)
    assert "encoding: {wrist: ENCODING}" in str(error.value)
    assert "record it again" in str(error.value)


@pytest.mark.parametrize("encoding", ["16UC1", "32FC1"])
def test_depth_without_a_range_is_refused_with_the_remedy(encoding):
    depth = np.ones((3, 2), np.uint16 if encoding == "16UC1" else np.float32)
    with pytest.raises(ObservationError, match=r"set depth_range_mm: \{top: \[NEAR, FAR\]\}"):
        read_image(raw(depth, encoding), "top", advice=RECORDING)
    with pytest.raises(ObservationError, match="set the parameters depth_near_mm"):
        read_image(raw(depth, encoding), "top")


@pytest.mark.parametrize(
    "change",
    [
        {"data": b"\x00" * 17},
        {"data": b""},
        {"step": 5},
        {"step": 7},
        {"width": 3},
        {"height": 4},
        {"height": 0, "data": b""},
        {"width": 0},
        {"height": 2**32 - 1, "width": 2**32 - 1, "step": 2**32 - 1},
    ],
)
def test_a_size_that_does_not_add_up_is_refused(change):
    given = raw(RGB, "rgb8")
    for name, value in change.items():
        setattr(given, name, value)
    with pytest.raises(ObservationError, match=r"camera .side. sends .* pixels"):
        read_image(given, "side")


def test_damaged_images_of_several_sizes_have_one_cause():
    causes = set()
    for size in (3, 5):
        given = raw(RGB, "rgb8")
        given.data = bytes(size)
        with pytest.raises(ObservationError) as error:
            read_image(given, "side")
        causes.add(error.value.cause)
        with pytest.raises(ObservationError) as error:
            read_image(SimpleNamespace(format="jpeg", data=bytes(size)), "side")
        causes.add(error.value.cause)
    assert len(causes) == 2
    assert not any(character.isdigit() for cause in causes for character in cause)


# Compressed


@pytest.mark.parametrize(
    ("form", "options", "off"),
    [("png", {}, 0), ("jpeg", {"quality": 100}, 3), ("webp", {"lossless": True}, 0),
     ("tiff", {}, 0)],
)  # fmt: skip
def test_every_format_gives_rgb(form, options, off):
    colour = np.full((4, 6, 3), (40, 100, 160), np.uint8)
    given = read_image(compressed(colour, form, **options), "top")
    assert given.shape == (4, 6, 3)
    assert np.abs(given.astype(int) - colour).max() <= off


def test_of_a_compressed_image_alpha_is_dropped_and_grey_repeated():
    check(read_image(compressed(RGBA), "top"))
    check(read_image(compressed(RGB[..., 0]), "top"), np.repeat(RGB[..., :1], 3, axis=2))


@pytest.mark.parametrize("form", ["png", "tiff"])
def test_compressed_colours_of_sixteen_bits_are_scaled(form):
    _, data = cv2.imencode(f".{form}", RGB[..., ::-1].astype(np.uint16) * 257)
    check(read_image(SimpleNamespace(format=f"rgb16; {form} compressed", data=data), "top"))


def test_compressed_grey_of_sixteen_bits_is_scaled_where_it_says_so_or_is_told():
    grey = RGB[..., 0].astype(np.uint16) * 257
    wanted = np.repeat(RGB[..., :1], 3, axis=2)
    check(read_image(compressed(grey, said="mono16; png compressed "), "top"), wanted)
    check(read_image(compressed(grey), "top", encoding="mono16"), wanted)
    with pytest.raises(ObservationError, match=r"encoding: \{top: mono16\}"):
        read_image(compressed(grey), "top", advice=RECORDING)


def test_a_compressed_bayer_mosaic_is_made_colour():
    mosaic = np.tile(np.uint8([[200, 100], [100, 50]]), (4, 5))
    for message, encoding in (
        (compressed(mosaic, said="bayer_rggb8; png compressed "), ""),
        (compressed(mosaic), "bayer_rggb8"),
    ):
        given = read_image(message, "top", encoding=encoding)
        assert (given == (200, 100, 50)).all()


def test_swapped_colours_of_a_picture_are_swapped_back_where_one_says_so():
    check(read_image(compressed(RGB[..., ::-1]), "top", encoding="bgr8"))
    check(read_image(compressed(RGB, said="bgr8; png compressed bgr8"), "top"))


@pytest.mark.parametrize("share", [0.0, 0.3, 0.6, 0.95])
@pytest.mark.parametrize("form", ["png", "jpeg", "tiff"])
def test_a_picture_that_is_cut_short_is_refused(form, share):
    rng = np.random.default_rng(0)
    given = compressed(rng.integers(0, 255, (40, 40, 3)).astype(np.uint8), form)
    given.data = given.data[: int(share * len(given.data))]
    with pytest.raises(ObservationError, match="are no whole jpeg or png or webp or tiff"):
        read_image(given, "top")


@pytest.mark.parametrize("form", ["gif", "bmp"])
def test_another_format_is_refused(form):
    with pytest.raises(ObservationError, match=f"of format '{form}' that are no whole"):
        read_image(compressed(RGB, form), "top")


def bomb(width, height):
    """A png of a few bytes that says it has many pixels."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(99)))
    return SimpleNamespace(format="png", data=data + chunk(b"IEND", b""))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(
    "size", [(8001, 8000), (10_000, 10_000), (30_000, 30_000), (2**31 - 1, 9)]
)
def test_a_picture_of_too_many_pixels_is_refused_before_it_is_unpacked(size, monkeypatch):
    def unpack(*_):
        raise AssertionError("unpacked")

    monkeypatch.setattr(Image.Image, "load", unpack)
    with pytest.raises(ObservationError, match="more than 64 megapixels"):
        read_image(bomb(*size), "top")


def test_a_raw_image_of_too_many_pixels_is_refused():
    given = raw(RGB, "rgb8")
    given.height, given.width, given.step = 8001, 8000, 24000
    with pytest.raises(ObservationError, match="8000x8001 pixels, more than 64 megapixels"):
        read_image(given, "top")


def test_the_limit_itself_is_read(monkeypatch):
    monkeypatch.setattr(pixels, "MAX_PIXELS", 6)
    check(read_image(raw(RGB, "rgb8"), "top"))
    check(read_image(compressed(RGB), "top"))
