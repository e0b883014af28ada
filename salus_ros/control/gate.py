"""The gate between a policy and the arm: what an alarm, or a person, makes of its actions."""

from dataclasses import dataclass
from enum import IntEnum, StrEnum


class GateState(IntEnum):
    """What the gate does to the actions, from nothing to most."""

    PASS = 0
    SLOW = 1
    HOLD = 2
    STOP = 3
    PAUSED = 4
    TAKEOVER = 5


class Response(StrEnum):
    """What an alarm does: slow down, hold until a reset, or end the episode's motion."""

    SLOW = "slow"
    HOLD = "hold"
    STOP = "stop"

    @property
    def state(self) -> GateState:
        """The state that it leads to."""
        return GateState[self.name]


@dataclass(frozen=True, slots=True)
class Decision:
    """What the gate does now.

    Attributes:
        state: What is done.
        would: What would be done by a gate that is not in the shadow; `state` where it is not.
        scale: Share of the speed limits that `state` leaves, in [0, 1]; 0 holds.
        reason: Why, in words; empty while nothing stands against the actions.
        latched: Whether `would` stands until a reset.
    """

    state: GateState
    would: GateState
    scale: float
    reason: str
    latched: bool


class Gate:
    """Takes in predictions and orders, and says what becomes of the actions.

    An alarm latches: it acts until somebody resets it, however it flickers, and is not reset
    while it stands. A risk that is not known (NaN), and a prediction that does not come, act like
    an alarm for as long as that lasts. A fault of the arm holds it, latched, whatever the mode.
    Pause and takeover are a person's, and come before all else. In shadow mode an alarm only says
    what it would have done, until the episode is over.

    Attributes:
        shadow: Whether alarms only say what they would have done.
        response: What an alarm does.
        slow: Share of the speed limits that slowing down leaves, in (0, 1].
        prediction_timeout_s: Silence of the predictions that counts as a risk that is not known.
        alarms: Alarms so far; one that flickers counts anew each time it rises.
    """

    def __init__(
        self, *, shadow: bool, response: Response, slow: float, prediction_timeout_s: float
    ) -> None:
        """Nothing has happened yet."""
        self.shadow, self.response, self.slow = shadow, response, slow
        self.prediction_timeout_s = prediction_timeout_s
        self.alarms = 0
        self._episode_id = ""
        self._alarm = False  # that of the last prediction
        self._unknown = ""  # why the risk is not known; empty: it is
        self._latched = ""  # why; empty: nothing has latched
        self._latched_state = GateState.PASS
        self._fault = ""
        self._over = ""  # episode that was stopped: it is not resumed
        self._paused = self._taken_over = False
        self._heard_s = 0.0

    @property
    def intervention(self) -> bool:
        """Whether a person moves the arm."""
        return self._taken_over

    def begin(self, episode_id: str, now_s: float) -> None:
        """An episode begins, or none is running any more (empty).

        Args:
            episode_id: Its id.
            now_s: The time in s, of a clock that never jumps.
        """
        self._episode_id = episode_id
        self._alarm, self._heard_s = False, now_s
        self._unknown = "no prediction of this episode yet"
        if self.shadow:
            self._latched = ""

    def judge(self, episode_id: str, *, alarm: bool, risk: float, now_s: float) -> bool:
        """Take in a prediction.

        Args:
            episode_id: Of which episode.
            alarm: Whether it is an alarm.
            risk: In [0, 1]; anything else, NaN too, is a risk that is not known.
            now_s: The time in s, of the same clock.

        Returns:
            Whether it was of the running episode; another one's is not heard.
        """
        if not episode_id or episode_id != self._episode_id:
            return False
        self._heard_s = now_s
        self._unknown = "" if 0 <= risk <= 1 else f"the risk is {risk:g}: it is not known"
        if alarm and not self._alarm:
            self.alarms += 1
        self._alarm = alarm
        if alarm and not self._latched:
            said = "not known" if self._unknown else f"{risk:.2f}"
            self._latched = f"alarm in '{episode_id}', risk {said}"
            self._latched_state = self.response.state
        return True

    def fail(self, why: str) -> None:
        """The arm has a fault: it holds until a reset."""
        self._fault = self._fault or why

    def reset(self, now_s: float) -> tuple[bool, str]:
        """Let actions pass again, as a person asks for.

        Returns:
            Whether that was possible, and what a person should read.
        """
        if not (self._latched or self._fault):
            return True, "nothing was latched"
        if self._latched and (self._alarm or self._blind(now_s)) and not self.shadow:
            why = self._blind(now_s) or "the alarm still stands"
            return False, f"{why}; end the episode, or take over, before a reset"
        was = self._fault or self._latched
        if self._latched and self._latched_state == GateState.STOP and not self.shadow:
            self._over = self._episode_id
        self._latched = self._fault = ""
        rest = f"; '{self._over}' is not resumed, begin another" if self._over else ""
        return True, f"reset: {was}{rest}"

    def pause(self, on: bool) -> None:
        """Hold while a person wants it."""
        self._paused = on

    def take_over(self, on: bool) -> None:
        """Let a person move the arm."""
        self._taken_over = on

    def decide(self, now_s: float) -> Decision:
        """Say what becomes of the actions at this moment."""
        would, why, latched = self._alarmed(now_s)
        state = GateState.PASS if self.shadow else would
        if self._fault:
            state = would = max(state, GateState.HOLD)
            why, latched = self._fault, True
        if self._paused:
            state, why = GateState.PAUSED, "paused by a person"
        if self._taken_over:
            state, why = GateState.TAKEOVER, "a person has taken over"
        scale = {GateState.PASS: 1.0, GateState.SLOW: self.slow}.get(state, 0.0)
        return Decision(state, max(would, state), scale, why, latched)

    def _alarmed(self, now_s: float) -> tuple[GateState, str, bool]:
        if self._latched:
            return self._latched_state, self._latched, True
        if self._over and self._over == self._episode_id:
            return GateState.STOP, f"'{self._over}' was stopped; begin another episode", False
        if self._episode_id and (why := self._blind(now_s)):
            return min(self.response.state, GateState.HOLD), why, False
        return GateState.PASS, "", False

    def _blind(self, now_s: float) -> str:
        """Why the risk is not known; empty: it is, or no episode is running."""
        silent_s = now_s - self._heard_s
        if self._episode_id and silent_s > self.prediction_timeout_s:
            return f"no prediction for {silent_s:.1f} s: is a predictor with a model running?"
        return self._unknown if self._episode_id else ""
