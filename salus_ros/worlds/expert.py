"""A scripted expert for `PickPlaceEnv`: seven phases, decided anew at every step."""

import numpy as np
import numpy.typing as npt

from salus_ros.worlds.mujoco.arm import MAX_TRANSLATION_M
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import ACTION_DIM

type Point = npt.NDArray[np.float64]
"""(3,) in m, in the world frame."""

ABOVE_M = 0.10
GRASP_M = 0.018
CARRY_M = 0.17
RELEASE_M = {"bin": 0.085, "plate": 0.026, "blue_cube": 0.063}
"""Height of the tool at which the object is let go, by the goal of the task."""

PLACE_M = {"bin": 0.02, "plate": 0.015, "blue_cube": 0.006}
"""How far beside the goal it may be let go."""

NEAR_M = 0.012
CLOSE_STEPS = 6
OPEN_STEPS = 6

TRAVEL_M = 0.025
"""From open fingers to a cube, and to the full force on it."""


class Expert:
    """Above, descend, close, lift, carry, lower, open; goes back when the object is elsewhere.

    It reads true poses. `act` may be asked at any state the arm got into, so its labels on
    perturbed motions teach recovery (DART, Laskey et al. 2017).
    """

    def __init__(self, env: PickPlaceEnv) -> None:
        self._env = env
        self._gripper_steps = env.physics.gripper_steps(TRAVEL_M)
        self.reset()

    def reset(self) -> None:
        """Start with the first phase, or go on with what the fingers hold."""
        arm = self._env.arm
        in_hand = self._in_hand(arm.tool_position, self._env.object_position)
        self.phase = "lift" if in_hand and not arm.opening else "above"
        self._timer = 0

    def act(self) -> npt.NDArray[np.float32]:
        """The action for the current state, (7,) in [-1, 1]."""
        tool, cube = self._env.arm.tool_position, self._env.object_position
        goal = self._env.goal_position
        self._advance(tool, cube, goal)
        target, open_gripper = self._target(tool, cube, goal)
        action = np.zeros(ACTION_DIM, np.float32)
        step = 0.18 * (target - tool) / MAX_TRANSLATION_M
        action[:3] = step / max(1.0, float(np.abs(step).max()))
        action[6] = 1.0 if open_gripper else -1.0
        return action

    def _advance(self, tool: Point, cube: Point, goal: Point) -> None:
        sideways, held = _sideways(tool, cube), self._in_hand(tool, cube)
        to_goal = float(np.linalg.norm(cube[:2] - goal[:2]))
        place = self._env.task_goal
        match self.phase:
            case "above" if sideways < NEAR_M and tool[2] < cube[2] + ABOVE_M + 0.02:
                self.phase = "descend"
            case "descend" if sideways > 3 * NEAR_M:
                self.phase = "above"
            case "descend" if tool[2] < GRASP_M + 0.008:
                self.phase, self._timer = "close", 0
            case "close":
                self._timer += 1
                if self._timer >= CLOSE_STEPS + self._gripper_steps:
                    self.phase = "lift"
            case "lift" | "carry" | "lower" if not held:
                self.phase = "above"
            case "lift" if tool[2] > CARRY_M - 0.03:
                self.phase = "carry"
            case "carry" if to_goal < PLACE_M[place]:
                self.phase = "lower"
            case "lower" if tool[2] < RELEASE_M[place] + 0.004 and to_goal < 2 * PLACE_M[place]:
                self.phase, self._timer = "open", 0
            case "open":
                self._timer += 1
                if self._timer > OPEN_STEPS + self._gripper_steps and self._timer > 60:
                    self.phase = "above"

    @staticmethod
    def _in_hand(tool: Point, cube: Point) -> bool:
        return _sideways(tool, cube) < 0.03 and abs(tool[2] - cube[2]) < 0.03

    def _target(self, tool: Point, cube: Point, goal: Point) -> tuple[Point, bool]:
        over_goal = goal[:2] + tool[:2] - cube[:2]  # the object, not the tool, shall be there
        match self.phase:
            case "above":
                return cube + np.array([0.0, 0.0, ABOVE_M]), True
            case "descend":
                return np.array([cube[0], cube[1], GRASP_M]), True
            case "close":
                return np.array([cube[0], cube[1], GRASP_M]), False
            case "lift":
                return np.array([tool[0], tool[1], CARRY_M]), False
            case "carry":
                return np.array([*over_goal, CARRY_M]), False
            case "lower":
                return np.array([*over_goal, RELEASE_M[self._env.task_goal]]), False
            case _:
                height = (
                    tool[2] if self._timer < OPEN_STEPS // 2 + self._gripper_steps else CARRY_M
                )
                return np.array([tool[0], tool[1], height]), True


def _sideways(tool: Point, cube: Point) -> float:
    """How far a cube is beside the tool, in m."""
    return float(np.linalg.norm(tool[:2] - cube[:2]))
