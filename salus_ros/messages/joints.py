"""Joint states as arrays, by the joints' names."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError
from salus_ros.core.schema import JOINT_QUANTITIES


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
        raise _not_one_each(names, values, quantity)
    if twice := [name for name, count in Counter(names).items() if count > 1]:
        raise ObservationError(
            f"it has {', '.join(twice)} more than once; joints need names of their own; check "
            "the driver"
        )
    wanted = [place for place, name in enumerate(names) if not joints or name in joints]
    names, values = tuple(names[place] for place in wanted), values[wanted]
    check_finite(names, values, quantity)
    return names, values


def joint_keys(
    joints: Sequence[str], quantities: Sequence[str] = JOINT_QUANTITIES
) -> tuple[str, ...]:
    """What `joint_values` calls the values of J joints: (Q J,), quantity by quantity."""
    return tuple(f"{quantity} {name}" for quantity in quantities for name in joints)


def joint_values(
    message: Any, joints: Collection[str], refused: Callable[[ObservationError], object]
) -> dict[str, float]:
    """Read all that a message says of some joints.

    Drivers send no velocity or effort at all, or NaN for joints that have no such sensor: neither
    is an error.

    Args:
        message: A sensor_msgs/JointState, of whichever library, that names each joint once.
        joints: The joints that are asked for.
        refused: Told of a quantity that has not one value a joint, which is left out.

    Returns:
        Values by their `joint_keys`; NaN where the message has one that is not finite.
    """
    names = tuple(message.name)
    found: dict[str, float] = {}
    for quantity in JOINT_QUANTITIES:
        values = np.asarray(getattr(message, quantity), np.float64)
        if not values.size:
            continue
        if values.shape != (len(names),):
            refused(_not_one_each(names, values, quantity))
            continue
        values = np.where(_is_finite(values), values, np.nan)
        pairs = zip(names, values.tolist(), strict=True)
        found |= {f"{quantity} {name}": value for name, value in pairs if name in joints}
    return found


def check_finite(names: Sequence[str], values: NDArray[np.float64], quantity: str) -> None:
    """Refuse values (J,) that are not finite as the store holds them, as float32.

    Args:
        names: Names of the J values.
        values: Float64 (J,).
        quantity: What each of them is, such as "position".

    Raises:
        ObservationError: naming those that are not.
    """
    bad = np.flatnonzero(~_is_finite(values))
    if bad.size:
        given = ", ".join(f"{names[place]} = {values[place]}" for place in bad)
        raise ObservationError(
            f"it has {given}; every {quantity} must be finite; check the driver",
            f"a {quantity} of {', '.join(names[place] for place in bad)} is not finite",
        )


def _is_finite(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which values are finite as the store holds them, as float32."""
    with np.errstate(over="ignore"):
        return np.isfinite(values.astype(np.float32))


def _not_one_each(
    names: Sequence[str], values: NDArray[np.float64], quantity: str
) -> ObservationError:
    return ObservationError(
        f"it has {len(names)} names and {values.size} values of {quantity}; every joint needs "
        "one; check the driver",
        f"not one {quantity} a joint",
    )
