"""What counts as success and as each kind of failure in MetaWorld, which itself knows success."""

from typing import Any

import mujoco
import numpy as np
import numpy.typing as npt

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.metaworld import RATE_HZ
from salus_ros.worlds.pressing import Pressing

FIXTURE_FORCE_N = 20.0
COLLISION_S = 0.05
"""The limit of salus/PickPlace-v1; MetaWorld's experts touch no fixture at all."""

LIFTED_M = 0.03
"""Height above its rest from which a held object counts as lifted; a puck that is pushed rises
2 cm between the fingers."""

RETRY_STEPS = 160
"""Steps within which a lost object may be grasped again; the experts need some 50."""

RETRIES = 1

BELOW_TABLE_M = -0.05
BESIDE_M = 0.05
"""How far outside of what the hand can reach an object is out of reach."""

OTHER, ROBOT, LEFT, RIGHT, OBJECT = range(5)
"""What a geom belongs to."""


class Referee:
    """Decides the outcome of an episode.

    - success: MetaWorld's own;
    - drop: the lifted object left the fingers and came to lie on something, and was not grasped
      again within `RETRY_STEPS`, once; the failure step is the one in which it left them. Where
      the gripper had been told to open, the cause is a misplaced release;
    - collision: hand or fingers pressed on the table or anything fixed with more than
      `FIXTURE_FORCE_N` for `COLLISION_S`;
    - other: the object cannot be reached any more;
    - timeout: none of these when the time is up; the cause is a missed grasp where the fingers
      were closed and never held the object.

    Contacts are read at the end of each control step.

    Attributes:
        outcome: How the episode ended, `UNKNOWN` until it has.
        cause: Why it failed, `NONE` unless it has.
        failure_step: When, -1 unless it has.
        losses: How often the lifted object was lost so far.
        fixture_force_n: Force of the robot on what is fixed, at this step.
        finger_forces_n: (2,), of the left and the right finger on the object.

    Args:
        scene: MetaWorld's environment of the task.
    """

    def __init__(self, scene: Any) -> None:
        self._model: mujoco.MjModel = scene.model
        self._data: mujoco.MjData = scene.data
        self._low, self._high = scene.hand_low - BESIDE_M, scene.hand_high + BESIDE_M
        free = np.flatnonzero(self._model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
        self.object_body = int(self._model.jnt_bodyid[free[0]])  # each task has one
        self._owner = self._owners()
        self.reset()

    def reset(self) -> None:
        """Begin an episode; the scene has begun it."""
        self.outcome, self.cause, self.failure_step = Outcome.UNKNOWN, FailureCause.NONE, -1
        self.losses = 0
        self._pressing = Pressing(FIXTURE_FORCE_N, COLLISION_S, 1 / RATE_HZ)
        self._rest_m = np.inf
        self._lost_step, self._loss = -1, FailureCause.NONE
        self._lifted = self._down = self._closed = self._was_held = False
        self._read_contacts()

    @property
    def failure_type(self) -> FailureType:
        """The published type that the cause counts as."""
        return self.cause.failure_type

    @property
    def object_position(self) -> npt.NDArray[np.float64]:
        """Centre of mass of the object to move, (3,) in m."""
        return np.asarray(self._data.subtree_com[self.object_body])

    def judge(self, step: int, *, success: bool, opening: bool, time_is_up: bool) -> None:
        """Decide at the end of control step `step`, unless it is decided already.

        Args:
            step: Of the episode, the first is 1.
            success: Whether MetaWorld says so.
            opening: Whether the gripper was told to open.
            time_is_up: Whether this step is the last one.
        """
        touched, landed = self._read_contacts()
        self._follow_grasp(step, touched, landed, opening)
        if self._pressing.update(self.fixture_force_n):
            self._fail(FailureCause.COLLISION, step)
        if success and self.outcome is Outcome.UNKNOWN:
            self.outcome = Outcome.SUCCESS
        if self._down and (step - self._lost_step >= RETRY_STEPS or self.losses > RETRIES):
            self._fail(self._loss, self._lost_step)
        if not touched and self._out_of_reach():
            self._fail(FailureCause.OUT_OF_REACH, step)
        if time_is_up:
            missed = self._closed and not self._was_held
            self._fail(FailureCause.MISSED_GRASP if missed else FailureCause.NO_PROGRESS, step)

    def _follow_grasp(self, step: int, touched: bool, landed: bool, opening: bool) -> None:
        height, held = self.object_position[2], bool(self.finger_forces_n.min() > 0)
        self._closed |= not opening
        self._was_held |= held
        if held:
            raised = height - self._rest_m > LIFTED_M
            self._lifted = raised or (self._lifted and not landed)  # put down: nothing is lost
            self._lost_step, self._down = -1, False
            return
        if self._lifted and not touched and self._lost_step < 0:
            self._lost_step = step
            self._loss = FailureCause.MISPLACED_RELEASE if opening else FailureCause.DROP
        if landed and self._lost_step >= 0 and not self._down:
            self._down, self._lifted = True, False
            self.losses += 1
        if not touched and not self._lifted:
            self._rest_m = min(self._rest_m, height)

    def _fail(self, cause: FailureCause, step: int) -> None:
        if self.outcome is not Outcome.UNKNOWN:
            return
        if self._lost_step >= 0:  # what went wrong first
            cause, step = self._loss, self._lost_step
        self.outcome, self.cause, self.failure_step = Outcome.FAILURE, cause, step

    def _read_contacts(self) -> tuple[bool, bool]:
        """Read the forces; whether the robot touches the object, and whether others do."""
        pressing, fingers = 0.0, np.zeros(2)
        touched = landed = False
        for i, pair in enumerate(self._data.contact.geom):
            first, second = sorted(self._owner[pair])  # in the order OTHER, robot's, OBJECT
            robot = ROBOT <= first <= RIGHT
            if second == OBJECT:
                touched |= robot
                landed |= first == OTHER
                if first in (LEFT, RIGHT):
                    fingers[first - LEFT] += self._force(i)
            elif first == OTHER and second != OTHER:
                pressing += self._force(i)
        self.fixture_force_n, self.finger_forces_n = pressing, fingers
        return touched, landed

    def _force(self, contact: int) -> float:
        force = np.zeros(6)
        mujoco.mj_contactForce(self._model, self._data, contact, force)
        return float(force[0])

    def _owners(self) -> npt.NDArray[np.int64]:
        """What each geom belongs to."""
        model = self._model
        robot = model.body("base").rootid
        thing = model.body(self.object_body).weldid
        owner = np.full(model.ngeom, OTHER)
        for geom, body in enumerate(model.geom_bodyid):
            name = model.body(body).name
            if model.body_weldid[body] == thing:
                owner[geom] = OBJECT
            elif model.body_rootid[body] == robot:
                left, right = name in ("leftclaw", "leftpad"), name in ("rightclaw", "rightpad")
                owner[geom] = LEFT if left else RIGHT if right else ROBOT
        return owner

    def _out_of_reach(self) -> bool:
        position = self.object_position
        beside = np.any(position[:2] < self._low[:2]) or np.any(position[:2] > self._high[:2])
        return bool(beside or position[2] < BELOW_TABLE_M)
