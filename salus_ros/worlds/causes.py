"""Why an episode of a world that ships failed, finer than the published types."""

from enum import StrEnum

from salus_ros.core.failures import FAILURE_TYPES, FailureType, counted_as


class FailureCause(StrEnum):
    """The world's own word for a failure; `NONE` until there is one."""

    NONE = "none"
    DROP = "drop"
    """The object was lost while the gripper was closed on it."""

    MISPLACED_RELEASE = "misplaced release"
    """The gripper was told to open and the object did not come to rest at the goal."""

    COLLISION = "collision"
    WRONG_OBJECT = "wrong object"
    OUT_OF_REACH = "out of reach"
    JOINT_LIMIT = "joint limit"
    MISSED_GRASP = "missed grasp"
    """The time is up, and the fingers that were closed never held the object."""

    NO_PROGRESS = "no progress"
    """The time is up and nothing else had gone wrong."""

    @property
    def finest_type(self) -> FailureType:
        """The finest failure type that it is."""
        return _TYPES[self]

    @property
    def failure_type(self) -> FailureType:
        """The published type that it counts as."""
        return counted_as(self.finest_type, FAILURE_TYPES)


_TYPES: dict[FailureCause, FailureType] = {
    FailureCause.NONE: FailureType.NONE,
    FailureCause.DROP: FailureType.DROP,
    FailureCause.MISPLACED_RELEASE: FailureType.MISPLACED_RELEASE,
    FailureCause.COLLISION: FailureType.COLLISION,
    FailureCause.WRONG_OBJECT: FailureType.OTHER,
    FailureCause.OUT_OF_REACH: FailureType.OTHER,
    FailureCause.JOINT_LIMIT: FailureType.OTHER,
    FailureCause.MISSED_GRASP: FailureType.TIMEOUT,
    FailureCause.NO_PROGRESS: FailureType.TIMEOUT,
}
