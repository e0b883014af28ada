"""Image messages as RGB arrays, for every library that reads them."""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rosbags.image.image import ENCODINGMAP, convert_color

from salus_ros.core.errors import ObservationError
from salus_ros.messages.depth import DEPTHS, depth_to_array, encoding_of, is_depth
from salus_ros.messages.pixels import (
    CAMERA,
    DRIVER,
    Advice,
    Pixels,
    picture_pixels,
    raw_pixels,
)

ALIASES = {
    "8UC1": "mono8",
    "8UC3": "bgr8",
    "8UC4": "bgra8",
    "16UC3": "bgr16",
    "16UC4": "bgra16",
}
"""What images are taken for whose encoding names no colours: OpenCV's order, in which cv_bridge
passes its arrays through."""

ENCODINGS: tuple[str, ...] = (*ENCODINGMAP, *ALIASES, *DEPTHS)
"""Accepted encodings; those of depth with a range alone."""

_SWAPPED = ("bgr8", "bgra8", "bgr16", "bgra16")


def assumed_colours(camera: str, encoding: str) -> str:
    """What to say of a camera whose encoding names no colours; empty where it does."""
    if encoding not in ALIASES or encoding == "8UC1":
        return ""
    return (
        f"camera {camera}: '{encoding}' does not say which colours; {ALIASES[encoding]} is "
        f"taken; set encoding: {{{camera}: ...}} if red and blue are swapped"
    )


def read_image(
    message: Any,
    camera: str,
    *,
    encoding: str = "",
    depth_range_mm: tuple[float, float] | None = None,
    advice: Advice = DRIVER,
) -> NDArray[np.uint8]:
    """Read an image of either kind as 8 bits a channel.

    Of 16 bits v a channel becomes round(v / 257), so that white stays white. YUV is taken for that
    of BT.601 with a limited range, as cameras send it.

    Args:
        message: A sensor_msgs/Image or CompressedImage, of whichever library; its data are bytes
            or uint8.
        camera: Its camera, for the error text.
        encoding: What it is taken for, whatever it says: one of `ENCODINGS`. Of a compressed
            picture, "bgr8" swaps red and blue, and bayer is made of one channel.
        depth_range_mm: Near and far of a camera that gives depth (`depth_to_array`).
        advice: What the error text advises.

    Returns:
        RGB uint8 (H, W, 3), contiguous; an alpha channel is dropped, grey is repeated.

    Raises:
        ObservationError: if it is damaged, too large, of an encoding that is not accepted, or
            depth without a range, or no depth with one.
    """
    if depth_range_mm is not None:
        return depth_to_array(message, camera, depth_range_mm, encoding, advice)
    raw = hasattr(message, "encoding")
    said = encoding or encoding_of(message)
    if is_depth(message, encoding):
        raise _is_depth(camera, said, advice)
    if raw:
        return image_to_array(message, camera, encoding, advice)
    return compressed_image_to_array(message, camera, encoding, advice)


def image_to_array(
    message: Any, camera: str, encoding: str = "", advice: Advice = DRIVER
) -> NDArray[np.uint8]:
    """Read a raw image, as `read_image` does."""
    said = encoding or str(message.encoding)
    known = ALIASES.get(said, said)
    if known not in ENCODINGMAP:
        raise ObservationError(
            f"camera '{camera}' sends encoding '{said}'; accepted are {', '.join(ENCODINGS)}; "
            f"{advice.encoding.replace(CAMERA, camera)}"
        )
    return _rgb8(raw_pixels(message, camera, known, advice), known, camera)


def compressed_image_to_array(
    message: Any, camera: str, encoding: str = "", advice: Advice = DRIVER
) -> NDArray[np.uint8]:
    """Read a compressed image, as `read_image` does."""
    said = encoding or encoding_of(message)
    known = ALIASES.get(said, said)
    pixels = picture_pixels(message, camera, advice)
    bits = 16 if pixels.dtype == np.uint16 else 8
    if pixels.dtype == np.float32:
        raise _is_depth(camera, "float", advice)
    if pixels.ndim == 3:
        return _rgb8(pixels, f"{'bgr' if encoding in _SWAPPED else 'rgb'}{bits}", camera)
    if known.startswith("bayer_"):
        return _rgb8(pixels, f"{known.rstrip('0123456789')}{bits}", camera)
    if bits == 16 and known != "mono16":
        raise _is_depth(camera, message.format, advice)
    return _rgb8(pixels, f"mono{bits}", camera)


def _rgb8(pixels: Pixels, encoding: str, camera: str) -> NDArray[np.uint8]:
    try:
        bits = 16 if pixels.dtype == np.uint16 else 8
        rgb = convert_color(pixels, encoding, f"rgb{bits}")
        if bits == 16:
            rgb = cv2.convertScaleAbs(rgb, alpha=1 / 257)
    except cv2.error as error:  # such as one column of yuv422
        height, width = pixels.shape[:2]
        raise ObservationError(
            f"camera '{camera}' sends {width}x{height} pixels, too few for {encoding}"
        ) from error
    return np.ascontiguousarray(rgb, dtype=np.uint8)


def _is_depth(camera: str, said: str, advice: Advice) -> ObservationError:
    return ObservationError(
        f"camera '{camera}' sends '{said}', of more than 8 bits a pixel without a colour; "
        f"{advice.depth.replace(CAMERA, camera)}"
    )
