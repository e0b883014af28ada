"""The worked example of a scripted behaviour: grasp again, by cameras and fingers alone."""

import numpy as np

from salus_ros.core.errors import RecoveryError
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.motion import still, towards
from salus_ros.recovery.seeing import locate
from salus_ros.recovery.sight import Action, Array, Sight
from salus_ros.worlds.conditions import CUBES
from salus_ros.worlds.expert import (
    ABOVE_M,
    CARRY_M,
    GRASP_M,
    NEAR_M,
    PLACE_M,
    RELEASE_M,
)
from salus_ros.worlds.tasks import ALL_TASKS, Task
from salus_ros.worlds.workcell import Workcell

LOOKS = 3
"""A grasp that missed is tried anew so often, after another look."""

LOOK_EVERY = 6
"""Steps between two looks on the way home, while the cube is not seen."""

LOOK_STEPS = 45
"""After which an empty hand, at home by then, gives the arm back."""

PHASE_STEPS = 75
"""A phase that takes longer is given up, and the cube looked for again."""

SETTLED_M = 3e-4
"""Fingers that move less in `SETTLED_STEPS` have closed on something, or on nothing."""

SETTLED_STEPS = 3
OPEN_M = 0.035

SET_DOWN_M = 5e-4
"""A tool that sinks less than this in `SET_DOWN_STEPS` has put down what it holds."""

SET_DOWN_STEPS = 8
SET_DOWN_ABOVE_M = 0.02
"""How far above the height of release that may be: a cube may sit low in the hand."""

REST_STEPS = 15
"""In which what was let go comes to rest."""

GENTLE = 0.4
"""Largest value of the translation on the way down."""


