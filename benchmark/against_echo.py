"""What latency benchmarks of nodes share: a driver that spins, and the echo to compare with.

The echo is a process of its own that sends every prediction back: what ROS 2 alone costs.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from salus_msgs.msg import FailureHorizons
from salus_ros.nodes.qos import stream_qos


def echo(namespace: str) -> None:
    """Publish every prediction again, until killed."""
    rclpy.init()
    node = Node("echo", namespace=namespace)
    publisher = node.create_publisher(FailureHorizons, "copy", stream_qos())
    node.create_subscription(FailureHorizons, "ping", publisher.publish, stream_qos())
    rclpy.spin(node)


class EchoDriver:
    """A node that plays what stands around the one that is measured.

    Args:
        namespace: Of both, and of the echo.
        timeout_s: How long to wait for anything.
    """

    def __init__(self, namespace: str, timeout_s: float) -> None:
        self.node = Node("driver", namespace=namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.timeout_s = timeout_s
        self.copied_s = 0.0
        self.ping = self.node.create_publisher(FailureHorizons, "ping", stream_qos())
        self.node.create_subscription(FailureHorizons, "copy", self._on_copy, stream_qos())

    def _on_copy(self, _: FailureHorizons) -> None:
        self.copied_s = time.perf_counter()

    def until(self, condition: Any, what: str) -> None:
        """Spin until a condition holds."""
        end = time.monotonic() + self.timeout_s
        while not condition():
            self.executor.spin_once(timeout_sec=0.1)
            if time.monotonic() > end:
                raise SystemExit(f"never came: {what}")

    def pause(self, seconds: float) -> None:
        """Spin for a while."""
        end = time.perf_counter() + seconds
        while (left := end - time.perf_counter()) > 0:
            self.executor.spin_once(timeout_sec=left)

    def measure_echo(self) -> float:
        """Time in ms of a prediction there and back."""
        self.copied_s = 0.0
        sent_s = time.perf_counter()
        self.ping.publish(FailureHorizons(episode_id="benchmark", risk=0.9, alarm=True))
        self.until(lambda: self.copied_s > 0, "the echo")
        return (self.copied_s - sent_s) * 1e3


@contextmanager
def beside_echo(script: str, module: str, parameters: Mapping[str, str]) -> Iterator[str]:
    """Run a node and the echo in a namespace of their own, which is given.

    Args:
        script: File of the benchmark, whose `--echo NAMESPACE` runs `echo`.
        module: Of the node.
        parameters: Of the node.
    """
    namespace = f"/bench_{time.time_ns()}"
    given = [part for name, value in parameters.items() for part in ("-p", f"{name}:={value}")]
    ros = ["--ros-args", "-r", f"__ns:={namespace}", "--log-level", "error", *given]
    commands = (
        [sys.executable, "-m", module, *ros],
        [sys.executable, script, "--echo", namespace],
    )
    processes = [subprocess.Popen(command) for command in commands]
    rclpy.init()
    try:
        yield namespace
    finally:
        for process in processes:
            process.kill()  # neither has anything to finish
        for process in processes:
            process.wait()
        rclpy.try_shutdown()


def quantiles(measured: Mapping[str, Sequence[float]]) -> dict[str, float]:
    """Median, 99th percentile and largest value in ms of each."""
    figures = {}
    for name, values in measured.items():
        for quantile in (50, 99):
            figures[f"{name}_p{quantile}_ms"] = float(np.percentile(values, quantile))
        figures[f"{name}_max_ms"] = float(np.max(values))
    return figures


def main(script: str, title: str, name: str, run: Callable[[int], dict[str, Any]]) -> None:
    """Measure and print.

    Args:
        script: What the benchmark says of itself.
        title: Of the printed table, what is measured.
        name: Of what is measured, in the figures.
        run: Measures so many alarms.
    """
    parser = argparse.ArgumentParser(description=script.splitlines()[0])
    parser.add_argument("--count", type=int, default=300, help="alarms (300)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--echo", metavar="NAMESPACE", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.echo:
        echo(given.echo)
        return
    figures = run(given.count)
    if given.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"{title}, {figures['count']} alarms, ms   p50      p99      max")
    for row_name in (name, "echo"):
        row = [figures[f"{row_name}_{key}_ms"] for key in ("p50", "p99", "max")]
        print(f"  {row_name:<48}" + "".join(f"{value:9.3f}" for value in row))
    print(f"  aim: p99 at most one control period, {figures['control_period_ms']:.1f} ms")
