"""What all nodes share: parameters, a managed life, clocks, start and end.

Every node is a managed (lifecycle) node. Subscriptions are made when it becomes active, `episode`
last, so that who listens takes part; a node that must not start before others have
(`wait_for`) looks for them among the subscribers of what it publishes, by name.
"""

import gc
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable
from typing import Any

import rclpy
from rclpy.clock import Clock, ClockType
from rclpy.executors import SingleThreadedExecutor
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.publisher import Publisher
from rclpy.qos import QoSCompatibility, qos_check_compatible
from rclpy.signals import SignalHandlerOptions
from rclpy.task import Future
from rclpy.timer import Timer

from salus_ros.core.errors import ConfigError, SalusError
from salus_ros.nodes.declaration import NodeParameters, declare

EXIT_FAILURE = 1
EXIT_USAGE = 2

SIGNAL_CHECK_S = 0.2
"""Longest wait in which Python does not look for signals."""

DRAIN_S = 0.2
DISCOVERY_CHECK_S = 0.05
LISTENERS_TIMEOUT_S = 5.0
"""How long an activation that was asked for waits for who must listen."""


def resolve_device(name: str) -> str:
    """Name of the torch device for the parameter `device`: auto takes a GPU if there is one."""
    if name != "auto":
        return name
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


