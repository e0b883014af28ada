"""The action bridge with a controller that moves joints, and with all that can go wrong."""

import math
import time

import numpy as np
import pytest
import yaml
from fake_controller import FakeController
from rclpy.parameter import Parameter
from std_msgs.msg import Bool, Float64MultiArray
from std_srvs.srv import SetBool, Trigger

from salus_msgs.msg import EpisodeStatus, FailureHorizons, GateStatus, PolicyAction
from salus_ros.control.gate import GateState
from salus_ros.core.errors import ConfigError
from salus_ros.nodes import convert
from salus_ros.nodes.action_bridge import ActionBridgeNode
from salus_ros.nodes.diagnostics import ERROR, OK, WARN
from salus_ros.nodes.parameters import ActionBridgeParameters

JOINTS = ("a", "b")
LIMITS = {"lower": -1.0, "upper": 1.0, "velocity": 2.0, "acceleration": 20.0, "home": 0.0}
# Patient, since a test may have to wait for its processor.
PROFILE = {
    "cameras": ["top"],
    "rate_hz": 10,
    "joints": [LIMITS | {"name": name} for name in JOINTS],
    "watchdog_s": 1.0,
    "joint_timeout_s": 2.0,
    "tracking": 0.3,
    "tracking_s": 0.5,
}
TWIST = {
    "frame": "base",
    "linear": 0.5,
    "angular": 1.0,
    "linear_limit": 1.0,
    "angular_limit": 1.0,
    "linear_acceleration": 10.0,
    "angular_acceleration": 10.0,
}
PLAY_S = 0.05
GRIPPER = {"topic": "fingers", "open": 0.04, "closed": 0.0, "binary": True}


class Lab:
    """An arm with its controller, and a policy and a predictor that the test plays."""

    def __init__(self, graph, folder, kind="forward_position", profile=None, **parameters):
        self.graph, self.kind = graph, kind
        command = {"type": kind, "topic": "arm/commands", "rate_hz": 100}
        given = PROFILE | {"command": command} | (profile or {})
        if kind == "twist":
            given |= {"twist": TWIST, "gripper": GRIPPER}
        path = folder / "mine.yaml"
        path.write_text(yaml.safe_dump(given))
        self.controller = None
        self.connect([0.0, 0.0])
        self.node = graph.add(
            ActionBridgeNode,
            robot=str(path),
            **({"gate_mode": "enforce", "prediction_timeout_s": 5.0} | parameters),
        )
        self.action = graph.talk(PolicyAction, "action")
        self.horizons = graph.talk(FailureHorizons, "failure_horizons")
        self.episode = graph.talk(EpisodeStatus, "episode", status=True)
        self.status = graph.listen(GateStatus, "gate_status", status=True)
        self.intervention = graph.listen(Bool, "intervention", status=True)
        self.fingers = graph.listen(Float64MultiArray, "fingers") if kind == "twist" else []
        self.step, self.stamp_ns = 0, 1_000_000_000
        self.running, self.played_s = "", 0.0

    def connect(self, at):
        self.controller = FakeController(
            self.kind, "arm/commands", JOINTS, at, namespace=self.graph.namespace
        )
        self.graph.executor.add_node(self.controller)

    def disconnect(self):
        self.graph.executor.remove_node(self.controller)
        self.controller.destroy_node()

    def begin(self, episode="e1", phase=EpisodeStatus.PHASE_RUNNING):
        self.episode.publish(EpisodeStatus(episode_id=episode, phase=phase))
        self.running = episode if phase == EpisodeStatus.PHASE_RUNNING else ""
        self.graph.until(lambda: self.node._arm.episode_id == self.running)
        return self

    def act(self, *action, episode=None):
        self.step += 1
        self.stamp_ns += 100_000_000
        self.action.publish(
            PolicyAction(
                header=convert.header(self.stamp_ns),
                episode_id=self.running if episode is None else episode,
                step=self.step,
                action=np.float32(action),
            )
        )

    def predict(self, risk=0.1, alarm=False, episode=None):
        episode = self.running if episode is None else episode
        self.horizons.publish(FailureHorizons(episode_id=episode, risk=risk, alarm=alarm))

    def play(self, condition, *action, risk=0.1, alarm=False):
        """Act and predict, over and over, until something has come about."""

        def done():
            if condition():
                return True
            if time.monotonic() > self.played_s + PLAY_S:
                self.played_s = time.monotonic()
                if action:
                    self.act(*action)
                self.predict(risk, alarm)
            return False

        self.graph.until(done)

    def at(self, *positions):
        return lambda: np.allclose(self.controller.positions, positions, atol=1e-3)

    def says(self, text, level=ERROR):
        def said():
            report = self.node._report()
            return report.level == level and text in report.message

        return said

    def ask(self, service, on=None):
        kind = Trigger if on is None else SetBool
        request = Trigger.Request() if on is None else SetBool.Request(data=on)
        return self.graph.call(kind, f"action_bridge/{service}", request)

    def state(self):
        status = self.status[-1]
        names = (GateState(value).name.lower() for value in (status.state, status.would))
        return (*names, status.latched)


