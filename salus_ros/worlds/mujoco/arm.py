"""The Panda as the policy drives it: end-effector displacements in, joint targets out."""

import mink
import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.core.schema import RATE_HZ
from salus_ros.worlds.panda import ACTION_DIM, FINGER_JOINTS, JOINTS

Array = npt.NDArray[np.float64]

JOINT_NAMES: tuple[str, ...] = JOINTS + FINGER_JOINTS

HOME: tuple[float, ...] = (0.0, -0.2, 0.0, -2.2, 0.0, 2.0, 0.785398)
FINGER_OPEN_M = 0.04

MAX_TRANSLATION_M = 0.02
"""Translation in one step at action 1.0; 0.6 m/s at 30 Hz."""

MAX_ROTATION_RAD = 0.1
"""Rotation in one step at action 1.0."""

LEASH_M = 0.02
"""How far the target may run ahead of the measured tool centre (bounds contact forces)."""


class Arm:
    """Position control of the arm through differential inverse kinematics.

    The target pose integrates the actions; `mink` follows it on a kinematic copy of the
    arm and the joint angles found there are the set points of the position actuators.

    Args:
        model: Model with the joints of `JOINT_NAMES` and a site `tcp`.
        data: Its state; the arm reads it and writes `ctrl`.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData) -> None:
        self._model, self._data = model, data
        self._qpos = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES])
        self._ctrl = np.array([model.actuator(name).id for name in JOINT_NAMES])
        self._ranges = np.array([model.joint(name).range for name in JOINTS])
        self._site = model.site("tcp").id
        self._kinematics = mink.Configuration(model)
        self._frame = mink.FrameTask("tcp", "site", position_cost=1.0, orientation_cost=0.3)
        self._posture = mink.PostureTask(model, cost=2e-3)
        self._limits = [mink.ConfigurationLimit(model)]
        self._target = mink.SE3.identity()

    @property
    def joint_positions(self) -> Array:
        """Positions of `JOINT_NAMES`: seven in rad, two in m."""
        return np.asarray(self._data.qpos[self._qpos], dtype=np.float64).copy()

    @property
    def tool_position(self) -> Array:
        """Measured position of the tool centre in the world frame, (3,) in m."""
        return np.asarray(self._data.site_xpos[self._site], dtype=np.float64).copy()

    @property
    def joint_limit_margin(self) -> float:
        """Smallest distance of an arm joint to its limit in rad."""
        q = self.joint_positions[:7]
        return float(np.minimum(q - self._ranges[:, 0], self._ranges[:, 1] - q).min())

    def reset(self, joint_positions: Array) -> None:
        """Put the arm at rest at `joint_positions` (7,) in rad, gripper open."""
        q = np.concatenate([joint_positions, [FINGER_OPEN_M, FINGER_OPEN_M]])
        self._data.qpos[self._qpos] = q
        self._data.ctrl[self._ctrl] = q
        mujoco.mj_forward(self._model, self._data)
        self._kinematics.update(self._data.qpos)
        self._posture.set_target(self._data.qpos)
        self._target = self._kinematics.get_transform_frame_to_world("tcp", "site")

    def command(self, action: npt.NDArray[np.floating]) -> None:
        """Turn one action into actuator set points.

        Args:
            action: (7,) in [-1, 1]: translation / `MAX_TRANSLATION_M` (world frame),
                rotation vector / `MAX_ROTATION_RAD` (world frame), and the gripper
                (> 0 open, otherwise close).
        """
        a = np.clip(np.asarray(action, dtype=np.float64).reshape(ACTION_DIM), -1.0, 1.0)
        wanted = self._target.translation() + a[:3] * MAX_TRANSLATION_M
        measured = self.tool_position
        wanted = measured + np.clip(wanted - measured, -LEASH_M, LEASH_M)
        turned = mink.SO3.exp(a[3:6] * MAX_ROTATION_RAD) @ self._target.rotation()
        self._target = mink.SE3.from_rotation_and_translation(turned, wanted)
        self._frame.set_target(self._target)
        velocity = mink.solve_ik(
            self._kinematics,
            [self._frame, self._posture],
            1.0 / RATE_HZ,
            solver="daqp",
            damping=1e-6,
            limits=self._limits,
        )
        self._kinematics.integrate_inplace(velocity, 1.0 / RATE_HZ)
        fingers = FINGER_OPEN_M if a[6] > 0 else 0.0
        self._data.ctrl[self._ctrl[:7]] = self._kinematics.q[self._qpos[:7]]
        self._data.ctrl[self._ctrl[7:]] = fingers
