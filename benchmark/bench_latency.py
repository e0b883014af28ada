"""Latency from signals to failure horizons, against a node that only copies the message.

Three processes on real DDS: this one sends `VlaSignals` and takes the time until the answer
with the same step arrives, in turn from the predictor node and from an echo node that publishes
the message as it came. The ratio is what the prediction costs on top of ROS 2 itself.

    python benchmark/bench_latency.py [--count 1000] [--model FOLDER] [--json]
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node

from salus_msgs.msg import FailureHorizons, VlaSignals
from salus_ros.core import schema
from salus_ros.core.failures import FAILURE_TYPES
from salus_ros.nodes import convert
from salus_ros.nodes.qos import stream_qos
from salus_ros.prediction.checkpoint import FILE_NAME, Checkpoint
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.features import Features
from salus_ros.prediction.models import FailureMLP
from salus_ros.prediction.normalisation import Normalisation

WARM_UP = 200
PAUSE_S = 0.002
START_TIMEOUT_S = 60.0
ANSWER_TIMEOUT_S = 5.0
NAMES = ("predictor", "echo")


def echo(namespace: str) -> None:
    """Publish every signals message again, until killed."""
    rclpy.init()
    node = Node("echo", namespace=namespace)
    publisher = node.create_publisher(VlaSignals, "copy", stream_qos())
    node.create_subscription(VlaSignals, "signals", publisher.publish, stream_qos())
    rclpy.spin(node)


def save_model(folder: Path) -> Path:
    """Write a predictor of the standard size with random weights: speed needs no training."""
    config = TrainingConfig()
    outputs = len(schema.HORIZONS_S) * len(FAILURE_TYPES)
    size = len(schema.SIGNAL_NAMES)
    checkpoint = Checkpoint(
        state_dict=FailureMLP(size, config.hidden, outputs).state_dict(),
        config=config,
        features=Features(
            ("signals",), Normalisation(np.zeros(size, np.float32), np.ones(size, np.float32))
        ),
        signal_names=schema.SIGNAL_NAMES,
        horizons_s=schema.HORIZONS_S,
        failure_types=FAILURE_TYPES,
        split={"train": (), "validation": (), "test": ()},
        data_hash="",
        epoch=1,
        threshold=0.5,
    )
    checkpoint.save(folder / FILE_NAME)
    return folder


class Driver:
    """Sends signals to one node at a time and measures when its answer is there."""

    def __init__(self, namespace: str, embedding: int) -> None:
        self.node = Node("driver", namespace=namespace)
        self.executor = SingleThreadedExecutor()
        self.executor.add_node(self.node)
        self.answered = {name: -1 for name in NAMES}
        self.publishers = {
            name: self.node.create_publisher(VlaSignals, f"{name}/signals", stream_qos())
            for name in NAMES
        }
        topics = {
            "predictor": (FailureHorizons, "predictor/failure_horizons"),
            "echo": (VlaSignals, "echo/copy"),
        }
        for name, (kind, topic) in topics.items():
            self.node.create_subscription(kind, topic, self._taker(name), stream_qos())
        self.message = VlaSignals(episode_id="benchmark", num_samples=4, policy_id="benchmark")
        rng = np.random.default_rng(0)
        signals = rng.normal(size=len(schema.SIGNAL_NAMES)).astype(np.float32)
        convert.fill_signals(self.message, signals, np.ones(len(signals), bool))
        self.message.embedding = convert.float_array(rng.normal(size=embedding))

    def _taker(self, name: str) -> Any:
        def take(message: Any) -> None:
            self.answered[name] = message.step

        return take

    def wait_for_both(self) -> None:
        """Wait until both nodes take signals and answer them."""
        for name in NAMES:
            end = time.monotonic() + START_TIMEOUT_S
            while self.ask(name, 0, timeout_s=0.5) is None:
                if time.monotonic() > end:
                    raise SystemExit(f"the {name} node did not answer in {START_TIMEOUT_S:.0f} s")

    def ask(self, name: str, step: int, timeout_s: float = ANSWER_TIMEOUT_S) -> float | None:
        """Time in ms from sending a step to its answer; None when there was none."""
        self.answered[name] = -1
        self.message.step = step
        self.message.header = convert.header(step + 1)
        start = time.perf_counter()
        self.publishers[name].publish(self.message)
        while self.answered[name] != step:
            self.executor.spin_once(timeout_sec=timeout_s)
            if time.perf_counter() - start > timeout_s:
                return None
        return (time.perf_counter() - start) * 1e3

    def measure(self, count: int) -> dict[str, np.ndarray]:
        """Latencies in ms, (count,) per node, taken in turn so that both meet the same noise."""
        taken: dict[str, list[float]] = {name: [] for name in NAMES}
        for step in range(1, WARM_UP + count + 1):
            for name in NAMES:
                latency_ms = self.ask(name, step)
                if latency_ms is None:
                    raise SystemExit(f"the {name} node did not answer step {step}")
                if step > WARM_UP:
                    taken[name].append(latency_ms)
                time.sleep(PAUSE_S)
        return {name: np.array(values) for name, values in taken.items()}


def run(count: int, model: str, embedding: int) -> dict[str, Any]:
    """Start the nodes, measure, and return the figures."""
    namespace = f"/bench_{time.time_ns()}"
    with tempfile.TemporaryDirectory() as folder:
        path = model or str(save_model(Path(folder)))
        ros = ["--ros-args", "-r", f"__ns:={namespace}/predictor"]
        parameters = ["-p", f"model_path:={path}", "-p", "device:=cpu"]
        predictor = [sys.executable, "-m", "salus_ros.nodes.predictor", *ros, *parameters]
        copier = [sys.executable, str(Path(__file__)), "--echo", f"{namespace}/echo"]
        processes = [subprocess.Popen(command) for command in (predictor, copier)]
        rclpy.init()
        try:
            driver = Driver(namespace, embedding)
            driver.wait_for_both()
            taken = driver.measure(count)
        finally:
            for process in processes:
                process.kill()  # neither has anything to finish
            for process in processes:
                process.wait()
            rclpy.try_shutdown()
    figures: dict[str, Any] = {"count": count, "embedding": embedding}
    for name, values in taken.items():
        for quantile in (50, 99):
            figures[f"{name}_p{quantile}_ms"] = float(np.percentile(values, quantile))
    for quantile in (50, 99):
        ratio = figures[f"predictor_p{quantile}_ms"] / figures[f"echo_p{quantile}_ms"]
        figures[f"ratio_p{quantile}"] = ratio
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=1000, help="messages per node (1000)")
    parser.add_argument("--model", default="", help="a trained predictor; random weights without")
    parser.add_argument(
        "--embedding", type=int, default=720, help="size of the hidden state (720)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    parser.add_argument("--echo", metavar="NAMESPACE", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.echo:
        echo(arguments.echo)
        return
    figures = run(arguments.count, arguments.model, arguments.embedding)
    if arguments.json:
        print(json.dumps(figures, indent=2))
        return
    print(f"signals to horizons, {figures['count']} messages each, ms   p50      p99")
    for name in NAMES:
        p50, p99 = figures[f"{name}_p50_ms"], figures[f"{name}_p99_ms"]
        print(f"  {name:<48} {p50:8.3f} {p99:8.3f}")
    print(
        f"  {'ratio (aim: at most 2 at p99)':<48} {figures['ratio_p50']:8.2f} "
        f"{figures['ratio_p99']:8.2f}"
    )


if __name__ == "__main__":
    main()
