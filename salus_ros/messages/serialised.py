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


def read_raw_image(
    serialised: bytes,
    camera: str,
    depth_mm: tuple[float, float] | None = None,
    encoding: str = "",
) -> NDArray[np.uint8]:
    """Read a serialised sensor_msgs/Image, as `read_image` does; depth if its range is given.

    An rgb8 image is a view of the bytes that cannot be written to.

    Raises:
        ObservationError: if it cannot be read.
    """
    return _read(serialised, "Image", camera, depth_mm, encoding)


def read_compressed_image(
    serialised: bytes,
    camera: str,
    depth_mm: tuple[float, float] | None = None,
    encoding: str = "",
) -> NDArray[np.uint8]:
    """Read a serialised sensor_msgs/CompressedImage, as `read_raw_image` does.

    Raises:
        ObservationError: if it cannot be read.
    """
    return _read(serialised, "CompressedImage", camera, depth_mm, encoding)


def _read(
    serialised: bytes,
    kind: str,
    camera: str,
    depth_mm: tuple[float, float] | None,
    encoding: str,
) -> NDArray[np.uint8]:
    try:
        message: Any = _TYPES.deserialize_cdr(serialised, f"sensor_msgs/msg/{kind}")
    except Exception as error:
        raise ObservationError(
            f"camera '{camera}' sends {len(serialised)} bytes that are no {kind}",
            f"camera '{camera}' sends what is no {kind}",
        ) from error
    # The range is that of all cameras, of which some give depth.
    range_mm = depth_mm if is_depth(message, encoding) else None
    return read_image(message, camera, encoding=encoding, depth_range_mm=range_mm)
