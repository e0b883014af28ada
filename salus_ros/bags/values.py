"""Decoded messages as rows of numbers, checked where they enter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.bags.graph import POLICY_ACTION
from salus_ros.bags.mapping import Values
from salus_ros.core.errors import ObservationError

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
