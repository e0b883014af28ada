"""What a recovery is told at each step: what a robot can know, nothing that only a world can."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Action = npt.NDArray[np.float32]
"""(7,): translation and rotation vector of the tool, each in [-1, 1] of its largest step, and the
gripper: above 0 it opens, else it closes."""

GRIPPER = 6
"""Where in an action the gripper stands."""

EMPTY_M = 0.004
"""Fingers that are told to close and stand further apart than twice this have something between
them, or are still closing."""


@dataclass(frozen=True, slots=True, eq=False)
class Sight:
    """One step.

    Attributes:
        step: Step of the episode.
        steps_left: Until the time limit.
        task: The instruction.
        joints: (7,) measured, in rad.
        fingers: (2,) measured, in m.
        tool: Pose (4, 4) of the tool centre by the measured joints, in m.
        last: The action that was done last; None before the first.
        look: Gives the camera images of this step, uint8 RGB (H, W, 3) by name.
        age_s: How old the joints are.
        wanted: What the policy would do; None where it is not asked.
        told: What else the policy tells of this step, (1, W) by the names of
            `prediction.extras`; empty where it is not asked.
    """

    step: int
    steps_left: int
    task: str
    joints: Array
    fingers: Array
    tool: Array
    last: Action | None
    look: Callable[[], Mapping[str, npt.NDArray[np.uint8]]]
    age_s: float = 0.0
    wanted: Action | None = None
    told: Mapping[str, npt.NDArray[np.floating]] = field(default_factory=dict)

    @property
    def position(self) -> Array:
        """Of the tool centre, (3,) in m."""
        return self.tool[:3, 3]

    @property
    def closing(self) -> bool:
        """Whether the gripper was last told to close."""
        return self.last is not None and not self.last[GRIPPER] > 0

    @property
    def holds(self) -> bool:
        """Whether there may be something between the fingers."""
        return self.closing and float(np.mean(self.fingers)) > EMPTY_M
