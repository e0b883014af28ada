"""Image messages as arrays, for every library that reads them."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from salus_ros.core.errors import ObservationError

ENCODINGS: dict[str, tuple[int, tuple[int, int, int]]] = {
    "rgb8": (3, (0, 1, 2)),
    "bgr8": (3, (2, 1, 0)),
    "rgba8": (4, (0, 1, 2)),
    "bgra8": (4, (2, 1, 0)),
    "mono8": (1, (0, 0, 0)),
}
"""Accepted image encodings: bytes per pixel, and where red, green and blue stand in them."""


def image_to_array(message: Any, name: str) -> NDArray[np.uint8]:
    """Read an image of 8 bits per channel.

    `is_bigendian` does not matter here: a channel is one byte. Rows may be padded (`step`).

    Args:
        message: A sensor_msgs/Image, of whichever library; its data are bytes or uint8.
        name: Its camera, for the error text.

    Returns:
        RGB uint8 (H, W, 3), contiguous; the alpha channel is dropped, mono is repeated.

    Raises:
        ObservationError: if the encoding is not accepted or the size does not add up.
    """
    if message.encoding not in ENCODINGS:
        raise ObservationError(
            f"camera '{name}' sends encoding '{message.encoding}'; accepted are "
            f"{', '.join(ENCODINGS)}, and 16UC1 with a range of depth; set the driver's encoding"
        )
    channels, order = ENCODINGS[message.encoding]
    height, width, step = message.height, message.width, message.step
    if height == 0 or width == 0 or step < width * channels or len(message.data) != height * step:
        raise ObservationError(
            f"camera '{name}' sends {len(message.data)} bytes for {width}x{height} pixels of "
            f"{message.encoding} with step {step}; needed are a step of at least "
            f"{width * channels} and height x step = {height * step} bytes; check the driver"
        )
    rows = np.frombuffer(message.data, np.uint8).reshape(height, step)
    pixels = rows[:, : width * channels].reshape(height, width, channels)
    if order == (0, 1, 2) and channels == 3:
        return np.ascontiguousarray(pixels)
    return np.ascontiguousarray(pixels[:, :, order])


def compressed_image_to_array(message: Any, name: str) -> NDArray[np.uint8]:
    """Read a jpeg or png of 8 bits per channel.

    Args:
        message: A sensor_msgs/CompressedImage, of whichever library; its data are bytes or uint8.
        name: Its camera, for the error text.

    Returns:
        RGB uint8 (H, W, 3), contiguous; an alpha channel is dropped, grey is repeated.

    Raises:
        ObservationError: if it is damaged, or of another format or depth.
    """
    try:
        with Image.open(io.BytesIO(bytes(message.data)), formats=("jpeg", "png")) as picture:
            if picture.mode.startswith("I"):
                raise ObservationError(
                    f"camera '{name}' sends format '{message.format}' of 16 bits per channel; "
                    "accepted are 8; set the driver's encoding to 8 bits"
                )
            return np.array(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise ObservationError(
            f"camera '{name}' sends {len(message.data)} bytes of format '{message.format}' that "
            "are no whole jpeg or png; check the driver"
        ) from error
