"""Latency of recovery: from an alarm to the first action of the behaviour.

Three processes on real DDS: this one plays world, policy and predictor of the built-in world in
real time. Step by step it publishes joints, the episode and the policy's action, and after the
time that a prediction takes an alarm; it takes the time from the alarm's message to the first
action with an intervention. Each alarm is of an episode of its own. A second process runs the
recovery node with a behaviour that thinks nothing (hold), a third sends every message back: what
ROS 2 alone costs.

    python benchmark/bench_recovery.py [--count 300] [--json]
"""

import time
from typing import Any

import numpy as np
from against_echo import EchoDriver, beside_echo, main, quantiles
from sensor_msgs.msg import JointState

from salus_msgs.msg import EpisodeStatus, FailureHorizons, PolicyAction
from salus_ros.core.schema import HORIZONS_S, RATE_HZ
from salus_ros.nodes import convert
from salus_ros.nodes.qos import status_qos, stream_qos
from salus_ros.worlds.mujoco.arm import HOME
from salus_ros.worlds.panda import FINGER_JOINTS, JOINTS

TIMEOUT_S = 300.0  # to load a node takes long on a busy machine
STEPS = 4
"""Of an episode: quiet ones, and that of the alarm."""

PREDICTION_S = 0.007
"""After the policy's action, as bench_latency.py measures it."""


class Driver(EchoDriver):
    """World, policy and predictor."""

    def __init__(self, namespace: str) -> None:
        super().__init__(namespace, TIMEOUT_S)
        qos = stream_qos()
        make = self.node.create_publisher
        self.policy = make(PolicyAction, "policy_action", qos)
        self.horizons = make(FailureHorizons, "failure_horizons", qos)
        self.joints = make(JointState, "joint_states", qos)
        self.episode = make(EpisodeStatus, "episode", status_qos())
        self.node.create_subscription(PolicyAction, "action", self._on_action, qos)
        self.acted: list[tuple[float, PolicyAction]] = []
        self.tick = 0

    def _on_action(self, message: PolicyAction) -> None:
        self.acted.append((time.perf_counter(), message))

    def measure_alarm(self, number: int) -> float:
        """Time in ms from the alarm of an episode to the first action of the behaviour."""
        self.acted.clear()
        sent_s = 0.0
        for step in range(STEPS):
            sent_s = self._step(f"episode_{number}", step, alarm=step == STEPS - 1)
            answered = step + 1
            self.until(lambda count=answered: len(self.acted) >= count, "an action")
            self.pause(1 / RATE_HZ - PREDICTION_S)
        arrived_s, action = self.acted[-1]
        if not action.intervention:
            raise SystemExit("the policy's action was done in spite of the alarm")
        return (arrived_s - sent_s) * 1e3

    def _step(self, episode: str, step: int, *, alarm: bool) -> float:
        self.tick += 1
        header = convert.header(round(self.tick * 1e9 / RATE_HZ))
        place = {"header": header, "episode_id": episode, "step": step}
        positions = np.array([*HOME, 0.04, 0.04])
        positions[0] += 1e-6 * self.tick
        self.joints.publish(convert.joint_state((*JOINTS, *FINGER_JOINTS), positions, header))
        running = EpisodeStatus.PHASE_RUNNING
        self.episode.publish(EpisodeStatus(**place, phase=running, max_steps=400))
        self.policy.publish(PolicyAction(**place, action=np.zeros(7, np.float32)))
        self.pause(PREDICTION_S)
        said = FailureHorizons(**place, risk=0.9 if alarm else 0.1, alarm=alarm)
        said.horizons, said.failure_types = np.float32(HORIZONS_S), [1, 2, 3, 4]
        said.probability = np.full(16, said.risk, np.float32)
        sent_s = time.perf_counter()
        self.horizons.publish(said)
        return sent_s


def run(count: int) -> dict[str, Any]:
    """Start the nodes, measure, and return the figures."""
    # Patient, so that on a busy machine too every step has its own prediction.
    given = {"arm": "hold@alarm", "mode": "realtime", "prediction_wait_ms": "500.0"}
    recovery_ms, echo_ms = [], []
    with beside_echo(__file__, "salus_ros.nodes.recovery", given) as namespace:
        driver = Driver(namespace)
        topics = (driver.episode, driver.policy, driver.horizons, driver.joints, driver.ping)
        for topic in topics:
            driver.until(lambda one=topic: one.get_subscription_count() > 0, topic.topic_name)
        for number in range(count):
            recovery_ms.append(driver.measure_alarm(number))
            echo_ms.append(driver.measure_echo())
    return {
        "count": count,
        "control_period_ms": 1e3 / RATE_HZ,
        **quantiles({"recovery": recovery_ms, "echo": echo_ms}),
    }


if __name__ == "__main__":
    main(__doc__, "alarm to an action of recovery", "recovery", run)