@pytest.mark.parametrize("kind", ["forward_position", "joint_trajectory"])
def test_the_policy_moves_the_arm_and_an_alarm_holds_it_until_a_reset(graph, tmp_path, kind):
    lab = Lab(graph, tmp_path, kind).begin()
    lab.play(lab.says("no action for", WARN))
    lab.play(lab.at(0.5, -0.5), 0.5, -0.5)
    assert lab.node._report().level == OK
    lab.play(lambda: lab.controller.positions[0] < 0.4, -0.9, 0.9)
    lab.play(lambda: lab.status and lab.state() == ("hold", "hold", True), -0.9, 0.9, alarm=True)
    lab.play(lambda: not lab.node._gate._alarm, -0.9, 0.9)  # the alarm is over, the latch is not
    lab.play(lambda: lab.node._arm.at_rest, -0.9, 0.9)
    assert abs(lab.controller.commands[-1][0]) < 0.9
    assert lab.says("alarm in 'e1', risk 0.10; reset with ~/reset")()
    assert lab.ask("reset").success
    lab.play(lab.at(-0.9, 0.9), -0.9, 0.9)
    assert lab.state() == ("pass", "pass", False)


def test_a_hand_is_moved_by_twists_and_holds_with_what_it_grasped(graph, tmp_path):
    lab = Lab(graph, tmp_path, "twist").begin()
    lab.play(lambda: lab.controller.positions[0] > 0.05, 1.0, 0, 0, 0, 0, 0, -1.0)
    lab.play(lambda: lab.node._arm.at_rest, 1.0, 0, 0, 0, 0, 0, 1.0, alarm=True)
    assert lab.fingers[-1].data[0] == 0.0
    graph.until(lambda: not lab.controller.commands[-1].any())


def test_the_shadow_is_the_default_and_only_says_what_it_would_have_done(graph, tmp_path):
    lab = Lab(graph, tmp_path, gate_mode="shadow").begin()
    lab.play(lambda: lab.status and lab.state()[1] == "hold", 0.5, 0.5, alarm=True)
    lab.play(lab.at(0.5, 0.5), 0.5, 0.5, alarm=True)
    assert lab.state() == ("pass", "hold", True)
    assert lab.says("shadow: the gate would hold: alarm in 'e1'", WARN)()
    assert ActionBridgeParameters().gate_mode == "shadow"


