"""What a recovery behaviour is."""

from abc import ABC, abstractmethod

from salus_ros.recovery.plan import RecoveryPlan
from salus_ros.recovery.sight import Action, Sight


class Behaviour(ABC):
    """Takes the arm for a while: may it start here, what is the next action, is it done?

    The supervisor asks, slows, checks and stops it; a behaviour holds no guard of its own but
    what only it can know.

    Attributes:
        name: What it is called in options and records.
        least_steps: With fewer steps left it is not started.
        releases: Whether it may open the gripper on what it holds above the table.
        looks: Whether it looks at the images, which are then kept at hand.
    """

    name: str
    least_steps: int = 0
    releases: bool = False
    looks: bool = False

    def refusal(self, sight: Sight) -> str:
        """Why it may not start here; empty where it may."""
        return ""

    def begin(self, sight: Sight, seed: int) -> None:  # noqa: B027 - not all remember something
        """Take the arm; nothing of an earlier intervention remains.

        Args:
            sight: Where the arm is now.
            seed: Of all that it draws.
        """

    def propose(self, sight: Sight) -> RecoveryPlan | None:
        """What it would do from here, to be shown; None where it has no plan beforehand.

        Asked where it is triggered, in the shadow too; nothing of it is done by that.
        """
        return None

    @abstractmethod
    def act(self, sight: Sight) -> Action | None:
        """The next action (7,), see `Action`; None when it is done and the policy goes on.

        Raises:
            RecoveryError: if it cannot go on; the arm is then held, and the reason said.
        """
