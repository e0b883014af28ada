"""Depth images as grey ones, since a store holds 8 bits a channel."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from salus_ros.core.errors import ObservationError

DEPTH = "16UC1"
"""Encoding of a depth image: 16 bits a pixel, in mm."""


def depth_to_array(message: Any, camera: str, range_mm: tuple[float, float]) -> NDArray[np.uint8]:
    """Depth as grey: 0 where nothing was measured, else 1 at the near end to 255 at the far one.

    grey = 1 + round(254 (d - near) / (far - near)), with d held to [near, far] first.

    Args:
        message: An Image of 16UC1 or a CompressedImage that is a png of 16 bits, in mm; 0 is no
            measurement.
        camera: Its camera, for the error text.
        range_mm: Near and far.

    Returns:
        Uint8 (H, W, 3).

    Raises:
        ObservationError: if it is no such image, or damaged.
    """
    depth_mm = (
        _raw_depth(message, camera)
        if hasattr(message, "encoding")
        else _png_depth(message, camera)
    )
    near, far = range_mm
    share = (np.clip(depth_mm.astype(np.float32), near, far) - near) / (far - near)
    grey = np.where(depth_mm == 0, 0, 1 + np.round(254 * share)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def _raw_depth(message: Any, camera: str) -> NDArray[np.uint16]:
    height, width, step = message.height, message.width, message.step
    if message.encoding != DEPTH:
        raise _no_depth(camera, f"encoding '{message.encoding}'")
    if not height or not width or step < 2 * width or len(message.data) != height * step:
        raise ObservationError(
            f"camera '{camera}' sends {len(message.data)} bytes for {width}x{height} pixels of "
            f"{DEPTH} with step {step}; needed are a step of at least {2 * width} and height x "
            "step bytes"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)[:, : 2 * width]
    order = ">u2" if message.is_bigendian else "<u2"
    return np.ascontiguousarray(rows).view(order).astype(np.uint16)


def _png_depth(message: Any, camera: str) -> NDArray[np.uint16]:
    try:
        with Image.open(io.BytesIO(bytes(message.data)), formats=("png",)) as picture:
            if not picture.mode.startswith("I"):
                raise _no_depth(camera, f"format '{message.format}' of 8 bits")
            return np.array(picture).astype(np.uint16)
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise _no_depth(camera, f"format '{message.format}' that is no whole png") from error


def _no_depth(camera: str, sends: str) -> ObservationError:
    return ObservationError(
        f"camera '{camera}' sends {sends}, but has a depth_range_mm; depth is "
        f"{DEPTH}, raw or as a png of 16 bits"
    )
