"""Up and home, for another attempt from there."""

import numpy as np

from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.motion import towards
from salus_ros.recovery.sight import Action, Sight
from salus_ros.worlds.workcell import Workcell

RISE_M = 0.17
"""Straight up to this height first, above all that stands there."""

LOW_M = 0.08
"""It starts below this height only: higher up something is being carried."""

NEAR_M = 0.02


class Home(Behaviour):
    """Lifts the empty tool, goes home and opens the gripper; never what may hold something.

    Args:
        cell: Where home is.
        least_steps: A second attempt needs so many.
    """

    name = "home"

    def __init__(self, cell: Workcell, least_steps: int = 116) -> None:
        self._cell, self.least_steps = cell, least_steps
        self._risen = False

    def refusal(self, sight: Sight) -> str:
        """Anything in the hand, or a tool that is not low."""
        if sight.holds:
            return "there may be something between the fingers"
        height = float(sight.position[2])
        return f"the tool is {height:.2f} m high" if height > LOW_M else ""

    def begin(self, sight: Sight, seed: int) -> None:
        """Take the arm."""
        self._risen = False

    def act(self, sight: Sight) -> Action | None:
        """Up, then home; done when it is there."""
        home = self._cell.home[:3, 3]
        if float(np.linalg.norm(home - sight.position)) < NEAR_M:
            return None
        self._risen |= bool(sight.position[2] > RISE_M)
        if not self._risen:
            above = np.array([*sight.position[:2], RISE_M + NEAR_M])
            return towards(sight, self._cell, above, opens=True)
        return towards(sight, self._cell, home, opens=True)
