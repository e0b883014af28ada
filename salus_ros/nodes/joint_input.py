"""The joints that a predictor reads, as they were at a step."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError
from salus_ros.messages.joints import joint_values, read_joints
from salus_ros.messages.stamps import to_ns
from salus_ros.recording.streams import JointStream

SAMPLES_KEPT = 256

MAX_AGE_NS = 100_000_000
"""Older values are none, as in a recording by default."""


class JointInput:
    """Collects joint states, which one driver or several publish.

    Args:
        keys: What is read, `joint_keys` of joints, in the model's order.
    """

    def __init__(self, keys: tuple[str, ...]) -> None:
        self._joints = {key.split(" ", 1)[1] for key in keys}
        self._stream = JointStream(keys, partial=True)

    def take(self, message: Any) -> None:
        """Take in a sensor_msgs/JointState.

        Raises:
            ObservationError: if it cannot be read; a quantity without one value a joint is left
                out of it.
        """
        wrong: list[ObservationError] = []
        read_joints(message, self._joints)
        values = joint_values(message, self._joints, wrong.append)
        self._stream.add(to_ns(message.header.stamp), values)
        self._stream.keep(SAMPLES_KEPT)
        if wrong:
            raise wrong[0]

    def as_of(self, stamp_ns: int) -> NDArray[np.float32] | None:
        """Newest values (1, W) that are not newer than a step; None without any.

        NaN for what no message told.
        """
        found = self._stream.as_of(stamp_ns, stamp_ns - MAX_AGE_NS - 1)
        return None if found is None else found[1][None]
