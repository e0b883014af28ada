"""Joint states as arrays, by the joints' names."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError

QUANTITIES = ("position", "velocity", "effort")


def read_joints(
    message: Any, joints: Collection[str] = (), quantity: str = "position"
) -> tuple[tuple[str, ...], NDArray[np.float64]]:
    """Read what a message says of its joints, which need not be all of the robot's.

    Args:
        message: A sensor_msgs/JointState, of whichever library.
        joints: The joints that are asked for; of others the values do not matter. Empty: all.
        quantity: "position" (rad or m), "velocity" (rad/s or m/s) or "effort" (Nm or N).

    Returns:
        Names of the joints that it has and that are asked for, in its order (J of them; none
        where it speaks of other joints), and their values float64 (J,), finite also as float32.

    Raises:
        ObservationError: if it has not one value a name, a name twice, or a value that is not
            finite.
    """
    names, values = tuple(message.name), np.asarray(getattr(message, quantity), np.float64)
    if values.shape != (len(names),):
        raise ObservationError(
            f"it has {len(names)} names and {values.size} values of {quantity}; every joint needs "
            "one; check the driver",
            f"not one {quantity} a joint",
        )
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ObservationError(
            f"it has {', '.join(twice)} more than once; joints need names of their own; check "
            "the driver"
        )
    wanted = [place for place, name in enumerate(names) if not joints or name in joints]
    names, values = tuple(names[place] for place in wanted), values[wanted]
    # Not finite as the store holds them.
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(values.astype(np.float32)))
    if bad.size:
        given = ", ".join(f"{names[place]} = {values[place]}" for place in bad)
        raise ObservationError(
            f"it has {given}; every {quantity} must be finite; check the driver",
            f"a {quantity} of {', '.join(names[place] for place in bad)} is not finite",
        )
    return names, values


def joint_positions(message: Any, joints: Sequence[str]) -> NDArray[np.float32]:
    """Read the positions of all `joints`, whatever the message's order.

    Args:
        message: A sensor_msgs/JointState, of whichever library.
        joints: Their names.

    Returns:
        Float32 (len(joints),), in rad or m, in the order of `joints`.

    Raises:
        ObservationError: if a joint is missing, has no position, or is not finite.
    """
    try:
        names, positions = read_joints(message, joints)
    except ObservationError as error:
        raise ObservationError(f"joint_states: {error}", f"joint_states: {error.cause}") from error
    by_name = dict(zip(names, positions.tolist(), strict=True))
    if missing := [joint for joint in joints if joint not in by_name]:
        raise ObservationError(
            f"joint_states has no {', '.join(missing)}; it has "
            f"{', '.join(message.name) or 'no joint'}; set the parameter state_joints to the "
            "robot's names"
        )
    return np.array([by_name[joint] for joint in joints], np.float32)
