"""Numbers of a message by the paths of its fields, and the names that they go by."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError

type Named = tuple[tuple[str, ...], NDArray[np.float64]]
"""Names of D numbers, and the numbers float64 (D,)."""

NAMES = ("name", "joint_names", "dof_names")
"""Fields in which messages name the joints that their other fields go by."""


def read_fields(message: Any, paths: Sequence[str], prefix: str = "") -> Named:
    """Read the numbers at some paths, joined in their order.

    A path names fields, and entries of lists by their number: "linear.x", "points.0.positions".
    A number goes by its path; the numbers of a list by the joints, where the message names as
    many (with more than one path: "elbow.velocity"), or else by the path and their place
    ("data_0").

    Args:
        message: A message of whichever library.
        paths: Paths of numbers or of lists of numbers.
        prefix: What all paths begin with and names do not, with its last dot.

    Raises:
        ObservationError: if there is no such field, or no number in it.
    """
    names: list[str] = []
    parts: list[NDArray[np.float64]] = []
    joints = joint_names(message)
    for path in paths:
        values = _numbers(_at(message, prefix + path), prefix + path)
        parts.append(values.ravel())
        if not values.ndim:
            names.append(path)
        elif len(joints) == values.size and joints:
            leaf = [part for part in path.split(".") if not part.isdigit()][-1]
            names += joints if len(paths) == 1 else [f"{joint}.{leaf}" for joint in joints]
        else:
            names += [f"{path}_{place}" for place in range(values.size)]
    return tuple(names), np.concatenate(parts) if parts else np.zeros(0)


def field_names(value: Any) -> tuple[str, ...]:
    """Names of a message's fields, in their order; none where it is no message."""
    if hasattr(value, "get_fields_and_field_types"):  # rclpy
        return tuple(value.get_fields_and_field_types())
    if dataclasses.is_dataclass(value):  # rosbags
        names = (field.name for field in dataclasses.fields(value))
        return tuple(name for name in names if not name.startswith("_"))
    return ()


def joint_names(message: Any) -> list[str]:
    """Names of the joints that a message's lists go by; none where it has none."""
    present = [name for name in NAMES if name in field_names(message)]
    given = getattr(message, present[0]) if present else ""
    return [] if isinstance(given, str) else [str(name) for name in given]


def _at(message: Any, path: str) -> Any:
    value, walked = message, ""
    for part in path.split("."):
        if part.isdigit() and hasattr(value, "__len__") and not isinstance(value, str):
            if int(part) >= len(value):
                raise ObservationError(f"it has no {path}: {walked} has {len(value)} entries")
            value = value[int(part)]
        elif part in (there := field_names(value)):
            value = getattr(value, part)
        else:
            has = ", ".join(there) or "no fields"
            raise ObservationError(f"it has no field {path}; {walked or 'it'} has {has}")
        walked = f"{walked}.{part}".lstrip(".")
    return value


def _numbers(value: Any, path: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError) as error:
        there = field_names(value)
        has = f"; it has {', '.join(there)}" if there else ""
        raise ObservationError(f"the field {path} is no number{has}") from error
    if isinstance(value, str | bytes) or numbers.ndim > 1:
        raise ObservationError(f"the field {path} is no number and no list of numbers")
    return numbers
