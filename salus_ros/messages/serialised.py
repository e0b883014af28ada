"""Images from their serialised bytes, without a copy of the pixels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray
from rosbags.typesys import Stores, get_typestore

from salus_ros.core.errors import ObservationError
from salus_ros.messages.depth import is_depth
from salus_ros.messages.images import read_image

_TYPES = get_typestore(Stores.ROS2_JAZZY)
"""Made when this is imported: that takes a third of a second."""


def read_serialised_image(
    serialised: bytes,
    camera: str,
    *,
    compressed: bool = False,
    depth_mm: tuple[float, float] | None = None,
    encoding: str = "",
) -> NDArray[np.uint8]:
    """Read a serialised image, as `read_image` does.

    Args:
        serialised: Its bytes (CDR).
        camera: Its camera, for the error text.
        compressed: Whether they are of a sensor_msgs/CompressedImage, else of an Image.
        depth_mm: Near and far of all cameras, of which some give depth; None where none does.
        encoding: What it is taken for, whatever it says.

    Returns:
        RGB uint8 (H, W, 3); of an rgb8 image a view of the bytes, which cannot be written to.

    Raises:
        ObservationError: if it cannot be read.
    """
    kind = "CompressedImage" if compressed else "Image"
    try:
        message: Any = _TYPES.deserialize_cdr(serialised, f"sensor_msgs/msg/{kind}")
    except Exception as error:
        raise ObservationError(
            f"camera '{camera}' sends {len(serialised)} bytes that are no {kind}",
            f"camera '{camera}' sends what is no {kind}",
        ) from error
    range_mm = depth_mm if is_depth(message, encoding) else None
    return read_image(message, camera, encoding=encoding, depth_range_mm=range_mm)
