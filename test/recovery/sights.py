"""Steps made up for tests: an arm that stands where it is told to."""

import numpy as np

from salus_ros.core.failures import FailureType
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.guards import Guards
from salus_ros.recovery.sight import Sight
from salus_ros.recovery.supervisor import Rule, Supervisor
from salus_ros.recovery.triggers import AlarmTrigger
from salus_ros.recovery.watch import Forecast

QUIET = Forecast(False, 0.1, FailureType.NONE)
ALARM = Forecast(True, 0.9, FailureType.TIMEOUT)
LIMITS = Guards(step_m=0.02, leash_m=0.02)
POLICY_ACTION = np.array([0.5, 0, 0, 0, 0, 0, 1], np.float32)
STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
OPEN, CLOSED = 0.04, 0.0


def tool_at(*place):
    pose = np.diag([1.0, -1.0, -1.0, 1.0])
    pose[:3, 3] = place
    return pose


def sight(step=0, place=(0.5, 0.0, 0.2), fingers=OPEN, last=None, **given):
    """A step of an arm at a place; its joints differ from step to step, as measured ones do."""
    values = {
        "steps_left": 200 - step,
        "task": "put the red cube in the bin",
        "joints": np.full(7, 0.1) + 1e-6 * step,
        "fingers": np.full(2, fingers),
        "tool": tool_at(*place),
        "last": last,
        "look": dict,
    }
    return Sight(step=step, **(values | given))


class Scripted(Behaviour):
    """Gives what a list says, step by step: an action, None, or an error to raise."""

    name = "test"

    def __init__(self, answers=(), refuses="", **given):
        self.answers, self.refuses, self.begun = answers, refuses, []
        for name, value in given.items():
            setattr(self, name, value)

    def refusal(self, sight):
        return self.refuses

    def begin(self, sight, seed):
        self.begun.append(seed)
        self.left = list(self.answers)

    def act(self, sight):
        answer = self.left.pop(0) if self.left else STILL
        if isinstance(answer, Exception):
            raise answer
        return answer


def supervised(behaviour, limits=LIMITS, **given):
    return Supervisor([Rule(behaviour, AlarmTrigger(), "alarm")], limits, seed=7, **given)


class Follower:
    """An arm that goes where it is sent, and what a supervisor makes of it."""

    def __init__(self, supervisor):
        self.supervisor, self.step = supervisor, 0
        self.place, self.last = np.array([0.5, 0.0, 0.2]), None

    def go(self, forecasts, moved=None, **given):
        """Do a step for each forecast; the arm goes where it is sent, or is `moved`."""
        commands = []
        for forecast in forecasts:
            now = sight(self.step, self.place, last=self.last, **given)
            command = self.supervisor.step(now, forecast, POLICY_ACTION)
            commands.append(command)
            self.last = POLICY_ACTION if command.action is None else command.action
            self.place = self.place + (0.02 * self.last[:3] if moved is None else moved)
            self.step += 1
        return commands
