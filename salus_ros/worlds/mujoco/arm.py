"""The Panda as the policy drives it: end-effector displacements in, joint targets out."""

from typing import Any

import mink
import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.core.schema import RATE_HZ
from salus_ros.worlds.panda import ACTION_DIM, FINGER_JOINTS, JOINTS
from salus_ros.worlds.physics import Physics

Array = npt.NDArray[np.float64]

JOINT_NAMES: tuple[str, ...] = JOINTS + FINGER_JOINTS

HOME: tuple[float, ...] = (0.0, -0.2, 0.0, -2.2, 0.0, 2.0, 0.785398)
FINGER_OPEN_M = 0.04

AT_HOME: tuple[float, ...] = (*HOME, FINGER_OPEN_M, FINGER_OPEN_M)
"""Positions of `JOINT_NAMES` at rest, the gripper open."""

MAX_TRANSLATION_M = 0.02
"""Translation in one step at action 1.0; 0.6 m/s at 30 Hz."""

MAX_ROTATION_RAD = 0.1
"""Rotation in one step at action 1.0."""

_DAMPING = 1e-6
"""Of inverse kinematics, added to the diagonal of their normal equations."""


class Arm:
    """Joint impedance control of the arm through differential inverse kinematics.

    The target pose integrates the actions; `mink` follows it on a kinematic copy of the
    arm and the joint angles found there are the set points of springs and dampers at the joints.

    Args:
        model: Model with the joints of `JOINT_NAMES` and a site `tcp`.
        data: Its state; the arm reads it and writes `ctrl`.
        physics: Limits of the target, and how the gripper moves.
        quick: Whether inverse kinematics are solved by least squares where no joint limit is in
            the way; the same up to rounding, in less time.

    Attributes:
        opening: Whether the gripper is told to open, after debouncing.
    """

    def __init__(
        self, model: mujoco.MjModel, data: mujoco.MjData, physics: Physics, *, quick: bool = False
    ) -> None:
        self._model, self._data, self._physics = model, data, physics
        self._quick = quick
        self._qvel = np.array([model.joint(name).dofadr[0] for name in JOINT_NAMES])
        self._qpos = np.array([model.joint(name).qposadr[0] for name in JOINT_NAMES])
        self._ctrl = np.array([model.actuator(name).id for name in JOINT_NAMES])
        self._ranges = np.array([model.joint(name).range for name in JOINTS])
        self._site = model.site("tcp").id
        self._kinematics = mink.Configuration(model)
        self._frame = mink.FrameTask("tcp", "site", position_cost=1.0, orientation_cost=0.3)
        self._posture = mink.PostureTask(model, cost=2e-3)
        self._limits = [mink.ConfigurationLimit(model)]
        self._target = mink.SE3.identity()
        self._to: Array = np.zeros(len(JOINT_NAMES))
        self._from: Array = self._to
        self._set_gripper(FINGER_OPEN_M)

    @property
    def joint_positions(self) -> Array:
        """Positions of `JOINT_NAMES`: seven in rad, two in m."""
        return np.asarray(self._data.qpos[self._qpos], dtype=np.float64).copy()

    @property
    def joint_velocities(self) -> Array:
        """Velocities of `JOINT_NAMES`: seven in rad/s, two in m/s."""
        return np.asarray(self._data.qvel[self._qvel], dtype=np.float64).copy()

    @property
    def joint_efforts(self) -> Array:
        """Efforts that move `JOINT_NAMES`, without those that hold the weight: Nm, and N."""
        return np.asarray(self._data.actuator_force[self._ctrl], dtype=np.float64).copy()

    @property
    def tool_position(self) -> Array:
        """Measured position of the tool centre in the world frame, (3,) in m."""
        return np.asarray(self._data.site_xpos[self._site], dtype=np.float64).copy()

    @property
    def target_position(self) -> Array:
        """Where the tool centre is sent, (3,) in m in the world frame."""
        return np.asarray(self._target.translation(), dtype=np.float64).copy()

    @property
    def joint_limit_margin(self) -> float:
        """Smallest distance of an arm joint to its limit in rad."""
        q = self.joint_positions[:7]
        return float(np.minimum(q - self._ranges[:, 0], self._ranges[:, 1] - q).min())

    def reset(self, joint_positions: Array) -> None:
        """Put the arm at rest at `joint_positions` (7,) in rad, gripper open."""
        q = np.concatenate([joint_positions, [FINGER_OPEN_M, FINGER_OPEN_M]])
        self._data.qpos[self._qpos] = q
        self._data.ctrl[self._ctrl] = self._to = self._from = q
        mujoco.mj_forward(self._model, self._data)
        self._kinematics.update(self._data.qpos)
        self._posture.set_target(self._data.qpos)
        self._target = self._kinematics.get_transform_frame_to_world("tcp", "site")
        self._set_gripper(FINGER_OPEN_M)

    def command(self, action: npt.NDArray[np.floating]) -> None:
        """Turn one action into new set points, which `drive` moves the actuators to.

        Args:
            action: (7,) in [-1, 1]: translation / `MAX_TRANSLATION_M` (world frame),
                rotation vector / `MAX_ROTATION_RAD` (world frame), and the gripper
                (> 0 open, otherwise close).
        """
        a = np.clip(np.asarray(action, dtype=np.float64).reshape(ACTION_DIM), -1.0, 1.0)
        measured, leash = self.tool_position, self._physics.leash_m
        wanted = self._target.translation() + self._slowed(a[:3] * MAX_TRANSLATION_M, measured)
        wanted = measured + np.clip(wanted - measured, -leash, leash)
        turned = mink.SO3.exp(a[3:6] * MAX_ROTATION_RAD) @ self._target.rotation()
        self._target = mink.SE3.from_rotation_and_translation(turned, wanted)
        self._frame.set_target(self._target)
        self._kinematics.integrate_inplace(self._solve(), 1.0 / RATE_HZ)
        fingers = self._move_gripper(bool(a[6] > 0))
        self._from = self._to
        self._to = np.append(self._kinematics.q[self._qpos[:7]], [fingers, fingers])

    def remember(self) -> tuple[Any, ...]:
        """What commands have left behind, for `recall`."""
        q = self._kinematics.q.copy()
        gripper = self.opening, self._against, self._fingers_m
        return self._target, q, self._to, self._from, gripper

    def recall(self, memory: tuple[Any, ...]) -> None:
        """Forget the commands since `remember`."""
        self._target, q, self._to, self._from, gripper = memory
        self._kinematics.update(q)
        self.opening, self._against, self._fingers_m = gripper

    def _solve(self) -> Array:
        """Joint velocities towards the target."""
        tasks, dt = [self._frame, self._posture], 1.0 / RATE_HZ
        if self._quick:
            problem = mink.build_ik(self._kinematics, tasks, dt, _DAMPING, limits=[])
            step: Array = np.linalg.solve(problem.P, -problem.q)
            q = self._kinematics.q[self._qpos[:7]] + step[self._qvel[:7]]
            if ((self._ranges[:, 0] <= q) & (q <= self._ranges[:, 1])).all():
                return step / dt
        return mink.solve_ik(self._kinematics, tasks, dt, "daqp", _DAMPING, limits=self._limits)

    def drive(self, substep: int) -> None:
        """Write the set points of physics step `substep` (the first is 0) after a command."""
        share = (substep + 1) / self._physics.blend_substeps
        blended = self._from + share * (self._to - self._from)
        self._data.ctrl[self._ctrl] = self._to if share >= 1.0 else blended

    def _slowed(self, step: Array, measured: Array) -> Array:
        """A translation of the target, no faster than is allowed near a surface."""
        low = min(float(measured[2]), float(self._target.translation()[2]))
        length, limit = float(np.linalg.norm(step)), self._physics.near_speed_m_s / RATE_HZ
        if low >= self._physics.near_height_m or length <= limit:
            return step
        return step * (limit / length)

    def _set_gripper(self, opening_m: float) -> None:
        """Forget commands and debouncing; the fingers are open and stay so."""
        self.opening, self._against, self._fingers_m = True, 0, opening_m

    def _move_gripper(self, opening: bool) -> float:
        """Set point of the fingers in m after one more command.

        Only `gripper_debounce_steps` commands in a row change what the gripper does. The set
        point moves at the fingers' speed and runs no further into what is held than the grip
        force asks for; it is one for both fingers, which are geared together.
        """
        physics = self._physics
        self._against = self._against + 1 if opening != self.opening else 0
        if self._against >= physics.gripper_debounce_steps:
            self.opening, self._against = opening, 0
        goal, step = FINGER_OPEN_M if self.opening else 0.0, physics.finger_speed_m_s / RATE_HZ
        moved = min(max(goal, self._fingers_m - step), self._fingers_m + step)
        measured = float(np.mean(self.joint_positions[7:]))
        windup = physics.finger_windup_m
        self._fingers_m = min(max(moved, measured - windup), measured + windup)
        return self._fingers_m
