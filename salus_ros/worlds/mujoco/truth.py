"""What only the world can know of a step: where things are and how hard they touch."""

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.worlds.engine import Engine
from salus_ros.worlds.mujoco.referee import Referee
from salus_ros.worlds.truth import columns

QUANTITIES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(
        ("object_pose", "goal_pose", "obstacle_pose"), ("x", "y", "z", "qw", "qx", "qy", "qz")
    ),
    "pad_forces_n": ("left", "right"),
    "surface_force_n": (),
    "obstacle_force_n": (),
}
"""What the truth is made of, and what the values of each are called where there are several."""

COLUMNS = columns(QUANTITIES)
"""Names of its values in one row."""

PADS: tuple[str, ...] = ("left_pad", "right_pad")


class Truth:
    """Reads the truth of the episode that a referee judges; for `info`, never for a policy."""

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, engine: Engine, referee: Referee
    ) -> None:
        self._data, self._engine, self._referee = data, engine, referee
        self._pads = [model.geom(name).id for name in PADS]

    def now(self) -> dict[str, Any]:
        """The truth at this step.

        Returns:
            `object_pose`, `goal_pose`, `obstacle_pose`: (7,), position in m and quaternion
            (w, x, y, z) in the world; `pad_forces_n`: (2,), on the left and the right pad, now;
            `surface_force_n`, `obstacle_force_n`: largest force of the robot on table or bin,
            and on the obstacle, in the last control step.
        """
        task = self._referee.task
        return {
            "object_pose": self._pose(task.target),
            "goal_pose": self._pose(task.goal),
            "obstacle_pose": self._pose("obstacle"),
            "pad_forces_n": self._pad_forces(),
            "surface_force_n": self._referee.surface_force_n,
            "obstacle_force_n": self._referee.obstacle_force_n,
        }

    def _pose(self, name: str) -> npt.NDArray[np.float64]:
        body = self._data.body(name)
        return np.concatenate([body.xpos, body.xquat])

    def _pad_forces(self) -> npt.NDArray[np.float64]:
        forces = np.zeros(len(self._pads))
        for i, geoms in enumerate(self._engine.contacts()):
            for pad, geom in enumerate(self._pads):
                if geom in geoms:
                    forces[pad] += self._engine.force(i)
        return forces
