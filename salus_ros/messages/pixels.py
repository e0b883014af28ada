"""Pixels of image messages as they were sent, checked before they are decoded."""

import io
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rosbags.image.image import ImageFormatError, to_cvtype

from salus_ros.core.errors import ObservationError

MAX_PIXELS = 64_000_000
"""The most of one image. A picture of a few bytes may say that it has many more."""

FORMATS = ("jpeg", "png", "webp", "tiff")
"""Of compressed images."""

PLANAR = ("nv12", "nv21")
"""Encodings whose rows of brightness are followed by half as many of colour."""

_DEPTH_HEADER_BYTES = 12
"""Before the png of compressedDepth: a number, and how floats were made whole numbers."""

_PNG = b"\x89PNG\r\n\x1a\n"

type Pixels = NDArray[np.uint8] | NDArray[np.uint16] | NDArray[np.float32]


CAMERA = "CAMERA"
"""Stands for the name of a camera in an advice."""


@dataclass(frozen=True, slots=True)
class Advice:
    """What one can do about an image that cannot be used.

    Attributes:
        encoding: Where its encoding is not accepted, or not known.
        depth: Where it is depth whose range is not known.
        damage: Where it is damaged.
    """

    encoding: str
    depth: str
    damage: str


DRIVER = Advice(
    encoding="set the driver's encoding",
    depth="set the parameters depth_near_mm and depth_far_mm, or the driver's encoding",
    damage="check the driver",
)
"""To the owner of a camera that runs."""

RECORDING = Advice(
    encoding="say in the mapping what it is (encoding: {CAMERA: ENCODING}), or decode the topic "
    "(image_proc, image_transport republish) and record it again",
    depth="if it is depth, set depth_range_mm: {CAMERA: [NEAR, FAR]} in the mapping; if it is "
    "grey, encoding: {CAMERA: mono16}",
    damage="what was recorded so cannot be mended",
)
"""To the owner of a recording."""


def raw_pixels(message: Any, camera: str, encoding: str, advice: Advice) -> Pixels:
    """Pixels of a raw image, which may have padded rows and either order of bytes.

    Args:
        message: A sensor_msgs/Image, of whichever library.
        camera: Its camera, for the error text.
        encoding: What it is taken for: one of sensor_msgs/image_encodings.
        advice: For the error text.

    Returns:
        (H, W) or (H, W, C); (3 H / 2, W) where it is planar.

    Raises:
        ObservationError: if the encoding is not known, or the size does not add up or is too
            large.
    """
    try:
        _, _, kind, channels = to_cvtype(encoding)
    except (ImageFormatError, KeyError) as error:
        raise ObservationError(
            f"camera '{camera}' sends encoding '{encoding}', which is not known; "
            f"{advice.encoding.replace(CAMERA, camera)}"
        ) from error
    height, width, step = int(message.height), int(message.width), int(message.step)
    check_size(camera, width, height)
    dtype = np.dtype(kind).newbyteorder(">" if message.is_bigendian else "<")
    row_bytes = width * channels * dtype.itemsize
    planar = encoding in PLANAR
    rows = height * 3 // 2 if planar else height
    odd = bool(planar and (height % 2 or width % 2))
    if odd or step < row_bytes or len(message.data) != rows * step:
        raise ObservationError(
            f"camera '{camera}' sends {len(message.data)} bytes for {width}x{height} pixels of "
            f"{encoding} with step {step}; needed are a step of at least {row_bytes} and {rows} x "
            f"step = {rows * step} bytes" + (", of even sizes" if planar else "")
            + f"; {advice.damage}",
            f"camera '{camera}' sends bytes that do not add up to its size; {advice.damage}",
        )  # fmt: skip
    padded = np.frombuffer(message.data, np.uint8).reshape(rows, step)
    pixels = np.ascontiguousarray(padded[:, :row_bytes]).view(dtype)
    if not dtype.isnative:
        pixels = pixels.astype(dtype.newbyteorder("="))
    return pixels if channels == 1 else pixels.reshape(rows, width, channels)


def picture_pixels(message: Any, camera: str, advice: Advice) -> Pixels:
    """Pixels of a compressed image, whole.

    Args:
        message: A sensor_msgs/CompressedImage, of whichever library; also of compressedDepth.
        camera: Its camera, for the error text.
        advice: For the error text.

    Returns:
        (H, W) grey of 8 or 16 bits or float32, or RGB (H, W, 3) of 8 or 16 bits; an alpha channel
        is dropped.

    Raises:
        ObservationError: if it is damaged, of another format, or too large.
    """
    data = bytes(message.data)
    if "compressedDepth" in message.format and not data.startswith(_PNG):
        data = data[_DEPTH_HEADER_BYTES:]
    try:
        with Image.open(io.BytesIO(data), formats=FORMATS) as picture:
            check_size(camera, *picture.size)  # before its pixels are unpacked
            deep = picture.mode.startswith("RGB") and ";16" in str(picture.tile[:1])
            picture.load()
            pixels = _decoded(picture)
        if deep:  # of which PIL keeps 8 bits
            pixels = _deep(data)
    except ObservationError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(camera, "a picture") from error
    except Exception as error:
        raise ObservationError(
            f"camera '{camera}' sends {len(message.data)} bytes of format '{message.format}' that "
            f"are no whole {' or '.join(FORMATS)}; {advice.damage}",
            f"camera '{camera}' sends what is no whole {' or '.join(FORMATS)}; {advice.damage}",
        ) from error
    return pixels


def depth_parameters(message: Any) -> tuple[float, float]:
    """How compressedDepth has made metres whole numbers v: a / (v - b)."""
    a, b = np.frombuffer(bytes(message.data)[4:_DEPTH_HEADER_BYTES], "<f4").tolist()
    return a, b


def check_size(camera: str, width: int, height: int) -> None:
    """Refuse an image without pixels, or of too many.

    Raises:
        ObservationError: saying the size.
    """
    if width < 1 or height < 1:
        raise ObservationError(f"camera '{camera}' sends 0 bytes for {width}x{height} pixels")
    if width * height > MAX_PIXELS:
        raise _too_large(camera, f"{width}x{height} pixels")


def _too_large(camera: str, what: str) -> ObservationError:
    return ObservationError(
        f"camera '{camera}' sends {what}, more than {MAX_PIXELS // 1_000_000} megapixels; scale "
        "it down before it is sent",
        f"camera '{camera}' sends more than {MAX_PIXELS // 1_000_000} megapixels",
    )


def _deep(data: bytes) -> NDArray[np.uint16]:
    """Decode a picture of 16 bits a channel, which is known to be whole."""
    bgr = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if bgr is None or bgr.dtype != np.uint16:
        raise ValueError("not of 16 bits")
    order = cv2.COLOR_BGRA2RGB if bgr.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(bgr, order).astype(np.uint16, copy=False)


def _decoded(picture: Image.Image) -> Pixels:
    if picture.mode.startswith("I"):
        grey = np.array(picture)
        if grey.min() < 0 or grey.max() > np.iinfo(np.uint16).max:
            raise ValueError("more than 16 bits")
        return grey.astype(np.uint16)
    if picture.mode in ("F", "L", "RGB"):
        return np.array(picture)
    return np.array(picture.convert("L" if picture.mode in ("1", "LA") else "RGB"))
