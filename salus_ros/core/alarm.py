"""When the risk becomes an alarm, and when the alarm ends."""

import math

HYSTERESIS = 0.05
"""How far the risk must fall below the threshold to end an alarm, where nothing else is said."""


class Alarm:
    """An alarm that starts above a threshold and ends clearly below it.

    A risk that hovers about the threshold would otherwise ring at every other step.
    """

    def __init__(self) -> None:
        """No alarm."""
        self.active = False

    def reset(self) -> None:
        """Start over, as at a new episode."""
        self.active = False

    def update(self, risk: float, threshold: float, hysteresis: float) -> bool:
        """Take in the next risk.

        Args:
            risk: In [0, 1]; NaN (nothing was predicted) changes nothing.
            threshold: An alarm starts when the risk exceeds it; NaN or +inf: never.
            hysteresis: An alarm ends when the risk is this far below the threshold.

        Returns:
            Whether there is an alarm now.
        """
        if math.isnan(threshold):
            self.active = False
        elif not math.isnan(risk):
            limit = threshold - hysteresis if self.active else threshold
            self.active = risk > limit
        return self.active