def test_a_risk_that_is_not_known_holds_and_a_reset_is_refused_while_an_alarm_stands(
    graph, tmp_path
):
    lab = Lab(graph, tmp_path).begin()
    lab.play(lambda: lab.controller.positions[0] > 0.05, 0.9, 0.9)
    lab.play(lambda: lab.node._arm.at_rest, 0.9, 0.9, risk=math.nan)
    assert lab.state() == ("hold", "hold", False)
    lab.play(lab.at(0.9, 0.9), 0.9, 0.9)
    lab.play(lambda: lab.node._gate._alarm, 0.0, 0.0, risk=math.nan, alarm=True)
    answer = lab.ask("reset")
    assert not answer.success
    assert "the risk is nan" in answer.message
    assert "before a reset" in answer.message


def test_predictions_of_another_episode_move_no_gate(graph, tmp_path):
    lab = Lab(graph, tmp_path).begin()
    lab.predict(alarm=True, episode="e0")
    graph.until(lambda: lab.node._others == 1)
    lab.play(lab.at(0.5, 0.5), 0.5, 0.5)
    assert lab.node._gate.alarms == 0


def test_a_controller_that_is_gone_is_said_and_met_where_it_comes_back(graph, tmp_path):
    lab = Lab(graph, tmp_path).begin()
    lab.play(lambda: lab.controller.positions[0] > 0.05, 0.9, 0.9)
    lab.disconnect()
    lab.play(lab.says("nobody listens to arm/commands"), 0.9, 0.9)
    # What it said last has been read.
    lab.play(lambda: time.monotonic() - lab.node._arm._heard_s.min() > 0.3, 0.9, 0.9)
    lab.connect([-0.7, -0.7])
    lab.play(lambda: len(lab.controller.commands) > 0, 0.9, 0.9)
    assert abs(lab.controller.commands[0][0] + 0.7) < 0.1
    lab.play(lab.at(0.9, 0.9), 0.9, 0.9)


def test_a_stuck_arm_is_a_fault_even_in_the_shadow(graph, tmp_path):
    lab = Lab(graph, tmp_path, gate_mode="shadow").begin()
    lab.controller.stuck = True
    lab.play(lambda: lab.status and lab.state()[0] == "hold", 0.9, 0.9)
    assert "does not follow" in lab.status[-1].reason
    assert lab.says("behind its command; reset with ~/reset")()


def test_the_watchdog_and_senseless_actions_hold(graph, tmp_path):
    lab = Lab(graph, tmp_path).begin()
    lab.play(lambda: lab.controller.positions[0] > 0.05, 1.5, 0.9)
    assert lab.node._arm.clipped
    for action in ((math.nan, 0.9), (0.9,), (math.inf, 0.0), ()):
        lab.play(lambda: not lab.node._arm.holding, 0.9, 0.9)
        lab.act(*action)
        graph.until(lambda: lab.node._arm.holding.startswith("an action "))
    assert lab.says("action: an action has 0 values; the robot takes 2")()
    lab.play(lambda: not lab.node._arm.holding, 0.9, 0.9)
    lab.play(lambda: lab.node._arm.watchdogs == 1)
    lab.play(lab.says("the arm holds: watchdog: no action for"))
    lab.play(lab.at(-0.9, -0.9), -0.9, -0.9)
    assert np.isfinite(lab.controller.commands).all()
    assert np.abs(lab.controller.commands).max() <= 1.0


def test_actions_of_an_old_episode_and_of_none_are_not_followed(graph, tmp_path):
    lab = Lab(graph, tmp_path).begin("e0").begin("e1")
    lab.act(0.9, 0.9, episode="e0")
    graph.until(lab.says("actions of 'e0' come, and 'e1' is running: not followed", WARN))
    lab.episode.publish(EpisodeStatus(episode_id="e0", phase=EpisodeStatus.PHASE_ENDED))
    lab.play(lab.at(0.5, 0.5), 0.5, 0.5)  # an older one that is judged anew ends nothing
    lab.begin("e1", EpisodeStatus.PHASE_ENDED)
    lab.act(-0.9, -0.9, episode="e1")
    graph.until(lab.says("actions of 'e1' come, and no episode is running", WARN))
    assert lab.at(0.5, 0.5)()


