"""What a recovery proposes: a few actions, and why."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from salus_ros.core.errors import RecoveryError
from salus_ros.worlds.panda import ACTION_DIM


@dataclass(frozen=True, slots=True, eq=False)
class RecoveryPlan:
    """A short trajectory that is offered where a failure is foreseen; nothing has to do it.

    Attributes:
        mechanism: Name of what made it.
        actions: Float32 (T, 7), one a step, see `sight.Action`.
        confidence: In [0, 1], the higher the more the arm is where successes are; NaN where
            that is unknown. It is no probability that the plan helps.
        why: One sentence for a person.
        distance: How far the arm is from the nearest step of a success, in the mechanism's own
            measure; NaN where there is none.

    Raises:
        RecoveryError: if an action is none, the confidence is no share, or the distance negative.
    """

    mechanism: str
    actions: npt.NDArray[np.float32]
    confidence: float
    why: str
    distance: float = math.nan

    def __post_init__(self) -> None:
        actions = self.actions
        formed = actions.ndim == 2 and len(actions) and actions.shape[1] == ACTION_DIM
        if not (formed and np.isfinite(actions).all() and np.abs(actions).max() <= 1.0):
            raise RecoveryError(
                f"a plan has actions {actions.shape} that are not all numbers from -1 to 1; "
                f"allowed is (T, {ACTION_DIM}) of such"
            )
        if not (math.isnan(self.confidence) or 0.0 <= self.confidence <= 1.0):
            raise RecoveryError(f"a plan's confidence is {self.confidence}; allowed is 0 to 1")
        if self.distance < 0.0:
            raise RecoveryError(f"a plan's distance is {self.distance}; allowed is 0 and more")
