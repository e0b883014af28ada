"""Signals of a policy that is watched in its user's own loop, published."""

import rclpy
from rclpy.context import Context

from salus_msgs.msg import VlaSignals
from salus_ros.core.closing import Closing
from salus_ros.nodes import convert
from salus_ros.nodes.qos import stream_qos
from salus_ros.policies.watching import WatchedStep


class SignalsPublisher(Closing):
    """Publishes each step of a watch as VlaSignals, from a ROS context of its own.

        with SignalsPublisher("robot1") as publish, salus_ros.watch(policy, on_step=publish):
            run_my_loop()

    Args:
        namespace: Of the topic `signals`.
        prefix: Episode ids are this and the episode's number.
    """

    def __init__(self, namespace: str = "", prefix: str = "episode") -> None:
        self._prefix = prefix
        self._context = Context()
        rclpy.init(context=self._context)
        self._node = rclpy.create_node(
            "watched_policy", namespace=namespace or None, context=self._context
        )
        self._signals = self._node.create_publisher(VlaSignals, "signals", stream_qos())

    def __call__(self, step: WatchedStep) -> None:
        """Publish a step."""
        said = step.said
        message = VlaSignals(
            header=convert.header(step.stamp_ns),
            episode_id=f"{self._prefix}_{step.episode:06d}",
            step=step.step,
            fresh=said.fresh,
            inference_ms=said.inference_ms,
            num_samples=len(said.plans),
            policy_id=step.policy_id,
        )
        convert.fill_signals(message, said.signals, said.valid)
        convert.fill_further(message, step.further, said.further)
        convert.fill_plan(message, said)
        message.embedding = convert.float_array(said.embedding)
        message.expert_embedding = convert.float_array(said.expert_embedding)
        if said.visual_embedding.size:
            message.visual_cameras = list(step.cameras)
            message.visual_embedding = convert.float_array(said.visual_embedding)
        self._signals.publish(message)

    def close(self) -> None:
        """Leave the graph."""
        self._node.destroy_node()
        rclpy.shutdown(context=self._context)
