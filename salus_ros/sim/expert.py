"""A scripted expert for `PickPlaceEnv`: seven phases, decided anew at every step."""

import numpy as np
import numpy.typing as npt

from salus_ros.core.schema import ACTION_DIM
from salus_ros.sim.arm import MAX_TRANSLATION_M
from salus_ros.sim.world import PickPlaceEnv

ABOVE_M = 0.10
GRASP_M = 0.018
CARRY_M = 0.17
RELEASE_M = 0.085
NEAR_M = 0.012
CLOSE_STEPS = 6
OPEN_STEPS = 6


class Expert:
    """Above, descend, close, lift, carry, lower, open; goes back when the cube is elsewhere.

    It reads the cube's true pose. `act` may be asked at any state the arm got into, so its
    labels on perturbed motions teach recovery (DART, Laskey et al. 2017).
    """

    def __init__(self, env: PickPlaceEnv) -> None:
        self._env = env
        self._bin = np.asarray(env.model.body("bin").pos, dtype=np.float64).copy()
        self.reset()

    def reset(self) -> None:
        """Start with the first phase."""
        self.phase = "above"
        self._timer = 0

    def act(self) -> npt.NDArray[np.float32]:
        """The action for the current state, (7,) in [-1, 1]."""
        tool, cube = self._env.arm.tool_position, self._env.cube_position
        self._advance(tool, cube)
        target, open_gripper = self._target(tool, cube)
        action = np.zeros(ACTION_DIM, np.float32)
        step = 0.25 * (target - tool) / MAX_TRANSLATION_M
        action[:3] = step / max(1.0, float(np.abs(step).max()))
        action[6] = 1.0 if open_gripper else -1.0
        return action

    def _advance(self, tool: npt.NDArray[np.float64], cube: npt.NDArray[np.float64]) -> None:
        sideways = float(np.linalg.norm(tool[:2] - cube[:2]))
        held = sideways < 0.03 and abs(tool[2] - cube[2]) < 0.03
        to_bin = float(np.linalg.norm(tool[:2] - self._bin[:2]))
        match self.phase:
            case "above" if sideways < NEAR_M and tool[2] < cube[2] + ABOVE_M + 0.02:
                self.phase = "descend"
            case "descend" if sideways > 3 * NEAR_M:
                self.phase = "above"
            case "descend" if tool[2] < GRASP_M + 0.008:
                self.phase, self._timer = "close", 0
            case "close":
                self._timer += 1
                if self._timer >= CLOSE_STEPS:
                    self.phase = "lift"
            case "lift" | "carry" | "lower" if not held:
                self.phase = "above"
            case "lift" if tool[2] > CARRY_M - 0.03:
                self.phase = "carry"
            case "carry" if to_bin < 0.02:
                self.phase = "lower"
            case "lower" if tool[2] < RELEASE_M + 0.01:
                self.phase, self._timer = "open", 0
            case "open":
                self._timer += 1
                if self._timer > OPEN_STEPS and self._timer > 60:
                    self.phase = "above"

    def _target(
        self, tool: npt.NDArray[np.float64], cube: npt.NDArray[np.float64]
    ) -> tuple[npt.NDArray[np.float64], bool]:
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
                return np.array([self._bin[0], self._bin[1], CARRY_M]), False
            case "lower":
                return np.array([self._bin[0], self._bin[1], RELEASE_M]), False
            case _:
                return np.array([self._bin[0], self._bin[1], CARRY_M]), True
