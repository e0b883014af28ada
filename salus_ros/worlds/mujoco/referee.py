"""What counts as success and as each kind of failure, decided from contacts and poses."""

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.conditions import CUBE_HALF_M, CUBES
from salus_ros.worlds.engine import Engine
from salus_ros.worlds.mujoco.arm import Arm
from salus_ros.worlds.mujoco.scene import fixed_geoms
from salus_ros.worlds.physics import Physics
from salus_ros.worlds.pressing import Pressing
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
      rest anywhere but at the goal, and was not grasped again within `retry_steps`, `retries`
      times at most; the failure step is the one in which the grasp was lost. Where the gripper
      had been told to open, the cause is a misplaced release;
    - collision: the robot pressed on the table or the bin with more than `surface_force_n`,
      or touched the obstacle (itself or with the object) with more than `obstacle_force_n`,
      for `collision_time_s`;
    - other: a cube that the task needs is out of reach, the other cube was lifted instead, or
      an arm joint stayed at its limit;
    - timeout: none of these when the time is up.

    The first to happen decides; a loss that was not made good happened when the grasp was lost.
    Contacts are read at each physics step.

    Attributes:
        task: What is judged.
        outcome: How the episode ended, `UNKNOWN` until it has.
        cause: Why it failed, `NONE` unless it has.
        failure_step: When, -1 unless it has.
        losses: How often the lifted object was lost on the table so far.
        surface_force_n: Largest force of the robot on table or bin in the last control step.
        obstacle_force_n: The same on the obstacle.
        peak_force_n: The largest of both in the episode.
    """

    def __init__(
        self,
        model: mujoco.MjModel,
        data: mujoco.MjData,
        engine: Engine,
        arm: Arm,
        physics: Physics,
    ) -> None:
        self._model, self._data, self._engine = model, data, engine
        self._arm, self._physics = arm, physics
        self._geoms = {name: model.geom(name).id for name in CUBES}
        self._pads = {model.geom("left_pad").id, model.geom("right_pad").id}
        self._obstacle = model.geom("obstacle").id
        self._fixed = set(fixed_geoms(model))
        self._ground = {model.geom("table").id, model.geom("floor").id}
        self._robot = set(range(model.ngeom)) - self._fixed - set(self._geoms.values())
        self.reset(ALL_TASKS[0])

    def reset(self, task: Task) -> None:
        """Forget the last episode; judge `task` from now on."""
        self.task = task
        self.outcome = Outcome.UNKNOWN
        self.cause = FailureCause.NONE
        self.failure_step = -1
        self.losses = 0
        self.peak_force_n = self.surface_force_n = self.obstacle_force_n = 0.0
        self._force_step = 0
        self._collision_step = -1
        physics = self._physics
        lasting = physics.collision_time_s, physics.timestep_s
        self._pressing = Pressing(physics.surface_force_n, *lasting)
        self._bumping = Pressing(physics.obstacle_force_n, *lasting)
        self._lifted = False
        self._released = True
        self._lost_step = -1
        self._loss = FailureCause.DROP
        self._down = False
        self._wrong_step = -1
        self._settled_steps = 0
        self._stranded_steps = 0
        self._limit_steps = 0

    @property
    def open_loss_step(self) -> int:
        """When the object was lost that may yet be grasped again; -1 without a loss.

        A failure that is decided later may be dated back to this step, and to none before now
        else.
        """
        return self._lost_step

    @property
    def failure_type(self) -> FailureType:
        """The type that the cause counts as."""
        return self.cause.failure_type

    def watch(self, step: int) -> None:
        """Look at the contacts of one physics step within control step `step`."""
        target, other = self._geoms[self.task.target], self._geoms[self.task.other]
        pads_on: dict[int, set[int]] = {target: set(), other: set()}
        landed = False
        pressing = bumping = 0.0
        for i, geoms in enumerate(self._engine.contacts()):
            pair = set(geoms)
            for cube in pads_on:
                if cube in pair:
                    pads_on[cube] |= pair & self._pads
            landed |= target in pair and bool(pair & self._ground)
            if self._obstacle in pair and pair & (self._robot | {target}):
                bumping += self._engine.force(i)
            elif pair & self._fixed and pair & self._robot:
                pressing += self._engine.force(i)
        self._count_forces(step, pressing, bumping)
        held = len(pads_on[target]) == 2
        self._released = not pads_on[target]
        if held:
            self._lifted |= bool(self._position(self.task.target)[2] > LIFTED_HEIGHT_M)
            self._lost_step, self._down = -1, False
        elif self._lifted and self._released and self._lost_step < 0:
            self._lost_step = step
            self._loss = FailureCause.MISPLACED_RELEASE if self._arm.opening else FailureCause.DROP
        if landed and self._lifted and held:  # put down while held
            self._lifted = False
        elif landed and self._lost_step >= 0 and not self._at_goal():
            self._lie(step)
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
            self._fail(FailureCause.COLLISION, self._collision_step)
        if self._wrong_step >= 0:
            self._fail(FailureCause.WRONG_OBJECT, self._wrong_step)
        if self._out_of_reach():
            self._fail(FailureCause.OUT_OF_REACH, step)
        if self._limit_steps >= JOINT_LIMIT_STEPS:
            self._fail(FailureCause.JOINT_LIMIT, step)
        if self._stranded_steps >= STRANDED_STEPS:
            self._lie(step)
        if self._settled_steps >= SETTLED_STEPS and self.outcome is Outcome.UNKNOWN:
            self.outcome = Outcome.SUCCESS
        if time_is_up:
            self._fail(FailureCause.NO_PROGRESS, step)

    def _lie(self, step: int) -> None:
        """The object lies lost: it may be grasped again for a while, then that is a failure."""
        self.losses += not self._down
        self._down = True
        late = step - self._lost_step >= self._physics.retry_steps
        if late or self.losses > self._physics.retries:
            self._fail(self._loss, self._lost_step)

    def _fail(self, cause: FailureCause, step: int) -> None:
        if self.outcome is not Outcome.UNKNOWN:
            return
        if self._down and not self._at_goal():  # what went wrong first
            cause, step = self._loss, self._lost_step
        self.outcome, self.cause, self.failure_step = Outcome.FAILURE, cause, step

    def _count_forces(self, step: int, pressing: float, bumping: float) -> None:
        if step != self._force_step:
            self._force_step, self.surface_force_n, self.obstacle_force_n = step, 0.0, 0.0
        self.surface_force_n = max(self.surface_force_n, pressing)
        self.obstacle_force_n = max(self.obstacle_force_n, bumping)
        self.peak_force_n = max(self.peak_force_n, pressing, bumping)
        pressed, bumped = self._pressing.update(pressing), self._bumping.update(bumping)
        if (pressed or bumped) and self._collision_step < 0:
            self._collision_step = step

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
