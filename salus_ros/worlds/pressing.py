"""When a force counts as a collision: one rule for what has happened and what is seen ahead."""


class Pressing:
    """Whether a force has been above a limit for long enough, physics step by physics step.

    Args:
        limit_n: In N.
        least_s: How long it must be above it without a break, in s.
        timestep_s: Between two forces, in s.
    """

    def __init__(self, limit_n: float, least_s: float, timestep_s: float) -> None:
        self._limit_n, self._least_s, self._timestep_s = limit_n, least_s, timestep_s
        self._above_s = 0.0

    def update(self, force_n: float) -> bool:
        """Take in the force of the next physics step; whether it is a collision by now."""
        above = force_n > self._limit_n
        self._above_s = self._above_s + self._timestep_s if above else 0.0
        return self._above_s >= self._least_s