class SalusNode[P: NodeParameters](LifecycleNode):
    """A managed node with checked parameters, steady timers, and an end of its own.

    A node says what it does in `configure`, `activate`, `deactivate` and `cleanup`. Publishers,
    subscriptions, services and timers need no undoing: what `activate` made is destroyed when the
    node is deactivated, what `configure` made when it is cleaned up.

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
        self._outlets: list[Publisher] = []
        self._unlogged = False  # an error is raised where the transition was called
        self._transition_error: Exception | None = None
        self._wait_timer: Timer | None = None
        self._own_entities = self._entities()
        self._configured_entities = self._own_entities

    # What a node does

    def configure(self) -> None:
        """Load and create what it needs, publishers included.

        Raises:
            SalusError: if the user has to change something.
        """

    def activate(self) -> None:
        """Take part: make the subscriptions, that of `episode` last, and the timers."""

    def deactivate(self) -> None:
        """Stop taking part; finish what is under way."""

    def cleanup(self) -> None:
        """Release what `configure` loaded."""

    # The managed life

    @property
    def active(self) -> bool:
        """Whether it takes part."""
        return self._state_label == "active"

    @property
    def loading(self) -> bool:
        """Whether it is being configured, which may take long and leaves nothing to finish."""
        return self._state_label == "configuring"

    @property
    def _state_label(self) -> str:
        return str(self._state_machine.current_state[1])

    def start(self) -> None:
        """Configure, and become active once those that it waits for listen.

        Raises:
            SalusError: if it cannot be configured or activated.
        """
        self._transit(self.trigger_configure)
        if not self.parameters.awaited:
            self._transit(self.trigger_activate)
            return
        self._wait_timer = self.create_steady_timer(DISCOVERY_CHECK_S, self._activate_when_heard)

    def _transit(self, transition: Callable[[], TransitionCallbackReturn]) -> None:
        self._unlogged, self._transition_error = True, None
        try:
            code = transition()
        finally:
            self._unlogged = False
        if code != TransitionCallbackReturn.SUCCESS:
            raise self._transition_error or RuntimeError(f"{transition.__name__} failed: {code}")

    def _activate_when_heard(self) -> None:
        if self._wait_timer is None or self._wait_timer.is_canceled():
            return
        if missing := self.missing_listeners():
            text = f"waiting for {' and '.join(missing)}"
            self.get_logger().info(text, throttle_duration_sec=5.0)
            return
        self._wait_timer.cancel()
        try:
            self._transit(self.trigger_activate)
        except Exception as error:  # noqa: BLE001 - raised again where the process ends
            self.finished.set_exception(error)

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Configure; what a failed attempt has made is destroyed."""
        self._own_entities = self._entities()
        code = self._attempt(self.configure)
        if code != TransitionCallbackReturn.SUCCESS:
            self._destroy_since(self._own_entities)
        return code

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Activate, if those that it waits for listen."""
        self._configured_entities = self._entities()

        def activate() -> None:
            if missing := self.await_listeners(lambda: False):
                raise ConfigError(
                    f"cannot become active without {' and '.join(missing)}; activate that first, "
                    "or set the parameter wait_for"
                )
            self.activate()

        code = self._attempt(activate)
        if code != TransitionCallbackReturn.SUCCESS:
            self._destroy_since(self._configured_entities)
        elif self._wait_timer is not None:
            self._wait_timer.cancel()
        return code

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate; the subscriptions and timers go."""
        code = self._attempt(self.deactivate)
        self._destroy_since(self._configured_entities)
        return code

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Release everything but the node itself."""
        code = self._attempt(self.cleanup)
        self._wait_timer = None
        self._destroy_since(self._own_entities)
        return code

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Deactivate and clean up, as far as there is something to; the process ends then."""
        codes = []
        if state.label == "active":
            codes.append(self.on_deactivate(state))
        if state.label in ("active", "inactive"):
            codes.append(self.on_cleanup(state))
        if not self.finished.done():
            self.finished.set_result(None)
        good = all(code == TransitionCallbackReturn.SUCCESS for code in codes)
        return TransitionCallbackReturn.SUCCESS if good else TransitionCallbackReturn.ERROR

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Start over unconfigured after an error that was nobody's intention."""
        if state.label in ("inactive", "active"):
            self._attempt(self.cleanup)
        self._wait_timer = None
        self._destroy_since(self._own_entities)
        return TransitionCallbackReturn.SUCCESS

    def _attempt(self, what: Callable[[], None]) -> TransitionCallbackReturn:
        """Do it; an error becomes the transition's result, and is kept and said."""
        try:
            what()
        except SalusError as error:
            self._transition_error = error
            if not self._unlogged:
                self.get_logger().error(str(error))
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # noqa: BLE001 - a transition must not end the process
            self._transition_error = error
            if not self._unlogged:
                self.get_logger().error(traceback.format_exc())
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def close(self) -> None:
        """Finish what is under way; called once, after the last callback."""
        if self._state_label in ("unconfigured", "inactive", "active"):
            self._transit(self.trigger_shutdown)

    def destroy_node(self) -> None:
        """Leave the graph; rclpy's own leaves the state machine behind, and so the node."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()

    def _entities(self) -> list[Any]:
        """Everything that it has made, oldest first."""
        kinds = (self.publishers, self.subscriptions, self.clients, self.services, self.timers)
        return [entity for kind in kinds for entity in kind]

    def _destroy_since(self, kept: Iterable[Any]) -> None:
        known = {id(entity) for entity in kept}
        new = [entity for entity in self._entities() if id(entity) not in known]
        self._outlets = [one for one in self._outlets if id(one) in known]
        for entity in new:
            for destroy in (
                self.destroy_subscription,
                self.destroy_timer,
                self.destroy_service,
                self.destroy_client,
                self.destroy_publisher,
            ):
                if destroy(entity):
                    break

    # Who listens

    def needs_listeners(self, publisher: Publisher) -> Publisher:
        """Have `wait_for` mean: those nodes listen to this publisher. Returns the publisher."""
        self._outlets.append(publisher)
        return publisher

    def missing_listeners(self) -> list[str]:
        """Who of `wait_for` does not listen yet, and to what, in words; empty: all do.

        Who listens has been discovered, and matched too: nothing that is published from now on
        is lost on it. Others that listen, an rqt or a `ros2 topic echo`, do not count.
        """
        missing = []
        for publisher in self._outlets if self.parameters.awaited else ():
            topic = publisher.topic_name
            readers = self.get_subscriptions_info_by_topic(topic)
            names = {_full_name(one.node_namespace, one.node_name) for one in readers}
            for awaited in self.parameters.awaited:
                if _full_name(self.get_namespace(), awaited) not in names:
                    missing.append(f"'{awaited}' to listen to {topic}")
            matching = sum(
                qos_check_compatible(publisher.qos_profile, one.qos_profile)[0]
                != QoSCompatibility.ERROR
                for one in readers
            )
            if not missing and publisher.get_subscription_count() < matching:
                missing.append(f"the connection to those that listen to {topic}")
        return missing

    def await_listeners(self, give_up: Callable[[], bool]) -> list[str]:
        """Wait a moment for who is missing, such as one that has started again.

        Args:
            give_up: Asked now and then; to wait no longer.

        Returns:
            Who is missing still, in words.
        """
        end_s = time.monotonic() + LISTENERS_TIMEOUT_S
        while (missing := self.missing_listeners()) and time.monotonic() < end_s:
            if give_up():
                break
            time.sleep(DISCOVERY_CHECK_S)
        return missing

    def create_steady_timer(self, period_s: float, callback: Callable[[], None]) -> Timer:
        """Make a timer on the wall: simulated time stands still while a world waits."""
        return self.create_timer(period_s, callback, clock=Clock(clock_type=ClockType.STEADY_TIME))


def _full_name(namespace: str, name: str) -> str:
    return name if name.startswith("/") else f"{namespace.rstrip('/')}/{name}"


def run(make: Callable[[], SalusNode[Any]], args: list[str] | None = None) -> int:
    """Run a node until it has finished or is told to stop.

    With its parameter `autostart` it becomes active by itself, and the process ends where that
    fails; without, it waits to be told to, and says in its log why it cannot.

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
        again, stopped = stopped, True
        if again:
            return  # it may be at its end already, where a node must not be asked
        if node is None or node.loading:
            raise KeyboardInterrupt  # nothing to finish yet

    # Not rclpy's own handlers: they end the context at once, before the node could finish, and
    # one signal more would interrupt that.
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGTERM, stop)
    rclpy.init(args=args, signal_handler_options=SignalHandlerOptions.NO)
    code = 0
    try:
        node = make()
        if node.parameters.autostart:
            node.start()
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
        # All is done. One signal more, as from a terminal and a launch, would find Python half
        # taken down: the process would die of it, or crash.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
    return code
