"""Depth images as grey ones, since a store holds 8 bits a channel."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError
from salus_ros.messages.pixels import (
    DRIVER,
    Advice,
    Pixels,
    depth_parameters,
    picture_pixels,
    raw_pixels,
)

DEPTH = "16UC1"
"""Encoding of a depth image: 16 bits a pixel, in mm."""

FLOAT_DEPTH = "32FC1"
"""Encoding of a depth image: a float a pixel, in m."""

DEPTHS = (DEPTH, FLOAT_DEPTH)
_AS_DEPTH = (*DEPTHS, "mono16")
"""What is taken for depth where a range is known."""

_MM = 1e3


def is_depth(message: Any, encoding: str = "") -> bool:
    """Whether an image says that it is depth.

    Args:
        message: A sensor_msgs/Image or CompressedImage, of whichever library.
        encoding: What it is taken for, whatever it says.
    """
    said = encoding or encoding_of(message)
    return said in DEPTHS or (not encoding and "compressedDepth" in getattr(message, "format", ""))


def encoding_of(message: Any) -> str:
    """Encoding that a raw or compressed image ("16UC1; png compressed") says of itself."""
    if hasattr(message, "encoding"):
        return str(message.encoding)
    return str(message.format).partition(";")[0].strip()


def depth_to_array(
    message: Any,
    camera: str,
    range_mm: tuple[float, float],
    encoding: str = "",
    advice: Advice = DRIVER,
) -> NDArray[np.uint8]:
    """Depth as grey: 0 where nothing was measured, else 1 at the near end to 255 at the far one.

    grey = 1 + round(254 (d - near) / (far - near)), with d held to [near, far] first.

    Args:
        message: As `depth_mm`.
        camera: Its camera, for the error text.
        range_mm: Near and far.
        encoding: What it is taken for, whatever it says.
        advice: For the error text.

    Returns:
        Uint8 (H, W, 3).

    Raises:
        ObservationError: if it is no such image, or damaged.
    """
    distances = depth_mm(message, camera, encoding, advice)
    near, far = range_mm
    share = (np.clip(distances, near, far) - near) / (far - near)
    grey = np.where(distances == 0, 0, 1 + np.round(254 * share)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def depth_mm(
    message: Any, camera: str, encoding: str = "", advice: Advice = DRIVER
) -> NDArray[np.float32]:
    """Distances in mm.

    Args:
        message: An Image of 16UC1 or mono16 (mm; 0 is no measurement) or 32FC1 (m; what is not a
            finite number above 0 is no measurement), or a CompressedImage of such, also of
            compressedDepth (png).
        camera: Its camera, for the error text.
        encoding: What it is taken for, whatever it says.
        advice: For the error text.

    Returns:
        Float32 (H, W), 0 where nothing was measured.

    Raises:
        ObservationError: if it is no such image, or damaged.
    """
    said = encoding or encoding_of(message)
    raw = hasattr(message, "encoding")
    if raw and said not in _AS_DEPTH:
        raise _no_depth(camera, f"encoding '{said}'")
    if raw:
        return _in_mm(raw_pixels(message, camera, said, advice), said)
    return _compressed_mm(message, camera, said, advice)


def _compressed_mm(message: Any, camera: str, said: str, advice: Advice) -> NDArray[np.float32]:
    if "rvl" in message.format.lower():
        raise _no_depth(camera, f"format '{message.format}'")
    pixels = picture_pixels(message, camera, advice)
    if pixels.ndim != 2 or pixels.dtype == np.uint8:
        raise _no_depth(camera, f"format '{message.format}' of 8 bits")
    if said == FLOAT_DEPTH and pixels.dtype == np.uint16:
        a, b = depth_parameters(message)
        with np.errstate(divide="ignore"):
            metres = np.where(pixels == 0, np.nan, a / (pixels.astype(np.float32) - b))
        return _in_mm(metres.astype(np.float32), FLOAT_DEPTH)
    return _in_mm(pixels, FLOAT_DEPTH if pixels.dtype == np.float32 else DEPTH)


def _in_mm(pixels: Pixels, encoding: str) -> NDArray[np.float32]:
    """Depth in mm, 0 where nothing was measured."""
    depth = pixels.astype(np.float32)
    if encoding != FLOAT_DEPTH:
        return depth
    measured = np.isfinite(depth) & (depth > 0)
    return np.where(measured, depth * np.float32(_MM), np.float32(0))


def _no_depth(camera: str, sends: str) -> ObservationError:
    return ObservationError(
        f"camera '{camera}' sends {sends}, but has a depth_range_mm; depth is {DEPTH} in mm or "
        f"{FLOAT_DEPTH} in m, raw, as a png of 16 bits, or as compressedDepth in png"
    )
