"""Qualities of service of the topics; images and joint states may be set by `qos_overrides`."""

from rclpy.qos import (
    DurabilityPolicy,
    HistoryPolicy,
    QoSProfile,
    ReliabilityPolicy,
    qos_profile_sensor_data,
)
from rclpy.qos_overriding_options import QoSOverridingOptions

DEPTH = 50
"""Messages kept for a slow reader; well over a second of an episode."""

OVERRIDES = QoSOverridingOptions.with_default_policies()
"""History, depth and reliability as parameters, such as
`qos_overrides./joint_states.subscription.depth`."""


def stream_qos() -> QoSProfile:
    """Quality of service of what no reader may miss: actions, signals, predictions."""
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST, depth=DEPTH, reliability=ReliabilityPolicy.RELIABLE
    )


def status_qos() -> QoSProfile:
    """Quality of service of states that a node which joins late still needs."""
    qos = stream_qos()
    qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return qos


def state_qos() -> QoSProfile:
    """Quality of service to publish a state with of which only the newest counts.

    Who joins late gets that one, and not first what was: `ros2 topic echo --once` shows what is.
    """
    qos = status_qos()
    qos.depth = 1
    return qos


def sensor_qos(*, reliable: bool) -> QoSProfile:
    """Quality of service to read images and joint states with.

    Args:
        reliable: False for that of sensor data, which matches what any driver offers: best
            effort, depth 5. True to miss nothing of a world that publishes reliably.
    """
    if reliable:
        return stream_qos()
    return QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=qos_profile_sensor_data.depth,
        reliability=ReliabilityPolicy.BEST_EFFORT,
    )
