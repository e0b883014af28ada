"""What counts as success and as each kind of failure, decided from contacts and poses."""

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.conditions import CUBE_HALF_M, CUBES
from salus_ros.worlds.mujoco.arm import Arm
from salus_ros.worlds.tasks import ALL_TASKS, Task

BIN_HALF_M = 0.071
"""Half the inner side of the bin."""

IN_BIN_HEIGHT_M = 0.06
"""The cube's centre must be below this to lie in the bin."""

PLATE_RADIUS_M = 0.05
"""Largest sideways distance of the cube's centre from the plate's, to lie on it."""

STACK_OFFSET_M = 0.022
"""Largest sideways distance of a stacked cube from the one below it."""

STACK_HEIGHT_M = 0.008
"""Tolerance of its height above the one below it (one side of a cube)."""

LIFTED_HEIGHT_M = 0.045
"""Centre of the cube above which a held cube counts as lifted (it rests at 0.022)."""

COLLISION_FORCE_N = 80.0
"""Contact force of the robot on the table or the bin above which it is a collision."""

OBSTACLE_FORCE_N = 20.0
"""Contact force of the robot, or of the cube it carries, on the obstacle that is a collision."""

COLLISION_TIME_S = 0.016
"""How long the force must last: an impact of one or two time steps is a touch."""

REACH_LOW_M = np.array([0.25, -0.40, -0.05])
REACH_HIGH_M = np.array([0.75, 0.42, 0.60])
"""The box in which the arm can pick up a cube."""

JOINT_LIMIT_MARGIN_RAD = 0.005
JOINT_LIMIT_STEPS = 10
SETTLED_STEPS = 3
STRANDED_STEPS = 10
SETTLED_SPEED_M_S = 0.05


