"""Camera images as the page gets them: JPEG, and no larger than it shows them."""

import cv2
import numpy as np
from numpy.typing import NDArray

LARGEST = 400
"""Longest edge of a picture in pixels; a third of a wide screen."""

QUALITY = 80


def to_jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Make a JPEG of RGB uint8 (H, W, 3), reduced to `LARGEST`."""
    height, width = pixels.shape[:2]
    scale = LARGEST / max(height, width)
    if scale < 1:
        size = max(1, round(width * scale)), max(1, round(height * scale))
        pixels = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[assignment]
    swapped = cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)
    _, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return data.tobytes()
