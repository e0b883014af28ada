"""Doing what the nearest success did next."""

from salus_ros.core.errors import RecoveryError
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.plan import RecoveryPlan
from salus_ros.recovery.planner import MECHANISM, ManifoldPlanner
from salus_ros.recovery.sight import Action, Sight


class FollowSuccess(Behaviour):
    """Does the plan of a `ManifoldPlanner` to its end; then the policy goes on.

    Attributes:
        plan: What it does; None before it has begun.

    Args:
        planner: Makes the plan.
    """

    name = MECHANISM

    def __init__(self, planner: ManifoldPlanner) -> None:
        self._planner = planner
        self.least_steps = planner.steps
        self.plan: RecoveryPlan | None = None
        self._done = 0

    def refusal(self, sight: Sight) -> str:
        """Why no plan can be made here."""
        try:
            self._planner.propose(sight)
        except RecoveryError as error:
            return str(error)
        return ""

    def begin(self, sight: Sight, seed: int) -> None:
        """Make the plan.

        Raises:
            RecoveryError: if none can be made.
        """
        self.plan, self._done = self._planner.propose(sight), 0

    def act(self, sight: Sight) -> Action | None:
        """The plan's next action."""
        assert self.plan is not None  # begun
        if self._done == len(self.plan.actions):
            return None
        self._done += 1
        action: Action = self.plan.actions[self._done - 1]
        return action
