"""A plan from what successes did next where they were nearest."""

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError, ObservationError, RecoveryError
from salus_ros.recovery.manifold.manifold import Manifold
from salus_ros.recovery.plan import RecoveryPlan
from salus_ros.recovery.sight import Sight
from salus_ros.recovery.synthesis import Synthesis, synthesise
from salus_ros.worlds.panda import ACTION_DIM, JOINTS, STATE_DIM
from salus_ros.worlds.workcell import Workcell

MECHANISM = "manifold"


class ManifoldPlanner:
    """Proposes to do what the nearest success of the task did next.

    Args:
        manifold: Where successes run.
        cell: The arm and its surroundings.
        how: How a trajectory is made of the success's.

    Raises:
        ConfigError: if the manifold is of another robot.
    """

    def __init__(self, manifold: Manifold, cell: Workcell, how: Synthesis | None = None) -> None:
        library = manifold.library
        widths = library.state.shape[1], library.action.shape[1]
        if widths != (STATE_DIM, ACTION_DIM):
            raise ConfigError(
                f"the manifold's episodes have {widths[0]} state values and {widths[1]} action "
                f"values; the arm has {STATE_DIM} and {ACTION_DIM}: train one on its episodes"
            )
        try:
            manifold.key.check({"state": JOINTS})
        except ObservationError as error:
            raise ConfigError(str(error)) from error
        self._manifold, self._cell, self._how = manifold, cell, how or Synthesis()

    @property
    def steps(self) -> int:
        """Length of a plan."""
        return self._how.steps

    def propose(self, sight: Sight) -> RecoveryPlan:
        """What to do from here.

        Args:
            sight: Where the arm is, with what the policy would do.

        Raises:
            RecoveryError: if nothing can be proposed: the policy tells too little, no success of
                the task is known, or the way is not free.
        """
        if sight.wanted is None:
            raise RecoveryError("what the policy would do is not told, so nothing is looked up")
        given: dict[str, NDArray[np.floating]] = dict(sight.told)
        given |= {"state": sight.joints[None], "action": sight.wanted[None]}
        try:
            point = self._manifold.embed(given)[0]
        except ObservationError as error:
            raise RecoveryError(str(error)) from error
        if not np.isfinite(point).all():
            names = ", ".join(self._manifold.key.statistics)
            raise RecoveryError(f"the step cannot be looked up: {names} are not all finite")
        library, steps = self._manifold.library, self._how.steps
        row, distance = library.find(point, sight.task, steps)
        states = library.state[row : row + steps].astype(np.float64)
        actions = library.action[row : row + steps]
        confidence = self._manifold.confidence(distance)
        return RecoveryPlan(
            MECHANISM,
            synthesise(sight, states, actions, self._cell, self._how),
            confidence,
            f"success {library.episode[row]} was nearest at its step {library.step[row]}, "
            f"{distance:.2f} away; {_share(confidence)} of the steps of unseen successes are as "
            "far from one",
            distance,
        )


def _share(confidence: float) -> str:
    return "an unknown share" if np.isnan(confidence) else f"{confidence:.0%}"