class Referee:
    """Decides the outcome of an episode of `PickPlaceEnv`.

    - success: the released object has rested at the goal for `SETTLED_STEPS` steps;
    - drop: the lifted object left the fingers in the air and landed on the table, or came to
      rest anywhere but at the goal; the failure step is the one in which the grasp was lost;
    - collision: the robot pressed on the table or the bin with more than `COLLISION_FORCE_N`,
      or touched the obstacle (itself or with the object) with more than `OBSTACLE_FORCE_N`,
      for `COLLISION_TIME_S`;
    - other: a cube that the task needs is out of reach, the other cube was lifted instead, or
      an arm joint stayed at its limit;
    - timeout: none of these when the time is up.

    The first to happen decides. Contacts are read at each physics step.
    """

    def __init__(self, model: mujoco.MjModel, data: mujoco.MjData, arm: Arm) -> None:
        self._model, self._data, self._arm = model, data, arm
        self._geoms = {name: model.geom(name).id for name in CUBES}
        self._pads = {model.geom("left_pad").id, model.geom("right_pad").id}
        self._obstacle = model.geom("obstacle").id
        base = model.body("link0").id
        still = {g for g in range(model.ngeom) if model.body_weldid[model.geom_bodyid[g]] == 0}
        self._fixed = {g for g in still if int(model.geom_bodyid[g]) != base}
        self._ground = {model.geom("table").id, model.geom("floor").id}
        self._robot = set(range(model.ngeom)) - self._fixed - set(self._geoms.values())
        self._force = np.zeros(6)
        self.reset(ALL_TASKS[0])

    def reset(self, task: Task) -> None:
        """Forget the last episode; judge `task` from now on."""
        self.task = task
        self.outcome = Outcome.UNKNOWN
        self.failure_type = FailureType.NONE
        self.failure_step = -1
        self.peak_force_n = 0.0
        self._collision_step = -1
        self._pressed_s = 0.0
        self._bumped_s = 0.0
        self._lifted = False
        self._released = True
        self._lost_step = -1
        self._wrong_step = -1
        self._settled_steps = 0
        self._stranded_steps = 0
        self._limit_steps = 0

    def watch(self, step: int) -> None:
        """Look at the contacts of one physics step within control step `step`."""
        target, other = self._geoms[self.task.target], self._geoms[self.task.other]
        pads_on: dict[int, set[int]] = {target: set(), other: set()}
        landed = False
        pressing = bumping = 0.0
        for i in range(self._data.ncon):
            contact = self._data.contact[i]
            pair = {int(contact.geom1), int(contact.geom2)}
            for cube in pads_on:
                if cube in pair:
                    pads_on[cube] |= pair & self._pads
            landed |= target in pair and bool(pair & self._ground)
            if self._obstacle in pair and pair & (self._robot | {target}):
                bumping += self._magnitude(i)
            elif pair & self._fixed and pair & self._robot:
                pressing += self._magnitude(i)
        self._count_forces(step, pressing, bumping)
        held = len(pads_on[target]) == 2
        self._released = not pads_on[target]
        if held:
            self._lifted |= bool(self._position(self.task.target)[2] > LIFTED_HEIGHT_M)
            self._lost_step = -1
        elif self._lifted and self._released and self._lost_step < 0:
            self._lost_step = step
        if landed and self._lifted and held:  # put down while held
            self._lifted = False
        elif landed and self._lost_step >= 0 and not self._at_goal():
            self._fail(FailureType.DROP, self._lost_step)
        if len(pads_on[other]) == 2 and self._position(self.task.other)[2] > LIFTED_HEIGHT_M:
            self._wrong_step = step

    def judge(self, step: int, *, time_is_up: bool) -> None:
        """Decide at the end of control step `step`, unless it is decided already."""
        at_goal, at_rest = self._at_goal(), self._at_rest()
        self._settled_steps = self._settled_steps + 1 if at_goal and at_rest else 0
        stranded = self._lost_step >= 0 and at_rest and not at_goal
        self._stranded_steps = self._stranded_steps + 1 if stranded else 0
        at_limit = self._arm.joint_limit_margin < JOINT_LIMIT_MARGIN_RAD
        self._limit_steps = self._limit_steps + 1 if at_limit else 0
        if self._collision_step >= 0:
            self._fail(FailureType.COLLISION, self._collision_step)
        if self._wrong_step >= 0:
            self._fail(FailureType.OTHER, self._wrong_step)
        if self._out_of_reach() or self._limit_steps >= JOINT_LIMIT_STEPS:
            self._fail(FailureType.OTHER, step)
        if self._stranded_steps >= STRANDED_STEPS:
            self._fail(FailureType.DROP, self._lost_step)
        if self._settled_steps >= SETTLED_STEPS and self.outcome is Outcome.UNKNOWN:
            self.outcome = Outcome.SUCCESS
        if time_is_up:
            self._fail(FailureType.TIMEOUT, step)

    def _fail(self, kind: FailureType, step: int) -> None:
        if self.outcome is Outcome.UNKNOWN:
            self.outcome, self.failure_type, self.failure_step = Outcome.FAILURE, kind, step

    def _count_forces(self, step: int, pressing: float, bumping: float) -> None:
        dt = self._model.opt.timestep
        self.peak_force_n = max(self.peak_force_n, pressing, bumping)
        self._pressed_s = self._pressed_s + dt if pressing > COLLISION_FORCE_N else 0.0
        self._bumped_s = self._bumped_s + dt if bumping > OBSTACLE_FORCE_N else 0.0
        if max(self._pressed_s, self._bumped_s) >= COLLISION_TIME_S and self._collision_step < 0:
            self._collision_step = step

    def _magnitude(self, contact: int) -> float:
        mujoco.mj_contactForce(self._model, self._data, contact, self._force)
        return float(np.linalg.norm(self._force[:3]))

    def _position(self, body: str) -> npt.NDArray[np.float64]:
        return np.asarray(self._data.body(body).xpos, dtype=np.float64)

    def _at_goal(self) -> bool:
        offset = self._position(self.task.target) - self._position(self.task.goal)
        if self.task.goal == "bin":
            return bool(np.all(np.abs(offset[:2]) < BIN_HALF_M) and offset[2] < IN_BIN_HEIGHT_M)
        if self.task.goal == "plate":
            lying = offset[2] < CUBE_HALF_M + STACK_HEIGHT_M
            return bool(lying and np.linalg.norm(offset[:2]) < PLATE_RADIUS_M)
        upright = abs(offset[2] - 2 * CUBE_HALF_M) < STACK_HEIGHT_M
        on_table = self._position(self.task.goal)[2] < CUBE_HALF_M + STACK_HEIGHT_M
        return bool(upright and on_table and np.linalg.norm(offset[:2]) < STACK_OFFSET_M)

    def _at_rest(self) -> bool:
        velocity = self._data.body(self.task.target).cvel[3:]
        return self._released and float(np.linalg.norm(velocity)) < SETTLED_SPEED_M_S

    def _out_of_reach(self) -> bool:
        needed = {self.task.target, self.task.goal} & set(CUBES)
        return any(
            bool(np.any(position < REACH_LOW_M) or np.any(position > REACH_HIGH_M))
            for position in map(self._position, needed)
        )
