"""Where the messages of a topic stand, each of which is of a step of an episode."""

from salus_ros.core.errors import ObservationError
from salus_ros.recording.time import Order, TimeRule, jump_words

LAST_STEP = 2**31 - 1
"""A later one is a mistake: no episode is that long, and none could follow it."""


def check_step(step: int) -> None:
    """Refuse what cannot be the step of an episode.

    Raises:
        ObservationError: if it is beyond `LAST_STEP`.
    """
    if step > LAST_STEP:
        raise ObservationError(
            f"step {step} is refused; the last one allowed is {LAST_STEP}",
            "a step that cannot be one",
        )


class Progress:
    """Follows the episode that is under way, step by step, by the rule for time.

    A message of another episode begins that one. A step that is not later than the newest begins
    its episode anew where its stamp is later, or where it is step 0 again: the world was started
    once more.

    Attributes:
        episode_id: The episode; empty before the first message.
        step: Its newest step.
        begins: Whether the last message that was `NEXT` or `JUMP` begins an episode, or again.
        missed: Steps that were passed over, of all episodes.
        late: Messages that came after a later one of their episode.
        last_jump: How the clock last jumped, in words; empty for never.
    """

    def __init__(self) -> None:
        """No message yet."""
        self.episode_id = ""
        self.step = -1
        self.begins = False
        self.missed = 0
        self.late = 0
        self.last_jump = ""
        self._rule: TimeRule | None = None
        self._refused = 0

    @property
    def refused(self) -> int:
        """Messages whose stamps were wrong."""
        return self._refused + (0 if self._rule is None else self._rule.refused)

    def judge(self, episode_id: str, step: int, stamp_ns: int) -> Order:
        """Take note of a message and say where it stands.

        Returns:
            `REPEATED` for the newest step with the same stamp, `LATE` for an older one, `SUSPECT`
            for one that is to be held back (`TimeRule`): at a `JUMP` it and this one are the
            first two of the new time.
        """
        rule = self._rule
        if rule is None or episode_id != self.episode_id:
            return self._begin(episode_id, step, stamp_ns)
        order = rule.judge(stamp_ns)
        if order is Order.SUSPECT:
            return order
        if order is Order.JUMP:
            self.last_jump = jump_words(rule.jump_ns)
            self.step, self.begins = step, True
            return order
        if order is Order.REPEATED and step == self.step:
            return order
        if step <= self.step and (order is Order.NEXT or (step == 0 and self.step > 0)):
            return self._begin(episode_id, step, stamp_ns)
        if order is Order.LATE or step < self.step:
            self.late += 1
            return Order.LATE
        self.missed += step - self.step - 1
        self.step, self.begins = step, False
        return Order.NEXT

    def begin_anew(self) -> None:
        """The next message begins its episode, or begins it again, whatever its step and stamp."""
        self._refused, self._rule = self.refused, None

    def _begin(self, episode_id: str, step: int, stamp_ns: int) -> Order:
        held = self._rule is not None and self._rule.suspect_ns is not None
        self._refused = self.refused + held
        self._rule = TimeRule()
        self.missed += step if episode_id != self.episode_id else 0
        self.episode_id, self.step, self.begins = episode_id, step, True
        return self._rule.judge(stamp_ns)
