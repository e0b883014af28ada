"""What counts as success and as each kind of failure, decided from contacts and poses."""

import mujoco
import numpy as np

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.sim.arm import Arm

BIN_HALF_M = 0.071
"""Half the inner side of the bin."""

IN_BIN_HEIGHT_M = 0.06
"""The cube's centre must be below this to lie in the bin."""

LIFTED_HEIGHT_M = 0.045
"""Centre of the cube above which a held cube counts as lifted (it rests at 0.022)."""

COLLISION_FORCE_N = 80.0
"""Contact force of the robot on the table or the bin above which it is a collision."""

COLLISION_TIME_S = 0.016
"""How long the force must last: an impact of one or two time steps is a touch."""

REACH_LOW_M = np.array([0.25, -0.40, -0.05])
REACH_HIGH_M = np.array([0.75, 0.42, 0.60])
"""The box in which the arm can pick up a cube."""

JOINT_LIMIT_MARGIN_RAD = 0.005
JOINT_LIMIT_STEPS = 10
SETTLED_STEPS = 3
SETTLED_SPEED_M_S = 0.05


class Referee:
    """Decides the outcome of an episode of `PickPlaceEnv`.

    - success: the released cube has rested in the bin for `SETTLED_STEPS` steps;
    - drop: a lifted cube left the fingers in the air and landed outside the bin; the failure
      step is the one in which the grasp was lost;
    - collision: the robot pressed on the table or the bin with more than `COLLISION_FORCE_N`
      for `COLLISION_TIME_S`;
    - other: the cube is out of reach, or an arm joint stayed at its limit;
    - timeout: none of these when the time is up.

    The first to happen decides. Contacts are read at each physics step.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, arm: Arm) -> None:
        self._model, self._data, self._arm = model, data, arm
        self._cube_geom = model.geom("cube").id
        self._cube_body = model.body("cube").id
        self._pads = {model.geom("left_pad").id, model.geom("right_pad").id}
        self._fixed = {
            g for g in range(model.ngeom) if model.body_weldid[model.geom_bodyid[g]] == 0
        }
        base = {model.body("link0").id}
        self._fixed -= {g for g in self._fixed if int(model.geom_bodyid[g]) in base}
        self._robot = {
            g for g in range(model.ngeom) if g not in self._fixed and g != self._cube_geom
        }
        self._bin = np.asarray(model.body("bin").pos, dtype=np.float64).copy()
        self._force = np.zeros(6)
        self.reset()

    def reset(self) -> None:
        """Forget the last episode."""
        self.outcome = Outcome.UNKNOWN
        self.failure_type = FailureType.NONE
        self.failure_step = -1
        self.peak_force_n = 0.0
        self._collision_step = -1
        self._pressed_s = 0.0
        self._lifted = False
        self._lost_step = -1
        self._settled_steps = 0
        self._limit_steps = 0

    def watch(self, step: int) -> None:
        """Look at the contacts of one physics step within control step `step`."""
        pads_on_cube: set[int] = set()
        cube_landed = False
        pressing = 0.0
        for i in range(self._data.ncon):
            contact = self._data.contact[i]
            pair = {int(contact.geom1), int(contact.geom2)}
            if self._cube_geom in pair:
                pads_on_cube |= pair & self._pads
                cube_landed |= bool(pair & self._fixed)
            elif pair & self._fixed and pair & self._robot:
                mujoco.mj_contactForce(self._model, self._data, i, self._force)
                pressing += float(np.linalg.norm(self._force[:3]))
        self.peak_force_n = max(self.peak_force_n, pressing)
        self._pressed_s = (
            self._pressed_s + self._model.opt.timestep if pressing > COLLISION_FORCE_N else 0.0
        )
        if self._pressed_s >= COLLISION_TIME_S and self._collision_step < 0:
            self._collision_step = step
        if len(pads_on_cube) == 2:
            self._lifted |= float(self._data.xpos[self._cube_body, 2]) > LIFTED_HEIGHT_M
            self._lost_step = -1
        elif self._lifted and not pads_on_cube and self._lost_step < 0:
            self._lost_step = step
        if cube_landed and self._lifted and (self._lost_step >= 0 or len(pads_on_cube) == 2):
            if self._lost_step < 0:  # put down while held
                self._lifted = False
            elif self._cube_in_bin():
                self._lifted = False
                self._lost_step = -1
            else:
                self._fail(FailureType.DROP, self._lost_step)
        self._released = not pads_on_cube

    def judge(self, step: int, *, time_is_up: bool) -> None:
        """Decide at the end of control step `step`, unless it is decided already."""
        self._settled_steps = self._settled_steps + 1 if self._cube_at_rest_in_bin() else 0
        at_limit = self._arm.joint_limit_margin < JOINT_LIMIT_MARGIN_RAD
        self._limit_steps = self._limit_steps + 1 if at_limit else 0
        position = self._data.xpos[self._cube_body]
        out_of_reach = bool(np.any(position < REACH_LOW_M) or np.any(position > REACH_HIGH_M))
        if self._collision_step >= 0:
            self._fail(FailureType.COLLISION, self._collision_step)
        if out_of_reach or self._limit_steps >= JOINT_LIMIT_STEPS:
            self._fail(FailureType.OTHER, step)
        if self._settled_steps >= SETTLED_STEPS and self.outcome is Outcome.UNKNOWN:
            self.outcome = Outcome.SUCCESS
        if time_is_up:
            self._fail(FailureType.TIMEOUT, step)

    def _fail(self, kind: FailureType, step: int) -> None:
        if self.outcome is Outcome.UNKNOWN:
            self.outcome, self.failure_type, self.failure_step = Outcome.FAILURE, kind, step

    def _cube_in_bin(self) -> bool:
        position = self._data.xpos[self._cube_body]
        inside = np.all(np.abs(position[:2] - self._bin[:2]) < BIN_HALF_M)
        return bool(inside and position[2] < IN_BIN_HEIGHT_M)

    def _cube_at_rest_in_bin(self) -> bool:
        speed = float(np.linalg.norm(self._data.cvel[self._cube_body, 3:]))
        return self._cube_in_bin() and self._released and speed < SETTLED_SPEED_M_S