def test_a_jump_in_time_is_no_new_episode_and_one_wrong_stamp_no_jump(graph, tmp_path):
    lab = Lab(graph, tmp_path).begin()
    lab.play(lab.at(0.5, 0.5), 0.5, 0.5)
    before_ns = lab.stamp_ns
    lab.stamp_ns += 3_600_000_000_000
    lab.act(-0.9, -0.9)
    lab.stamp_ns = before_ns
    lab.play(lambda: lab.node._progress.refused == 1, 0.5, 0.5)
    assert lab.at(0.5, 0.5)()
    lab.stamp_ns += 3_600_000_000_000
    lab.play(lab.at(-0.5, -0.5), -0.5, -0.5)
    assert "time jumped ahead by 3600" in lab.node._progress.last_jump


def test_joints_of_the_profile_that_are_not_there_are_named(graph, tmp_path):
    joints = [LIMITS | {"name": name} for name in ("a", "elbow")]
    lab = Lab(graph, tmp_path, profile={"joints": joints}).begin()
    lab.play(lab.says("joint_states has no elbow; it has a, b: correct the profile"), 0.5, 0.5)
    assert lab.controller.commands == []


def test_pause_and_takeover_are_a_persons(graph, tmp_path):
    lab = Lab(graph, tmp_path, gate_mode="shadow").begin()
    graph.until(lambda: [message.data for message in lab.intervention] == [False])
    lab.play(lambda: lab.controller.positions[0] > 0.05, 0.9, 0.9)
    assert lab.ask("pause", True).success
    lab.play(lambda: lab.node._arm.at_rest, 0.9, 0.9)
    assert lab.state()[0] == "paused"
    answer = lab.ask("takeover", True)
    assert answer.message == "nothing is sent to arm/commands: it is yours"
    lab.play(lambda: lab.intervention[-1].data, 0.9, 0.9)
    count = len(lab.controller.commands)
    lab.play(lab.says("a person has taken over", WARN), 0.9, 0.9)
    lab.play(lambda: len(lab.status) > 2, 0.9, 0.9)
    assert len(lab.controller.commands) <= count + 2  # those that were on their way
    lab.ask("takeover", False)
    assert lab.ask("pause", False).success
    lab.play(lab.at(0.9, 0.9), 0.9, 0.9)
    assert not lab.intervention[-1].data
    lab.begin("e1", EpisodeStatus.PHASE_ENDED)
    assert lab.ask("home").success
    graph.until(lab.at(0.0, 0.0))


def test_parameters_change_while_it_runs(graph, tmp_path):
    lab = Lab(graph, tmp_path, gate_mode="shadow").begin()
    (refused,) = lab.node.set_parameters([Parameter("on_alarm", value="explode")])
    assert "allowed is one of slow, hold, stop" in refused.reason
    values = {"gate_mode": "enforce", "on_alarm": "slow", "slow_factor": 0.1}
    lab.node.set_parameters([Parameter(name, value=value) for name, value in values.items()])
    lab.play(lambda: lab.status and lab.state()[0] == "slow", 0.9, 0.9, alarm=True)
    assert lab.node._gate.decide(0.0).scale == 0.1


def test_it_ends_with_the_arm_at_rest(graph, tmp_path):
    lab = Lab(graph, tmp_path).begin()
    lab.play(lambda: lab.controller.positions[0] > 0.05, 0.9, 0.9)
    arm = lab.node._arm
    assert not arm.at_rest
    graph.remove(lab.node)
    assert arm.at_rest


def test_a_robot_that_is_not_there_is_refused(graph, tmp_path):
    with pytest.raises(ConfigError, match="cannot read the robot profile"):
        graph.add(ActionBridgeNode, robot=str(tmp_path / "none.yaml"))
    with pytest.raises(ConfigError, match="there is no robot 'r2d2'; those that ship are"):
        graph.add(ActionBridgeNode, robot="r2d2")
