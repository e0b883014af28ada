"""When the arm is to be taken: by what is foreseen, by what is seen, or by a plan."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Sequence

import numpy as np

from salus_ros.core.failures import FailureType
from salus_ros.recovery.sight import Array, Sight
from salus_ros.recovery.watch import Forecast


class Trigger(ABC):
    """Says at each step whether the arm is to be taken.

    Attributes:
        heeds_alarm: Whether it goes by the alarm, so that it matters what that is worth.
    """

    heeds_alarm: bool = False

    @abstractmethod
    def update(self, sight: Sight, forecast: Forecast) -> bool:
        """Take in a step; whether the arm is to be taken at it."""

    def reset(self) -> None:  # noqa: B027 - not all remember something
        """Forget what was seen: the arm was taken and is handed back."""


class AlarmTrigger(Trigger):
    """While there is an alarm.

    Args:
        kinds: Of these kinds of failure alone; empty for all.
    """

    heeds_alarm = True

    def __init__(self, kinds: Collection[FailureType] = ()) -> None:
        self._kinds = frozenset(kinds)

    def update(self, sight: Sight, forecast: Forecast) -> bool:
        """Whether there is one."""
        return forecast.alarm and (not self._kinds or forecast.kind in self._kinds)


class StuckTrigger(Trigger):
    """The tool has stayed within a cube for a while.

    Args:
        size_m: Edge of the cube.
        steps: For so long.
    """

    def __init__(self, size_m: float, steps: int) -> None:
        self._size_m = size_m
        self._places: deque[Array] = deque(maxlen=steps + 1)

    def update(self, sight: Sight, forecast: Forecast) -> bool:
        """Whether it has."""
        self._places.append(sight.position.copy())
        if len(self._places) < (self._places.maxlen or 0):
            return False
        return bool(np.ptp(np.array(self._places), axis=0).max() <= self._size_m)

    def reset(self) -> None:
        """Begin to count anew."""
        self._places.clear()


class EitherTrigger(Trigger):
    """At least one of several."""

    def __init__(self, triggers: Sequence[Trigger]) -> None:
        self._triggers = triggers
        self.heeds_alarm = any(trigger.heeds_alarm for trigger in triggers)

    def update(self, sight: Sight, forecast: Forecast) -> bool:
        """Whether one of them says so; all of them see every step."""
        return any([trigger.update(sight, forecast) for trigger in self._triggers])

    def reset(self) -> None:
        """Forget, all of them."""
        for trigger in self._triggers:
            trigger.reset()


class StepTrigger(Trigger):
    """From a step of the episode on, until the arm was taken once.

    Args:
        step: The step; -1 for never.
    """

    def __init__(self, step: int) -> None:
        self._step = step

    def update(self, sight: Sight, forecast: Forecast) -> bool:
        """Whether it has come."""
        return 0 <= self._step <= sight.step

    def reset(self) -> None:
        """Never again."""
        self._step = -1
