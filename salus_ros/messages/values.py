"""States and actions as rows of numbers whose columns have names, checked where they enter."""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.messages.fields import Named, field_names, joint_names, read_fields
from salus_ros.messages.joints import check_finite, read_joints
from salus_ros.messages.kinds import ARRAYS, JOINT_STATE, JOINT_TRAJECTORY, POLICY_ACTION


def _of(parts: Sequence[str], axes: str) -> tuple[str, ...]:
    return tuple(f"{part}.{axis}" for part in parts for axis in axes)


_VECTORS = {
    "Twist": _of(("linear", "angular"), "xyz"),
    "Accel": _of(("linear", "angular"), "xyz"),
    "Wrench": _of(("force", "torque"), "xyz"),
    "Pose": _of(("position",), "xyz") + _of(("orientation",), "xyzw"),
    "Transform": _of(("translation",), "xyz") + _of(("rotation",), "xyzw"),
    "Vector3": tuple("xyz"),
    "Point": tuple("xyz"),
}
_SCALARS = ("Float32", "Float64", "Bool", "Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16")

FIELDS: dict[str, tuple[str, tuple[str, ...]]] = {
    **{f"geometry_msgs/msg/{kind}": ("", fields) for kind, fields in _VECTORS.items()},
    **{
        f"geometry_msgs/msg/{kind}Stamped": (f"{kind.removesuffix('3').lower()}.", fields)
        for kind, fields in _VECTORS.items()
    },
    **{f"std_msgs/msg/{kind}": ("", ("data",)) for kind in _SCALARS},
    **{kind: ("", ("data",)) for kind in ARRAYS},
    JOINT_TRAJECTORY: ("points.0.", ("positions",)),
    "trajectory_msgs/msg/JointTrajectoryPoint": ("", ("positions",)),
    "control_msgs/msg/JointTrajectoryControllerState": ("feedback.", ("positions",)),
    "control_msgs/msg/JointJog": ("", ("velocities",)),
    "control_msgs/msg/MultiDOFCommand": ("", ("values",)),
    "control_msgs/msg/GripperCommand": ("", ("position", "max_effort")),
    POLICY_ACTION: ("", ("action",)),
}
"""Where the numbers of a type stand if nothing else is said: what their paths begin with, and the
paths, which are their names too. Of a trajectory, its first point."""

VALUES = (JOINT_STATE, *FIELDS)
"""Types that are read without being told which of their fields."""


class ValueReader:
    """Reads the numbers of one stream, each by the name of its column.

    Attributes:
        names: Names of the columns, in their order; empty before the first message where nothing
            was said of them.
    """

    def __init__(
        self,
        joints: Sequence[str] = (),
        fields: Sequence[str] = (),
        labels: Sequence[str] = (),
        names: Sequence[str] = (),
    ) -> None:
        """Prepare to read.

        Args:
            joints: Which of the values that the message names, in which order; empty for all.
            fields: Paths of the numbers (`read_fields`); empty for those of the type (`FIELDS`).
            labels: What the numbers are to be called, in their order in the message; empty for
                the names that the message gives them, or else their paths.
            names: Columns that a store has already; what is read is put in their order.

        Raises:
            ConfigError: if `names` are not those that `joints` or `labels` say.
        """
        said = tuple(joints) or tuple(labels)
        if said and names and set(said) != set(names):
            raise ConfigError(
                f"the mapping names the values {', '.join(said)}; the store has "
                f"{', '.join(names)}; convert into another store, or name the same"
            )
        self.names = tuple(names) or said
        self._fields, self._labels = tuple(fields), tuple(labels)
        self._chosen: Collection[str] = self.names  # of a message's joints; all if empty

    def read(self, message: Any, kind: str) -> NDArray[np.float32]:
        """Read a message that has every column; the first one settles which those are.

        Args:
            message: A message of whichever library.
            kind: Its type, "package/msg/Name".

        Returns:
            Float32 (D,), finite, in the order of `names`.

        Raises:
            ObservationError: if a column is missing, new, or not finite.
        """
        found, values = self.read_part(message, kind)
        if not found:
            raise ObservationError(f"it has none of {', '.join(self.names) or 'its joints'}")
        self.names = self.names or found
        by_name = dict(zip(found, values.tolist(), strict=True))
        if missing := [name for name in self.names if name not in by_name]:
            raise ObservationError(
                f"it has no {', '.join(missing)}; it has {', '.join(found)}; name its values in "
                "the mapping (joints, fields or names)"
            )
        if new := [name for name in found if name not in self.names]:
            raise ObservationError(
                f"it has {', '.join(new)} too, beside {', '.join(self.names)}, which are the "
                "columns; name its values in the mapping (joints, fields or names)"
            )
        return np.array([by_name[name] for name in self.names], np.float32)

    def read_part(self, message: Any, kind: str) -> Named:
        """Read what a message has of the columns, which need not be all of them.

        Args:
            message: A message of whichever library.
            kind: Its type, "package/msg/Name".

        Returns:
            Names, those of `names` alone where the message names joints, in its order, and their
            values float64 (D,), finite also as float32. Settles nothing.

        Raises:
            ObservationError: if numbers are missing or not finite, or a name is there twice.
        """
        if kind == JOINT_STATE and not self._fields:
            return read_joints(message, self._chosen)
        names, values = self._all(message, kind)
        if self._labels:
            if len(self._labels) != len(names):
                raise ObservationError(
                    f"it has {len(names)} values; the mapping has names for "
                    f"{len(self._labels)}: {', '.join(self._labels)}",
                    f"not the {len(self._labels)} values that the mapping has names for",
                )
            names = self._labels
        elif self._chosen and set(names) <= set(joint_names(message)):
            places = [place for place, name in enumerate(names) if name in self._chosen]
            names, values = tuple(names[place] for place in places), values[places]
        if twice := [name for name, count in Counter(names).items() if count > 1]:
            raise ObservationError(f"it has {', '.join(twice)} more than once")
        check_finite(names, values, "value")
        return names, values

    def _all(self, message: Any, kind: str) -> Named:
        if kind not in FIELDS and not self._fields:
            raise ObservationError(
                f"a {kind} needs fields in the mapping, such as fields: [linear.x]; it has "
                f"{', '.join(field_names(message)) or 'none'}"
            )
        prefix, fields = ("", self._fields) if self._fields else FIELDS[kind]
        names, values = read_fields(message, fields, prefix)
        if kind in ARRAYS and not self._fields:
            values = values[int(message.layout.data_offset) :]
            names = _dimension_labels(message, values.size) or names[: values.size]
        if not values.size:
            raise ObservationError(
                f"it has no values in {prefix}{', '.join(fields)}; name others in the mapping "
                f"(fields); it has {', '.join(field_names(message))}"
            )
        return names, values


def _dimension_labels(message: Any, count: int) -> tuple[str, ...]:
    """Labels of an array's dimensions where there is one a value; none otherwise."""
    labels = tuple(str(dimension.label) for dimension in message.layout.dim)
    return labels if len(labels) == count and all(labels) else ()
