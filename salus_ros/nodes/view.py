"""The view node: the live graph as a page in the browser, with buttons."""

import queue
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import partial
from typing import Any

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.callback_groups import CallbackGroup
from rclpy.client import Client
from rclpy.qos import QoSProfile
from rclpy.subscription import Subscription
from sensor_msgs.msg import CompressedImage, Image
from std_srvs.srv import SetBool, Trigger

from salus_msgs.msg import (
    EpisodeStatus,
    FailureHorizons,
    GateStatus,
    RecorderStatus,
    VlaSignals,
)
from salus_msgs.srv import LabelEpisode, ResetEpisode, StartEpisode
from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FailureType
from salus_ros.messages.labels import named
from salus_ros.messages.serialised import read_serialised_image
from salus_ros.messages.signals import read_prediction, signals_array
from salus_ros.messages.stamps import header_stamp_ns, to_ns
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.diagnostics import OK, WARN, Diagnostics, Problem, Report, shortened
from salus_ros.nodes.parameters import ViewParameters
from salus_ros.nodes.qos import sensor_qos, status_qos, stream_qos
from salus_ros.nodes.view_parts import ASLEEP, NOW, Health, episode_part, gate_part, recorder_part
from salus_ros.view.buttons import Answer
from salus_ros.view.course import Limits
from salus_ros.view.server import ViewServer
from salus_ros.view.state import ViewState

PERIOD_S = 1 / 12
"""How often what has arrived is taken, and the pages are told."""

SLOW_PERIOD_S = 1.0
MOST_AT_ONCE = 100
"""Messages of a topic that are taken in one go, so that a flood stops nothing else."""

MOST_PRESSES = 16
LONGEST_ID = 100
MOST_HORIZONS = 32

type Make = Callable[[Mapping[str, Any]], Any]


def _trigger(_: Mapping[str, Any]) -> Trigger.Request:
    return Trigger.Request()


def _label(given: Mapping[str, Any]) -> LabelEpisode.Request:
    return LabelEpisode.Request(
        outcome=int(given["outcome"]),
        failure_type=int(given["kind"]),
        failure_step=int(given["step"]),
    )


def _of_episodes(name: str, kind: type, make: Make) -> tuple[tuple[str, type, Make], ...]:
    """A service that the episode node has, or else the recorder."""
    return tuple((f"{node}/{name}", kind, make) for node in ("episode", "recorder"))


SERVICES: dict[str, tuple[tuple[str, type, Make], ...]] = {
    "start": _of_episodes(
        "start", StartEpisode, lambda given: StartEpisode.Request(task=given["task"])
    ),
    "stop": _of_episodes("stop", Trigger, _trigger),
    "discard": _of_episodes("discard", Trigger, _trigger),
    "label": _of_episodes("label", LabelEpisode, _label),
    "clip": (("recorder/clip", Trigger, _trigger),),
    "hold": (("action_bridge/pause", SetBool, lambda _: SetBool.Request(data=True)),),
    "release": (("action_bridge/pause", SetBool, lambda _: SetBool.Request(data=False)),),
    "reset": (("action_bridge/reset", Trigger, _trigger),),
    "new": (
        (
            "simulator/reset",
            ResetEpisode,
            lambda given: ResetEpisode.Request(seed=-1, task=given["task"]),
        ),
    ),
}
"""Per button the services that can do it, and the request; the first that there is does it."""


class _Asked(CallbackGroup):
    """Clients that the executor waits for only while an answer is due: each costs every turn."""

    def __init__(self) -> None:
        super().__init__()
        self.due: set[Any] = set()

    def can_execute(self, entity: object) -> bool:
        return bool(self.due)

    def beginning_execution(self, entity: object) -> bool:
        return True

    def ending_execution(self, entity: object) -> None:
        pass


class _Polled(CallbackGroup):
    """Subscriptions that are read when it suits: the executor never wakes up for them.

    Ninety images a second would wake it ninety times; here the middleware keeps the newest.
    """

    def can_execute(self, entity: object) -> bool:
        return False

    def beginning_execution(self, entity: object) -> bool:
        return False

    def ending_execution(self, entity: object) -> None:
        pass