class Regrasp(Behaviour):
    """Rises, looks, grasps, feels whether it holds something, carries it to its place.

    It knows the task's cube by colour and size, the still cameras' calibration and where bin and
    plate are meant to be; no pose is told to it. It keeps the arm until the cube is put down.

    Args:
        cell: The arm and its surroundings.
        least_steps: It takes so many.
    """

    name = "scripted"
    releases = True
    looks = True

    def __init__(self, cell: Workcell, least_steps: int = 85) -> None:
        self._cell, self.least_steps = cell, least_steps
        self._fingers: list[float] = []
        self._heights: list[float] = []

    def refusal(self, sight: Sight) -> str:
        """A task that it does not know."""
        known = any(task.instruction == sight.task for task in ALL_TASKS)
        return "" if known else f"it does not know the task '{sight.task}'"

    def begin(self, sight: Sight, seed: int) -> None:
        """Take the arm, and what it holds."""
        self._task: Task = next(task for task in ALL_TASKS if task.instruction == sight.task)
        self._looks = 0
        self._cube: Array = np.full(2, np.nan)
        self._goal = self._cell.places.get(self._task.goal, np.full(3, np.nan))[:2]
        self._enter("rise")

    def act(self, sight: Sight) -> Action | None:
        """The next action; None when it is done.

        That is when the cube is put down and the tool is up again, or when the hand is empty and
        at home, and the cube is not to be seen from there.

        Raises:
            RecoveryError: if the cube was missed `LOOKS` times.
        """
        self._timer += 1
        self._heights = [*self._heights, float(sight.position[2])][-SET_DOWN_STEPS - 1 :]
        self._fingers = [*self._fingers, float(np.mean(sight.fingers))][-SETTLED_STEPS - 1 :]
        self._advance(sight)
        return None if self._phase == "done" else self._action(sight)

    def _enter(self, phase: str) -> None:
        self._phase, self._timer = phase, 0
        self._fingers, self._heights = [], []

    def _missed(self, what: str) -> None:
        self._looks += 1
        if self._looks >= LOOKS:
            raise RecoveryError(f"{what}, {LOOKS} times")
        self._enter("rise")

    def _advance(self, sight: Sight) -> None:
        tool, place = sight.position, self._task.goal
        beside = float(np.linalg.norm(tool[:2] - self._cube))
        to_goal = float(np.linalg.norm(tool[:2] - self._goal))
        if self._phase == "look" and self._timer > LOOK_STEPS and not sight.holds:
            self._enter("done")
        elif self._timer > PHASE_STEPS:
            self._missed(f"it came no further than '{self._phase}'")
        match self._phase:
            case "rise" if tool[2] > CARRY_M - 0.02:
                self._enter("look")
                self._look(sight)
            case "look" if self._timer % LOOK_EVERY == 0:
                self._look(sight)
            case "above" if beside < NEAR_M and tool[2] < ABOVE_M + 0.04:
                self._enter("descend")
            case "descend" if beside > 3 * NEAR_M:
                self._enter("above")
            case "descend" if tool[2] < GRASP_M + 0.008:
                self._enter("close")
            case "close" if self._settled:
                if sight.holds:
                    self._enter("lift")
                else:
                    self._missed("the fingers closed on nothing")
            case "lift" | "carry" | "lower" if not sight.holds:
                self._missed("the cube slipped")
            case "lift" if tool[2] > CARRY_M - 0.03:
                self._enter("carry")
            case "carry" if to_goal < PLACE_M[place]:
                self._enter("lower")
            case "lower" if tool[2] < RELEASE_M[place] + 0.004 or self._stands(tool[2]):
                self._enter("open")
            case "open" if float(np.min(sight.fingers)) > OPEN_M:
                self._enter("leave")
            case "leave" if tool[2] > CARRY_M - 0.03 and self._timer > REST_STEPS:
                self._enter("done")

    def _look(self, sight: Sight) -> None:
        """Find what the task is about, but for a cube in the hand."""
        images = sight.look()
        if not sight.holds:
            found = locate(images, self._cell.cameras, self._task.target)
            if found is None:
                return
            self._cube = found
        if self._task.goal in CUBES:
            goal = locate(images, self._cell.cameras, self._task.goal)
            if goal is None:
                return
            self._goal = goal
        self._enter("lift" if sight.holds else "above")

    def _stands(self, height: float) -> bool:
        """Whether what it lowers has come down, near enough to where it is to be let go."""
        near = height < RELEASE_M[self._task.goal] + SET_DOWN_ABOVE_M
        return near and _steady(self._heights, SET_DOWN_STEPS, SET_DOWN_M)

    @property
    def _settled(self) -> bool:
        return _steady(self._fingers, SETTLED_STEPS, SETTLED_M)

    def _action(self, sight: Sight) -> Action:
        tool = sight.position
        if self._phase in ("rise", "look"):
            place: Array = np.array([*tool[:2], CARRY_M])
            if self._phase == "look":
                place = self._cell.home[:3, 3]
            return towards(sight, self._cell, place, opens=not sight.holds)
        if self._phase == "open":
            return still(opens=True)
        aim, opens, speed = self._aim(tool)
        return towards(sight, self._cell, aim, opens=opens, speed=speed)

    def _aim(self, tool: Array) -> tuple[Array, bool, float]:
        match self._phase:
            case "above":
                return np.array([*self._cube, ABOVE_M + 0.02]), True, 1.0
            case "descend":
                return np.array([*self._cube, GRASP_M]), True, GENTLE
            case "close":
                return np.array([*self._cube, GRASP_M]), False, GENTLE
            case "lift":
                return np.array([*tool[:2], CARRY_M]), False, 1.0
            case "carry":
                return np.array([*self._goal, CARRY_M]), False, 1.0
            case "lower":
                height = RELEASE_M[self._task.goal]
                return np.array([*self._goal, height]), False, GENTLE
            case _:
                return np.array([*tool[:2], CARRY_M]), True, 1.0


def _steady(values: list[float], steps: int, within: float) -> bool:
    """Whether values of more than so many steps differ by less than that."""
    return len(values) > steps and float(np.ptp(values)) < within
