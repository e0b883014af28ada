"""Decoded messages as numbers and pictures, checked where they enter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from salus_ros.bags.graph import POLICY_ACTION
from salus_ros.bags.mapping import Values
from salus_ros.core.errors import ObservationError
from salus_ros.core.images import compressed_image_to_array, image_to_array

RAW, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
IMAGES = (RAW, COMPRESSED)
JOINT_STATE = "sensor_msgs/msg/JointState"
ARRAYS = ("std_msgs/msg/Float32MultiArray", "std_msgs/msg/Float64MultiArray")


class ValueReader:
    """Reads the numbers of one stream; the first message settles joints and size."""

    def __init__(self, values: Values) -> None:
        """For the topic of `values`."""
        self._joints = values.joints
        self._fields = values.fields
        self._size: int | None = None

    def read(self, message: Any, kind: str) -> NDArray[np.float32]:
        """Read a message.

        Returns:
            Float32 (D,), finite.

        Raises:
            ObservationError: if numbers are missing, not finite, or not as many as before.
        """
        if kind == JOINT_STATE and not self._fields:
            numbers = self._positions(message)
        else:
            fields = self._fields or _default_fields(kind)
            parts = [_numbers(message, path) for path in fields]
            numbers = np.concatenate(parts).astype(np.float32)
        if not numbers.size or not np.isfinite(numbers).all():
            raise ObservationError("a value is missing or not finite")
        if self._size is None:
            self._size = numbers.size
        elif numbers.size != self._size:
            raise ObservationError(f"it has {numbers.size} values, the first one {self._size}")
        return numbers

    def _positions(self, message: Any) -> NDArray[np.float32]:
        if len(message.name) != len(message.position):
            raise ObservationError("it has not as many positions as joint names")
        by_name = dict(zip(message.name, message.position, strict=True))
        self._joints = self._joints or tuple(message.name)
        missing = [joint for joint in self._joints if joint not in by_name]
        if missing:
            raise ObservationError(
                f"it has no joint {', '.join(missing)}; it has {', '.join(by_name) or 'none'}"
            )
        return np.array([by_name[joint] for joint in self._joints], np.float32)


def read_image(message: Any, kind: str, camera: str) -> NDArray[np.uint8]:
    """Read an Image or a CompressedImage (jpeg, png), uint8 (H, W, 3) RGB.

    Raises:
        ObservationError: if it is of another type or encoding, or damaged.
    """
    if kind == RAW:
        return image_to_array(message, camera)
    if kind != COMPRESSED:
        raise ObservationError(f"{kind} is no image; allowed are {', '.join(IMAGES)}")
    return compressed_image_to_array(message, camera)


def scaled(image: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[np.uint8]:
    """Scale an image (H, W, 3) to height and width."""
    height, width = size
    if image.shape[:2] == size:
        return image
    picture = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    return np.array(picture)


def _default_fields(kind: str) -> Sequence[str]:
    if kind in ARRAYS:
        return ("data",)
    if kind == POLICY_ACTION:
        return ("action",)
    raise ObservationError(f"{kind} needs fields in the mapping, such as fields: [linear.x]")


def _numbers(message: Any, path: str) -> NDArray[np.float64]:
    value = message
    for name in path.split("."):
        if not hasattr(value, name):
            raise ObservationError(f"it has no field {path}")
        value = getattr(value, name)
    try:
        return np.atleast_1d(np.asarray(value, dtype=np.float64)).ravel()
    except (TypeError, ValueError) as error:
        raise ObservationError(f"the field {path} is no number") from error
