"""Publish the chunks of a policy that SALUS does not run; the watch node answers with signals.

python examples/watch_only.py     # starts the node too; on a robot the launch does:
ros2 launch salus_ros salus.launch.py source:=none watch_only:=true
"""

import argparse
import subprocess
import sys
import time

import numpy as np
import rclpy
from rclpy.node import Node

from salus_msgs.msg import PolicyAction, VlaSignals
from salus_ros.nodes import convert
from salus_ros.nodes.qos import stream_qos

PERIOD_S = 1 / 30
CHUNK, EXECUTED, SAMPLES, WIDTH = 16, 4, 4, 7


def main(steps: int) -> None:
    """Play the policy, and print what the watch node says of it."""
    command = [sys.executable, "-m", "salus_ros.nodes.watch"]
    watch = subprocess.Popen([*command, "--ros-args", "-p", f"executed:={EXECUTED}"])
    rclpy.init()
    node = Node("policy_elsewhere")
    heard: list[VlaSignals] = []
    actions = node.create_publisher(PolicyAction, "action", stream_qos())
    node.create_subscription(VlaSignals, "signals", heard.append, stream_qos())
    try:
        spin_until(node, lambda: actions.get_subscription_count() > 0)
        for step in range(steps):
            actions.publish(action(step))
            spin_until(node, lambda step=step: len(heard) > step)
            said = heard[-1]
            print(
                f"step {said.step}{' planned anew' * said.fresh}: variance "
                f"{said.sample_variance:.3f}, inconsistency {said.chunk_inconsistency:.3f}"
            )
    finally:
        node.destroy_node()
        rclpy.shutdown()
        watch.terminate()
        watch.wait()


def action(step: int) -> PolicyAction:
    """The action of a step; a chunk comes with it where the policy has planned anew."""
    planned_at = step - step % EXECUTED
    rng = np.random.default_rng(planned_at)
    chunks = rng.normal(0.0, 0.1, (SAMPLES, CHUNK, WIDTH)).astype(np.float32)
    message = PolicyAction(
        header=convert.header(round((step + 1) * PERIOD_S * 1e9)),
        episode_id="mine",
        step=step,
        policy_id="a policy of mine",
        chunk_step=step - planned_at,
    )
    message.action = convert.float_array(chunks[0, message.chunk_step])
    message.action_scale = [0.1] * WIDTH  # its deviation in training
    if step == planned_at:
        message.chunk, message.chunk_length = convert.float_array(chunks[0]), CHUNK
        message.chunk_samples, message.num_samples = convert.float_array(chunks), SAMPLES
    return message


def spin_until(node: Node, done: object, deadline_s: float = 120.0) -> None:
    """Wait for something; the node takes seconds to start."""
    end_s = time.monotonic() + deadline_s
    while not done():
        if time.monotonic() > end_s:
            raise TimeoutError("the watch node does not answer")
        rclpy.spin_once(node, timeout_sec=0.05)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Play a policy that SALUS does not run.")
    parser.add_argument("--steps", type=int, default=12)
    main(parser.parse_args().steps)
