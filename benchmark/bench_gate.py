"""Latency of the gate: from an alarm to the first command that holds the arm.

Three processes on real DDS: this one plays policy, predictor and controller, at the rates of the
UR5e's profile. It sends an alarm at a random moment of a command's period while the arm moves,
and takes the time until a command is the same as the one before it. For that, the arm may stop
within one command; a real one brakes from that command on, in velocity / acceleration. A second
process runs the action bridge, a third sends every message back: what ROS 2 alone costs.

    python benchmark/bench_gate.py [--count 300] [--json]
"""

import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from against_echo import EchoDriver, beside_echo, main, quantiles
from sensor_msgs.msg import JointState
from std_srvs.srv import Trigger
from trajectory_msgs.msg import JointTrajectory

from salus_msgs.msg import EpisodeStatus, FailureHorizons, PolicyAction
from salus_ros.control.profile import RobotProfile
from salus_ros.nodes import convert
from salus_ros.nodes.qos import status_qos, stream_qos

ROBOT = Path(__file__).parent.parent / "config" / "robots" / "ur5e.yaml"
TIMEOUT_S = 60.0
EPISODE = "benchmark"
AT_ONCE = 1e6
"""Acceleration in rad/s^2 with which one command stops a joint, so that it can be told."""


class Driver(EchoDriver):
    """Policy, predictor and controller of one arm, whose first joint goes to and fro."""

    def __init__(self, namespace: str, profile: RobotProfile) -> None:
        self.profile = profile
        super().__init__(namespace, TIMEOUT_S)
        self.positions = np.zeros(len(profile.joints))
        self.commands: list[tuple[float, float]] = []  # time in s, position of the first joint
        self.step, self.goal = 0, 5.0
        qos = stream_qos()
        make = self.node.create_publisher
        self.action = make(PolicyAction, "action", qos)
        self.horizons = make(FailureHorizons, "failure_horizons", qos)
        self.joints = make(JointState, "joint_states", qos)
        self.episode = make(EpisodeStatus, "episode", status_qos())
        listen = self.node.create_subscription
        listen(JointTrajectory, profile.command.topic, self._on_command, qos)
        self.reset = self.node.create_client(Trigger, "action_bridge/reset")
        self.node.create_timer(1 / profile.rate_hz, self._act)
        self.node.create_timer(1 / profile.command.rate_hz, self._tell_joints)

    def _on_command(self, message: JointTrajectory) -> None:
        self.positions = np.array(message.points[0].positions)
        self.commands.append((time.perf_counter(), float(self.positions[0])))

    def _tell_joints(self) -> None:
        names = list(self.profile.joint_names)
        self.joints.publish(JointState(name=names, position=self.positions.tolist()))

    def _act(self) -> None:
        self.step += 1
        target = np.zeros(len(self.positions), np.float32)
        target[0] = self.goal
        header = convert.header(self.step * 33_000_000 + 1)
        common = {"header": header, "episode_id": EPISODE, "step": self.step}
        self.action.publish(PolicyAction(**common, action=target))
        self.horizons.publish(FailureHorizons(**common, risk=0.1))

    def measure_alarm(self, wait_s: float) -> float:
        """Time in ms from an alarm, `wait_s` into the motion, to the first command that holds."""
        self.goal = -5.0 if self.positions[0] > 0 else 5.0
        self.commands.clear()
        self.until(lambda: len(self.commands) > 5 and self.moving(), "motion")
        self.pause(wait_s)
        sent_s = time.perf_counter()
        self.horizons.publish(FailureHorizons(episode_id=EPISODE, risk=0.9, alarm=True))
        self.until(lambda: not self.moving(), "a command that holds")
        return (self.commands[-1][0] - sent_s) * 1e3

    def moving(self) -> bool:
        """Whether the newest command differs from the one before."""
        return self.commands[-1][1] != self.commands[-2][1]

    def release(self) -> None:
        """Reset the gate."""
        while True:
            self.until(self.reset.service_is_ready, "the service reset")
            future = self.reset.call_async(Trigger.Request())
            self.until(future.done, "the answer of reset")
            if future.result().success:
                return


def save_profile(folder: Path) -> Path:
    """Write the robot's profile, with joints that stop at once."""
    given = yaml.safe_load(ROBOT.read_text())
    for joint in given["joints"]:
        joint["acceleration"] = AT_ONCE
    path = folder / "robot.yaml"
    path.write_text(yaml.safe_dump(given))
    return path


def run(count: int) -> dict[str, Any]:
    """Start the nodes, measure, and return the figures."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(count, save_profile(Path(folder)))


def measure(count: int, robot: Path) -> dict[str, Any]:
    """The same, of the robot of a profile."""
    profile = RobotProfile.load(robot)
    rng = np.random.default_rng(0)
    gate_ms, echo_ms = [], []
    given = {"robot": str(robot), "gate_mode": "enforce"}
    with beside_echo(__file__, "salus_ros.nodes.action_bridge", given) as namespace:
        driver = Driver(namespace, profile)
        driver.until(driver.reset.service_is_ready, "the action bridge")
        driver.until(lambda: driver.ping.get_subscription_count() > 0, "the echo")
        driver.episode.publish(
            EpisodeStatus(episode_id=EPISODE, phase=EpisodeStatus.PHASE_RUNNING)
        )
        for _ in range(count):
            gate_ms.append(driver.measure_alarm(rng.uniform(0, 1 / profile.command.rate_hz)))
            driver.release()
            echo_ms.append(driver.measure_echo())
    return {
        "count": count,
        "control_period_ms": 1e3 / profile.rate_hz,
        "command_period_ms": 1e3 / profile.command.rate_hz,
        **quantiles({"gate": gate_ms, "echo": echo_ms}),
    }


if __name__ == "__main__":
    main(__doc__, "alarm to a command that holds", "gate", run)