class ViewNode(SalusNode[ViewParameters]):
    """Fills the page's state from the graph, and calls the services that its buttons stand for.

    It publishes nothing but its diagnostics, and subscribes the cameras, with best effort, only
    while a page is open.
    """

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(ViewParameters, **options)

    def configure(self) -> None:
        """Open the page.

        Raises:
            ConfigError: if it cannot listen there.
        """
        given = self.parameters
        self.state = ViewState()
        self._presses: queue.Queue[tuple[str, Mapping[str, Any], Future[Answer]]] = queue.Queue(
            MOST_PRESSES
        )
        self._polled, self._asked = _Polled(), _Asked()
        self._inputs: list[tuple[Subscription, Callable[[Any], None]]] = []
        self._cameras: list[tuple[str, Subscription]] = []
        self._health = Health()
        self._problem = Problem(self)
        self._wrong = dict.fromkeys(given.cameras, "")
        self.server = ViewServer(
            self.state, self, host=given.host, port=given.port, token=given.token
        )
        Diagnostics(self, self._report)
        self.get_logger().info(f"open {self.server.address}")

    def activate(self) -> None:
        """Listen; offer the buttons whose services there are."""
        self._callable: dict[str, list[tuple[Client, Make]]] = {
            name: [
                (self.create_client(kind, service, callback_group=self._asked), make)
                for service, kind, make in services
            ]
            for name, services in SERVICES.items()
        }
        for kind, topic, take, qos in (
            (EpisodeStatus, "episode", self._on_episode, status_qos()),
            (VlaSignals, "signals", self._on_signals, stream_qos()),
            (FailureHorizons, "failure_horizons", self._on_horizons, stream_qos()),
            (RecorderStatus, "recorder_status", self._on_recorder, status_qos()),
            (GateStatus, "gate_status", self._on_gate, status_qos()),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics, stream_qos()),
        ):
            self._health.expect(topic)
            guarded = partial(self._guarded, topic, take)
            self._inputs.append((self._subscribe(kind, topic, qos), guarded))
        for camera in self.parameters.cameras:
            self._health.expect(camera)
        self.create_steady_timer(PERIOD_S, self._poll)
        self.create_steady_timer(SLOW_PERIOD_S, self._look_around)
        self._look_around()

    def deactivate(self) -> None:
        """Listen no longer; the page stays and says that nothing comes."""
        self._inputs, self._cameras = [], []
        while not self._presses.empty():
            _settle(self._presses.get()[2], Answer(False, "the view node is not active"))

    def cleanup(self) -> None:
        """Close the page."""
        self.server.close()

    # Input

    def _subscribe(
        self, kind: type, topic: str, qos: QoSProfile, *, raw: bool = False
    ) -> Subscription:
        return self.create_subscription(
            kind, topic, lambda _: None, qos, callback_group=self._polled, raw=raw
        )

    def _poll(self) -> None:
        """Take what has arrived, do what was pressed, tell the pages."""
        for subscription, take in self._inputs:
            for _ in range(MOST_AT_ONCE):
                if (message := _taken(subscription)) is None:
                    break
                take(message)
        self._watch()
        for camera, subscription in self._cameras:
            if (message := _taken(subscription)) is not None:
                self._on_image(camera, message)
        while not self._presses.empty():
            self._call(*self._presses.get())
        self.state.publish()

    def _watch(self) -> None:
        """Subscribe the cameras where a page is open, and end that where none is."""
        if self.state.watched == bool(self._cameras):
            return
        if self._cameras:
            for _, subscription in self._cameras:
                self.destroy_subscription(subscription)
            self._cameras = []
            return
        compressed = self.parameters.image_transport == "compressed"
        kind, end = (CompressedImage, "/compressed") if compressed else (Image, "")
        newest = sensor_qos(reliable=False)
        newest.depth = 1
        self._cameras = [
            (camera, self._subscribe(kind, f"camera/{camera}/image_raw{end}", newest, raw=True))
            for camera in self.parameters.cameras
        ]

    def _guarded(self, topic: str, take: Callable[[Any], None], message: Any) -> None:
        """Take a message; one that cannot be read is refused, counted and said."""
        self._health.heard(topic)
        try:
            take(message)
        except ObservationError as error:
            self._problem.set(f"{topic}: {error}", f"{topic}: {error.cause}")
        else:
            self._problem.clear(f"{topic}: ")

    def _on_image(self, camera: str, raw: bytes) -> None:
        self._health.heard(camera)
        wrong = ""
        try:
            compressed = self.parameters.image_transport == "compressed"
            pixels = read_serialised_image(raw, camera, compressed=compressed)
            self.state.image(camera, header_stamp_ns(raw), pixels)
        except ObservationError as error:
            wrong = str(error)
            self._problem.set(wrong, f"{camera}: {error.cause}")
        else:
            self._problem.clear(f"{camera}: ")
        self._wrong[camera] = shortened(wrong, 300)

    def _on_episode(self, message: EpisodeStatus) -> None:
        part = episode_part(message)
        running = message.phase == EpisodeStatus.PHASE_RUNNING
        stamp_ns = to_ns(message.header.stamp)
        name = shortened(message.episode_id, LONGEST_ID)
        self.state.episode(name, message.step, stamp_ns, running=running)
        self.state.put("episode", part)

    def _on_signals(self, message: VlaSignals) -> None:
        stamp_ns, name = to_ns(message.header.stamp), shortened(message.episode_id, LONGEST_ID)
        self.state.signals(name, message.step, stamp_ns, signals_array(message)[0])

    def _on_horizons(self, message: FailureHorizons) -> None:
        row = read_prediction(message)
        if len(row.horizons_s) > MOST_HORIZONS:
            raise ObservationError(
                f"it has {len(row.horizons_s)} horizons; at most {MOST_HORIZONS} are shown",
                "too many horizons",
            )
        self.state.prediction(
            shortened(message.episode_id, LONGEST_ID),
            message.step,
            to_ns(message.header.stamp),
            row,
            Limits(message.threshold, message.episode_threshold),
            named(FailureType, message.most_likely_type, "most_likely_type"),
            message.time_to_failure,
        )

    def _on_recorder(self, message: RecorderStatus) -> None:
        self.state.put("recorder", recorder_part(message))

    def _on_gate(self, message: GateStatus) -> None:
        self.state.put("gate", gate_part(message))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        self._health.diagnosed(message)

    def _look_around(self) -> None:
        """Once a second: which services there are, who is silent."""
        self.state.put("buttons", {name: self._why_not(name) for name in SERVICES})
        topics = self._health.topics(self.state.watched, self.parameters.cameras)
        self.state.put("topics", topics)
        self.state.put("diagnostics", self._health.diagnostics())
        silent = {
            camera: "" if topics[camera] in (NOW, ASLEEP) else f"last image: {topics[camera]}"
            for camera in self._wrong
        }
        self.state.put("cameras", {name: self._wrong[name] or silent[name] for name in silent})

    # Buttons

    def _why_not(self, name: str) -> str:
        """Why a button cannot do anything; empty: it can."""
        if any(client.service_is_ready() for client, _ in self._callable[name]):
            return ""
        services = " and no ".join(client.srv_name for client, _ in self._callable[name])
        return f"there is no {services}"

    def press(self, name: str, values: Mapping[str, Any]) -> Future[Answer]:
        """Have a button's service called; from any thread."""
        future: Future[Answer] = Future()
        try:
            self._presses.put_nowait((name, values, future))
        except queue.Full:
            future.set_result(Answer(False, f"{MOST_PRESSES} buttons wait already"))
        return future

    def _call(self, name: str, values: Mapping[str, Any], future: Future[Answer]) -> None:
        ready = [one for one in self._callable[name] if one[0].service_is_ready()]
        if not ready:
            _settle(future, Answer(False, self._why_not(name)))
            return
        client, make = ready[0]

        def answered(done: Any) -> None:
            self._asked.due.discard(done)
            if done.exception() is not None:
                _settle(future, Answer(False, str(done.exception())))
                return
            said = done.result()
            _settle(future, Answer(said.success, said.message or f"{client.srv_name}: done"))

        asked = client.call_async(make(values))
        self._asked.due.add(asked)
        asked.add_done_callback(answered)

        # A page that no longer waits: the request is not kept either.
        def given_up(one: Future[Answer]) -> None:
            if one.cancelled():
                client.remove_pending_request(asked)
                self._asked.due.discard(asked)

        future.add_done_callback(given_up)
        self.get_logger().info(f"{client.srv_name}, as a page asked")

    def _report(self) -> Report:
        values: dict[str, object] = {"address": self.server.url, **self._problem.values()}
        if self._problem.text:
            return Report(WARN, self._problem.text, values)
        return Report(OK, f"open {self.server.url}", values)


def _taken(subscription: Subscription) -> Any:
    """The next message of a subscription; None where there is none."""
    with subscription.handle:
        taken = subscription.handle.take_message(subscription.msg_type, subscription.raw)
    return None if taken is None else taken[0]


def _settle(future: Future[Answer], answer: Answer) -> None:
    if future.set_running_or_notify_cancel():
        future.set_result(answer)


def main() -> int:
    """Run the node."""
    return run(ViewNode)


if __name__ == "__main__":
    sys.exit(main())
