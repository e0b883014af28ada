"""A person who is asked to take the arm."""

from salus_ros.core.errors import RecoveryError
from salus_ros.core.schema import RATE_HZ
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.motion import still
from salus_ros.recovery.sight import Action, Sight


class Person(Behaviour):
    """Stands still and asks; whoever answers gives each action, and hands the arm back.

    Attributes:
        asking: Whether somebody is wanted.

    Args:
        timeout_s: After so long without an action of theirs it gives up, and the arm is held.
    """

    name = "person"
    releases = True

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._limit = max(1, round(timeout_s * RATE_HZ))
        self._given: Action | None = None
        self._clear()

    def begin(self, sight: Sight, seed: int) -> None:
        """Ask."""
        self._clear()
        self.asking = True

    def command(self, action: Action) -> None:
        """The person's next action; it is done once."""
        self._given, self._silent, self.asking = action, 0, False

    def hand_back(self) -> None:
        """The person is done."""
        self._finished, self.asking = True, False

    def act(self, sight: Sight) -> Action | None:
        """What the person does; no motion while nothing comes.

        Raises:
            RecoveryError: if nothing has come for too long.
        """
        if self._finished:
            return None
        given, self._given = self._given, None
        if given is not None:
            return given
        self._silent += 1
        if self._silent > self._limit:
            self.asking = False
            raise RecoveryError(f"nobody answered within {self._timeout_s:g} s")
        return still(opens=not sight.closing)

    def _clear(self) -> None:
        self.asking = self._finished = False
        self._silent, self._given = 0, None
