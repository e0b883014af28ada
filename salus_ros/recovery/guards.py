"""What a behaviour is allowed: the checks that hold for all of them."""

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from salus_ros.core.errors import ConfigError
from salus_ros.recovery.sight import GRIPPER, Action, Array, Sight
from salus_ros.worlds.panda import ACTION_DIM

SLACK_M = 1e-3
"""Rounding and noise beside the leash: a tool that is stopped stays a whole leash behind."""


SPEED = 0.6
"""Share of the largest command that a behaviour is allowed."""


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of interventions.

    Attributes:
        most: Interventions in an episode.
        cooldown_steps: Between the end of one and the next.
        longest_steps: An intervention that is not over by then never ends.
        speed: Share of the largest command.
        step_m: Translation of the tool in one step at the largest command.
        leash_m: How far the tool may be from where it was sent.
        leash_steps: For so many steps in a row it must be further, which noise is not.
        turn_steps: So long after an intervention has begun it may be further: an arm that lags
            still goes where the policy had sent it.
        release_m: Below this height of the tool anything may be let go.
        most_age_s: Of the joints.
        frozen_steps: Joints that repeat to the last bit for so long have stopped, while the tool
            is sent somewhere.
        flicker_rises: An alarm that rises so often within `flicker_steps` says nothing.
        flicker_steps: See `flicker_rises`.
    """

    step_m: float
    leash_m: float
    most: int = 2
    cooldown_steps: int = 30
    longest_steps: int = 300
    speed: float = SPEED
    leash_steps: int = 3
    turn_steps: int = 10
    release_m: float = 0.08
    most_age_s: float = 0.1
    frozen_steps: int = 6
    flicker_rises: int = 4
    flicker_steps: int = 30

    def __post_init__(self) -> None:
        if not 0.0 < self.speed <= 1.0:
            raise ConfigError(f"speed is {self.speed}; allowed is a share above 0, up to 1")


def slow_down(action: Action, speed: float) -> Action:
    """The action with no motion above a share of the largest command, in the same direction."""
    slow = np.array(action, np.float32)
    largest = float(np.abs(slow[:GRIPPER]).max())
    if largest > speed:
        slow[:GRIPPER] *= speed / largest
    return slow


class Guard:
    """Watches over one episode's interventions; every answer is a reason, or empty."""

    def __init__(self, limits: Guards) -> None:
        self._limits = limits
        self._rises: deque[int] = deque(maxlen=limits.flicker_rises)
        self._alarm = False
        self.reset()

    def reset(self) -> None:
        """No intervention is going on."""
        self._begun, self._astray = -1, 0
        self._target: Array | None = None
        self._joints: Array | None = None
        self._same = 0
        self._sent = False

    def begin(self, sight: Sight) -> None:
        """One begins."""
        self.reset()
        self._begun = sight.step

    def flickers(self, alarm: bool, step: int) -> bool:
        """Take in the alarm of a step; whether it comes and goes too often."""
        if alarm and not self._alarm:
            self._rises.append(step)
        self._alarm = alarm
        limits = self._limits
        often = len(self._rises) == limits.flicker_rises
        return often and step - self._rises[0] <= limits.flicker_steps

    def refusal(self, least_steps: int, sight: Sight, done: int, last_end: int) -> str:
        """Why no behaviour may start now."""
        limits = self._limits
        if done >= limits.most:
            return f"{limits.most} interventions are enough"
        if last_end >= 0 and sight.step - last_end < limits.cooldown_steps:
            return f"less than {limits.cooldown_steps} steps after the last one"
        if sight.steps_left < least_steps:
            return f"it takes {least_steps} steps, fewer are left"
        return self._blind(sight)

    def doubt(self, sight: Sight) -> str:
        """Why a behaviour that has the arm must not go on."""
        limits = self._limits
        if blind := self._blind(sight):
            return blind
        if sight.step - self._begun >= limits.longest_steps:
            return f"it did not end within {limits.longest_steps} steps"
        same = self._joints is not None and np.array_equal(self._joints, sight.joints)
        self._same = self._same + 1 if same and self._sent else 0
        self._joints = sight.joints
        if self._same >= limits.frozen_steps:
            return f"the joints have not changed for {self._same} steps"
        if self._target is not None:
            error = float(np.abs(sight.position - self._target).max())
            turned = sight.step - self._begun > limits.turn_steps
            far = turned and error > limits.leash_m + SLACK_M
            self._astray = self._astray + 1 if far else 0
            if self._astray >= limits.leash_steps:
                return (
                    f"the tool is {100 * error:.1f} cm from where it was sent, allowed are "
                    f"{100 * limits.leash_m:.1f}"
                )
        return ""

    def fault(self, action: object, sight: Sight, *, releases: bool) -> str:
        """What is wrong with an action; it is not done then."""
        try:
            values = np.asarray(action, np.float64)
        except (TypeError, ValueError):
            values = np.full(0, np.nan)
        if values.shape != (ACTION_DIM,) or not np.isfinite(values).all():
            return f"it commands {action!s:.120}; an action is {ACTION_DIM} finite numbers"
        if np.abs(values).max() > 1.0:
            return f"it commands {values.round(2).tolist()}; allowed is -1 to 1"
        opens = bool(values[GRIPPER] > 0)
        high = float(sight.position[2]) > self._limits.release_m
        if opens and sight.holds and high and not releases:
            return "it would let go of what it holds above the table"
        return ""

    def slowed(self, action: Action, sight: Sight) -> Action:
        """The action at the speed that is allowed; where it sends the tool is remembered."""
        limits = self._limits
        slow = slow_down(action, limits.speed)
        # As the arm's own controller has it: a target that runs no further ahead than its leash.
        before = sight.position if self._target is None else self._target
        wanted = before + limits.step_m * slow[:3] - sight.position
        self._target = sight.position + np.clip(wanted, -limits.leash_m, limits.leash_m)
        self._sent = bool(np.abs(slow[:GRIPPER]).max() > 0.0)
        return slow

    def _blind(self, sight: Sight) -> str:
        known = np.concatenate([sight.joints, sight.fingers, sight.tool.ravel()])
        if not np.isfinite(known).all():
            return "the joints are not finite"
        if not sight.age_s <= self._limits.most_age_s or math.isnan(sight.age_s):
            return f"the joints are {sight.age_s:.2f} s old"
        return ""
