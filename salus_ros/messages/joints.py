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
    check_finite(names, values, quantity)
    return names, values


def check_finite(names: Sequence[str], values: NDArray[np.float64], quantity: str) -> None:
    """Refuse values (J,) that are not finite as the store holds them, as float32.

    Args:
        names: Names of the J values.
        values: Float64 (J,).
        quantity: What each of them is, such as "position".

    Raises:
        ObservationError: naming those that are not.
    """
    with np.errstate(over="ignore"):
        bad = np.flatnonzero(~np.isfinite(values.astype(np.float32)))
    if bad.size:
        given = ", ".join(f"{names[place]} = {values[place]}" for place in bad)
        raise ObservationError(
            f"it has {given}; every {quantity} must be finite; check the driver",
            f"a {quantity} of {', '.join(names[place] for place in bad)} is not finite",
        )
