"""A controller of ros2_control, as far as topics can tell: commands in, moving joints out."""

import time
from typing import Any

import numpy as np
from geometry_msgs.msg import TwistStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

PERIOD_S = 0.01
LAG_S = 0.02
"""Time constant with which a joint follows its setpoint."""

FASTEST = 4.0
"""Speed in rad/s that no joint exceeds."""

SERVO_TIMEOUT_S = 0.1
"""Age at which a twist counts no more, as in MoveIt Servo."""


class FakeController(Node):
    """Joints that follow setpoints with a lag, and say where they are.

    Attributes:
        commands: All that it was told: positions in the order of its joints, or twists.
        positions: Where its joints are; of a hand: how far it moved.
        stuck: Whether something keeps the joints where they are.
    """

    def __init__(self, kind: str, topic: str, joints: tuple[str, ...], at: Any, **options: Any):
        super().__init__("controller", **options)
        self.joints, self.positions = joints, np.array(at, float)
        self.commands: list[np.ndarray] = []
        self.stuck = False
        self._kind, self._setpoint, self._told_s = kind, self.positions.copy(), 0.0
        self._velocity = np.zeros(6)
        message = {
            "joint_trajectory": JointTrajectory,
            "forward_position": Float64MultiArray,
            "twist": TwistStamped,
        }[kind]
        self.create_subscription(message, topic, getattr(self, f"_on_{kind}"), 10)
        self._states = self.create_publisher(JointState, "joint_states", 10)
        self.create_timer(PERIOD_S, self._cycle)

    def _on_forward_position(self, message: Float64MultiArray) -> None:
        self._take(message.data)

    def _on_joint_trajectory(self, message: JointTrajectory) -> None:
        assert message.points  # an empty trajectory is discarded, and stops nothing
        (point,) = message.points
        assert point.time_from_start.nanosec > 0
        assert (message.header.stamp.sec, message.header.stamp.nanosec) == (0, 0)
        by_name = dict(zip(message.joint_names, point.positions, strict=True))
        self._take([by_name[name] for name in self.joints])

    def _on_twist(self, message: TwistStamped) -> None:
        assert message.header.frame_id
        linear, angular = message.twist.linear, message.twist.angular
        self._velocity = np.array(
            [linear.x, linear.y, linear.z, angular.x, angular.y, angular.z], float
        )
        self._told_s = time.monotonic()
        self.commands.append(self._velocity)

    def _take(self, values: Any) -> None:
        setpoint = np.array(values, float)
        assert setpoint.shape == self.positions.shape
        self.commands.append(setpoint)
        self._setpoint = setpoint

    def _cycle(self) -> None:
        if self._kind == "twist":
            fresh = time.monotonic() - self._told_s < SERVO_TIMEOUT_S
            moved = self.positions[:6]
            moved += self._velocity[: len(moved)] * PERIOD_S * fresh
        elif not self.stuck:
            way = (self._setpoint - self.positions) * PERIOD_S / (PERIOD_S + LAG_S)
            self.positions += np.clip(way, -FASTEST * PERIOD_S, FASTEST * PERIOD_S)
        message = JointState(name=list(self.joints), position=self.positions.tolist())
        message.header.stamp = self.get_clock().now().to_msg()
        self._states.publish(message)
