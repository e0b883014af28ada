"""Standing still for a while, and not even that."""

from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.motion import still
from salus_ros.recovery.sight import Action, Sight


class Hold(Behaviour):
    """Stands still, then the policy plans anew.

    Args:
        steps: For so long.
    """

    name = "hold"

    def __init__(self, steps: int) -> None:
        self._steps = self._left = self.least_steps = steps

    def begin(self, sight: Sight, seed: int) -> None:
        """Take the arm."""
        self._left = self._steps

    def act(self, sight: Sight) -> Action | None:
        """No motion, the gripper as it was told."""
        self._left -= 1
        return None if self._left < 0 else still(opens=not sight.closing)


class Requery(Behaviour):
    """Is done at once: the policy forgets its plan and its noise, and plans anew."""

    name = "requery"

    def act(self, sight: Sight) -> Action | None:
        """Nothing."""
        return None
