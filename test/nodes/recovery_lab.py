"""A recovery node, and world, policy and predictor in the test's hands."""

import time

import numpy as np
from sensor_msgs.msg import JointState

from salus_msgs.msg import (
    EpisodeStatus,
    FailureHorizons,
    PolicyAction,
    RecoveryPlan,
    RecoveryStatus,
)
from salus_ros.core import schema
from salus_ros.core.failures import FailureType
from salus_ros.nodes import convert
from salus_ros.nodes.recovery import RecoveryNode
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.catalogue import BEHAVIOURS
from salus_ros.worlds.mujoco.arm import HOME
from salus_ros.worlds.panda import FINGER_JOINTS, JOINTS

PERIOD_NS = 33_333_333
TASK = "put the red cube in the bin"
POLICY_ACTION = np.array([0.1, 0, 0, 0, 0, 0, 1], np.float32)
STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
TURN = np.array([0, 0, 0, 0, 0, 0.3, 1], np.float32)
POLICY, BEHAVIOUR, HELD = range(3)


class Listed(Behaviour):
    """Gives what a list says, step by step: an action, None, or an error; then it stands still."""

    name = "test"

    def __init__(self, answers=(), plan=None):
        self.answers, self.plan, self.begun = answers, plan, []

    def begin(self, sight, seed):
        self.begun.append((sight.step, seed))
        self.left = list(self.answers)

    def propose(self, sight):
        return self.plan

    def act(self, sight):
        answer = self.left.pop(0) if self.left else STILL
        if isinstance(answer, Exception):
            raise answer
        return answer


class Lab:
    """A recovery node with `test`, a behaviour of a list, beside those that ship."""

    def __init__(self, graph, monkeypatch, *answers, arm="test@alarm", plan=None, **parameters):
        self.behaviour = Listed(answers, plan)
        monkeypatch.setitem(BEHAVIOURS, "test", lambda *_: self.behaviour)
        self.graph = graph
        self.actions = graph.listen(PolicyAction, "action")
        self.status = graph.listen(RecoveryStatus, "recovery_status", status=True)
        self.plans = graph.listen(RecoveryPlan, "recovery_plan", status=True)
        given = {"arm": arm, "reliable_sensors": True, "input_timeout_s": 0.2}
        self.node = graph.add(RecoveryNode, **(given | parameters))
        self.joints = graph.talk(JointState, "joint_states")
        self.policy = graph.talk(PolicyAction, "policy_action")
        self.horizons = graph.talk(FailureHorizons, "failure_horizons")
        self.episode = graph.talk(EpisodeStatus, "episode", status=True)
        for publisher in (self.node._statuses, self.node._plans, self.node._actions):
            if publisher is not None:
                graph.until(lambda one=publisher: one.get_subscription_count() > 0)
        graph.until(lambda: self.status, "the first status")
        self.name, self.step, self.tick = "e1", -1, 0

    @property
    def steps(self):
        return self.node._steps

    @property
    def actor(self):
        return self.status[-1].actor

    def begin(self, name="e1"):
        self.name, self.step = name, -1
        return self

    def announce(self, *, joints=True):
        """The world is at its next step."""
        self.step, self.tick = self.step + 1, self.tick + 1
        if joints:
            self.tell_joints()
        self.tell_episode()

    def tell_episode(self, phase=EpisodeStatus.PHASE_RUNNING):
        place = {"header": self.head, "episode_id": self.name, "step": self.step}
        self.episode.publish(EpisodeStatus(**place, phase=phase, task=TASK, seed=3, max_steps=400))

    def tell_joints(self):
        positions = np.array([*HOME, 0.04, 0.04])
        positions[6] += 1e-6 * self.tick  # as measured: never the same twice
        names = (*JOINTS, *FINGER_JOINTS)
        self.joints.publish(convert.joint_state(names, positions, self.head))

    @property
    def head(self):
        return convert.header(self.tick * PERIOD_NS, "front")

    def answer(self, action=POLICY_ACTION, hand_backs=None):
        """What the policy does at the step."""
        place = {"header": self.head, "episode_id": self.name, "step": self.step}
        given = self.steps.hand_backs if hand_backs is None else hand_backs
        message = PolicyAction(**place, policy_id="tiny", hand_backs=given)
        message.action = np.float32(action)
        self.policy.publish(message)

    def predict(self, alarm=False, risk=0.1, **fields):
        """What the predictor says of the step."""
        place = {"header": self.head, "episode_id": self.name, "step": self.step}
        values = {"failure_types": [1, 2, 3, 4], "model_id": "m1"}
        values |= {"episode_failure": float("nan"), "no_progress": float("nan")}
        message = FailureHorizons(**place, **(values | {"risk": risk, "alarm": alarm} | fields))
        message.horizons = np.float32(schema.HORIZONS_S)
        message.probability = np.full(16, risk, np.float32)
        message.probability[int(FailureType.COLLISION) - 1] = risk + 0.01
        self.horizons.publish(message)

    def turn(self, alarm=False, risk=0.1, *, joints=True, **fields):
        """One whole step; the action that was done at it."""
        before = len(self.actions)
        self.announce(joints=joints)
        there = (self.name, self.step)
        self.graph.until(lambda: (self.steps.episode_id, self.steps._status.step) == there)
        if self.steps.supervisor.actor == "the policy":
            self.answer()
            self.predict(alarm, risk, **fields)
            backs = self.steps.hand_backs
            self.graph.until(
                lambda: len(self.actions) > before or self.steps.hand_backs > backs,
                f"an action of step {self.step}",
            )
            if len(self.actions) == before:
                self.answer()  # the policy plans anew
                self.predict()
        self.graph.until(lambda: len(self.actions) > before, f"an action of step {self.step}")
        action = self.actions[-1]
        assert (action.episode_id, action.step) == (self.name, self.step)
        assert action.header.stamp == self.head.stamp
        return action

    def until_held(self, reason, turns=60, **given):
        """Go on until the arm is held; the steps that took."""
        count = 0
        while not self.steps.supervisor.reason and count < turns:
            self.turn(alarm=True, risk=0.9, **given)
            count += 1
        self.graph.until(lambda: self.actor == HELD, "the status of the hold")
        assert reason in self.status[-1].reason
        return count

    def says(self, text, level):
        report = self.node._report()
        return report.level == level and text in report.message

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.graph.executor.spin_once(timeout_sec=0.02)
