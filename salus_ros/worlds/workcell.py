"""What the builder of a cell knows of it beforehand: nothing here is measured in an episode."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


class Kinematics(Protocol):
    """Where the tool centre is for some joint angles (J,) in rad: homogeneous (4, 4), in m."""

    def __call__(self, joints: Array) -> Array: ...  # noqa: D102


@dataclass(frozen=True, slots=True, eq=False)
class Camera:
    """A calibrated camera.

    Attributes:
        matrix: Pinhole matrix (3, 3) in pixels, pixel centres at whole numbers.
        pose: Homogeneous (4, 4), in m, from its optical frame (z forward, x right, y down) to the
            world.
    """

    matrix: Array
    pose: Array

    def project(self, points: Array) -> Array:
        """Pixels (N, 2), column and row, of points (N, 3) in m in the world."""
        rotation, position = self.pose[:3, :3], self.pose[:3, 3]
        seen = (points - position) @ rotation @ self.matrix.T  # (N, 3)
        pixels: Array = seen[:, :2] / seen[:, 2:]
        return pixels


@dataclass(frozen=True, slots=True, eq=False)
class Box:
    """A box along the axes of the world.

    Attributes:
        low: Corner (3,) in m.
        high: The opposite corner.
    """

    low: Array
    high: Array

    def holds(self, points: Array) -> npt.NDArray[np.bool_]:
        """Which of some points (N, 3) are inside, (N,); one that is not finite is not."""
        within = (points >= self.low) & (points <= self.high)
        inside: npt.NDArray[np.bool_] = np.logical_and.reduce(within, axis=1)
        return inside


@dataclass(frozen=True, slots=True, eq=False)
class Workcell:
    """An arm, its cameras and the fixed places around it, as drawn up and not as they are.

    Attributes:
        tool: Kinematics of the arm.
        home: Pose (4, 4) of the tool where the arm rests.
        cameras: Those that stand still, by name.
        places: Position (3,) in m of each fixed goal, by name.
        step_m: Translation of the tool in one step at action 1.0.
        step_rad: Rotation in one step at action 1.0.
        leash_m: How far the arm's controller lets its target run ahead of the tool.
        workspace: Where the tool centre may be; None where nobody has said.
        keep_out: Where it must not be, by what stands there, with room for hand and cube.
    """

    tool: Kinematics
    home: Array
    cameras: Mapping[str, Camera]
    places: Mapping[str, Array]
    step_m: float
    step_rad: float
    leash_m: float
    workspace: Box | None = None
    keep_out: Mapping[str, Box] = field(default_factory=dict)
