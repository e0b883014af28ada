"""What all nodes share: parameters, clocks, qualities of service, start and end."""

import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.publisher import Publisher
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.timer import Timer

from salus_ros.core.errors import SalusError
from salus_ros.nodes.declaration import NodeParameters, declare

EXIT_FAILURE = 1
EXIT_USAGE = 2

SIGNAL_CHECK_S = 0.2
"""Longest wait in which Python does not look for signals."""

DRAIN_S = 0.2
DISCOVERY_CHECK_S = 0.05

DEPTH = 50
"""Messages kept for a slow reader; well over a second of an episode."""


def stream_qos(*, reliable: bool = True) -> QoSProfile:
    """Quality of service of images, joint states, actions, signals and predictions."""
    policy = ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=DEPTH, reliability=policy)


def status_qos() -> QoSProfile:
    """Quality of service of states that a node which joins late still needs."""
    qos = stream_qos()
    qos.durability = DurabilityPolicy.TRANSIENT_LOCAL
    return qos


def resolve_device(name: str) -> str:
    """Name of the torch device for the parameter `device`: auto takes a GPU if there is one."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class SalusNode[P: NodeParameters](Node):
    """A node with checked parameters, steady timers, and an end of its own.

    Attributes:
        parameters: The values of its parameters.
        finished: When this is done, `run` ends the process.
    """

    def __init__(self, cls: type[P], **options: Any) -> None:
        """Make the node and declare its parameters; the options are those of rclpy's Node.

        Raises:
            ConfigError: if a parameter is not allowed.
        """
        super().__init__(cls.node_name, **options)
        try:
            self.parameters = declare(self, cls)
        except SalusError:
            self.destroy_node()
            raise
        self.finished: Future = Future()

    def create_steady_timer(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Make a timer on the wall: simulated time stands still while a world waits."""
        return self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def when_heard(self, publisher: Publisher, count: int, then: Callable[[], object]) -> None:
        """Do something once `count` readers of a publisher have been found, at once for 0.

        Discovery takes its time, and what is published before a reader is found is lost on it.
        So every node subscribes to `episode` last, when those who listen to it are there: the
        subscriptions of a process are found in the order in which they were made, and the
        simulator, which counts those of `episode`, starts when nobody misses anything.
        """
        if count == 0:
            then()
            return

        def check() -> None:
            missing = count - publisher.get_subscription_count()
            if missing <= 0:
                timer.cancel()
                then()
            else:
                self.get_logger().info(
                    f"waiting for {missing} more nodes that listen to {publisher.topic_name}",
                    throttle_duration_sec=5.0,
                )

        timer = self.create_steady_timer(DISCOVERY_CHECK_S, check)

    def close(self) -> None:
        """Finish what is under way; called once, after the last callback."""


def run(make: Callable[[], SalusNode[Any]], args: list[str] | None = None) -> int:
    """Run a node until it has finished or is told to stop.

    Args:
        make: Makes the node.
        args: Command line; that of the process by default.

    Returns:
        Exit code: 0 after a regular end, SIGINT or SIGTERM; 2 when the user has to change
        something, which is said in one line; 1 after any other error.
    """
    node: SalusNode[Any] | None = None
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True
        if node is None:
            raise KeyboardInterrupt  # nothing to finish yet

    # Not rclpy's own handlers: they end the context at once, before the node could finish, and
    # one signal more would interrupt that.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    code = 0
    try:
        node = make()
        gc.collect()
        gc.freeze()  # what torch and rclpy have loaded would be walked in the middle of a step
        executor = SingleThreadedExecutor()
        executor.add_node(node)
        while not (stopped or node.finished.done()):
            executor.spin_once(timeout_sec=SIGNAL_CHECK_S)
        end_s = time.monotonic() + DRAIN_S
        while time.monotonic() < end_s:  # what has arrived already is still taken in
            executor.spin_once(timeout_sec=0)
        if node.finished.done() and node.finished.exception() is not None:
            raise node.finished.exception()
    except KeyboardInterrupt:
        pass
    except SalusError as error:
        sys.stderr.write(f"error: {error}\n")
        code = EXIT_USAGE
    except Exception:  # noqa: BLE001 - the last stop before the exit code
        traceback.print_exc()
        code = EXIT_FAILURE
    finally:
        if node is not None:
            node.close()
            node.destroy_node()
        rclpy.try_shutdown()
    return code
