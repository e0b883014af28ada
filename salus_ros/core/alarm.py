"""When the risk becomes an alarm, and when the alarm ends."""

import math

HYSTERESIS = 0.05
"""How far the risk must fall below the threshold to end an alarm, where nothing else is said."""


class Alarm:
    """An alarm that starts above a threshold and ends clearly below it.

    A risk that hovers about the threshold would otherwise ring at every other step.

    A step of which nothing is known yet, since the policy has given no signal, changes nothing.
    One that should be known and cannot be judged (`blind`) raises the alarm: what nobody can
    judge is not safe. No recording holds such a step, since a value that is not finite is stored
    as one that does not exist; so the alarms of an evaluation are those of the risk alone.
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
            risk: In [0, 1]; NaN (nothing is known yet) changes nothing.
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

    def blind(self) -> bool:
        """Raise the alarm, whatever the threshold: the step cannot be judged.

        The next risk that is known decides whether it ends, as it ends any other.

        Returns:
            True: there is an alarm now.
        """
        self.active = True
        return True
