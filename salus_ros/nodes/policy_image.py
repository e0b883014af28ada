"""Images as a policy can take them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError
from salus_ros.messages.images import read_image
from salus_ros.messages.pixels import Advice

LONGEST_SIDE = 20
"""How many times longer one side of an image may be; a policy scales what is left to nothing."""

COLOURS = Advice(
    encoding="set the driver's encoding",
    depth="a policy takes colours: name another camera in the parameter cameras",
    damage="check the driver",
)


def policy_image(message: Any, camera: str) -> NDArray[np.uint8]:
    """Read an image, raw or compressed, uint8 (H, W, 3) RGB.

    Raises:
        ObservationError: if it cannot be read, is depth, or far longer than wide.
    """
    image = read_image(message, camera, advice=COLOURS)
    height, width, _ = image.shape
    if max(height, width) > LONGEST_SIDE * min(height, width):
        raise ObservationError(
            f"camera '{camera}' sends {width}x{height} pixels; one side may be {LONGEST_SIDE} "
            "times as long as the other; check the driver",
            f"camera '{camera}' sends an image that is far longer than wide",
        )
    return image
