"""The recorder node: what the others publish, as whole episodes in a zarr store."""

import math
import sys
import time
from collections import defaultdict, deque
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage, Image, JointState
from std_srvs.srv import Trigger

from salus_msgs.msg import (
    EpisodeStatus,
    FailureHorizons,
    PolicyAction,
    RecorderStatus,
    StreamStatus,
    VlaSignals,
)
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.core.errors import ObservationError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import StoreSpec
from salus_ros.episodes.location import resolve
from salus_ros.messages.joints import read_joints
from salus_ros.messages.signals import read_prediction, read_signals
from salus_ros.messages.stamps import header_stamp_ns, to_ns
from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.parameters import RecorderParameters
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, status_qos, stream_qos
from salus_ros.recording.assembly import Assembler
from salus_ros.recording.blocks import BlockMaker
from salus_ros.recording.flight import Rules
from salus_ros.recording.health import StreamHealth
from salus_ros.recording.rows import PREDICTION, SIGNALS, STATE, Dropped, Label, Result
from salus_ros.recording.status import Judgements, check_id, take_status
from salus_ros.recording.streams import JointStream, Source, Stream
from salus_ros.recording.writer import EpisodeWriter

COLLECT_PERIOD_S = 0.05
RATE_WINDOW_S = 2.0
REFUSALS_SHOWN = 8
WAITING_WARNING = 0.5
"""Share of `buffer_mb` from which the disk is said to be behind."""

STATE_NAMES = ("waiting for an episode", "recording", "writing", "not recording")


class RecorderNode(SalusNode[RecorderParameters]):
    """Records one row per step of the policy, in whole episodes or not at all."""

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(RecorderParameters, **options)

    def configure(self) -> None:
        """Make ready to record."""
        self._begin()
        self._status = self.create_publisher(RecorderStatus, "recorder_status", status_qos())
        self._diagnostics = Diagnostics(self, self._report)

    def _begin(self) -> None:
        """Count from nothing; nothing is opened yet."""
        given = self.parameters
        compressed = given.image_transport == "compressed"
        self._buffer_bytes = given.buffer_mb * 1_000_000
        self._required = (*given.cameras, STATE)
        self._read_image = partial(
            convert.read_compressed_image if compressed else convert.read_raw_image,
            depth_mm=given.depth_range_mm,
        )
        self._writer = EpisodeWriter(
            resolve(given.store_path),
            given.cameras,
            self._blocks,
            min_free_bytes=given.min_free_mb * 1_000_000,
            log=self.get_logger().error,
        )
        max_age_ms = self._max_age_ms()
        self._joints = JointStream(given.state_joints)
        streams: dict[str, Source] = {name: Stream() for name in max_age_ms}
        streams[STATE] = self._joints
        self._assembler = Assembler(
            streams,
            Rules(
                max_age_ms=max_age_ms,
                required=self._required,
                settle_s=given.settle_s,
                max_missing_share=given.max_missing_share,
            ),
            room=lambda: self._buffer_bytes - self._writer.held_bytes,
            on_row=lambda row: self._health.add(row),
        )
        self._health = StreamHealth(
            max_age_ms, self._required, lambda name: streams[name].newest_ns
        )
        self._judgements = Judgements()
        self._recording = False
        self._refused: defaultdict[str, int] = defaultdict(int)
        self._dropped_messages = 0
        self._dropped_episodes = 0
        self._last_error = ""
        self._known = (0, "")  # episodes committed and error, as last published
        self._arrivals: deque[float] = deque(maxlen=1000)
        self._newest = ("", -1)
        self._problem = Problem(self)

    def activate(self) -> None:
        """Open the store and listen; where it cannot be opened the node lives on and says why."""
        given = self.parameters
        compressed = given.image_transport == "compressed"
        qos = stream_qos()
        sensors = partial(sensor_qos, reliable=given.reliable_sensors)
        for camera in given.cameras:
            topic = f"camera/{camera}/image_raw" + ("/compressed" if compressed else "")
            kind = CompressedImage if compressed else Image
            callback = self._guarded(camera, partial(self._on_image, camera))
            self.create_subscription(
                kind, topic, callback, sensors(), raw=True, qos_overriding_options=OVERRIDES
            )
        self.create_subscription(
            JointState,
            "joint_states",
            self._guarded("joint_states", self._on_joints),
            sensors(),
            qos_overriding_options=OVERRIDES,
        )
        for kind, topic, take in (
            (PolicyAction, "action", self._on_action),
            (VlaSignals, "signals", partial(self._on_row, SIGNALS, read_signals)),
            (FailureHorizons, "failure_horizons", self._on_prediction),
            # Without the history: what it tells of was over before this recorder could take part.
            (EpisodeStatus, "episode", self._on_episode),
        ):
            self.create_subscription(kind, topic, self._guarded(topic, take), qos)
        self.create_service(StartEpisode, "~/start", self._on_start)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(Trigger, "~/discard", self._on_discard)
        self.create_service(LabelEpisode, "~/label", self._on_label)
        self.create_steady_timer(COLLECT_PERIOD_S, self._collect)
        self.create_steady_timer(1.0 / given.status_hz, self._publish_status)
        # Without the history: what it tells of was over before this recorder could take part.
        self.create_subscription(EpisodeStatus, "episode", self._on_episode, qos)
        if given.record:
            self._start()

    def deactivate(self) -> None:
        """Write the episodes that have ended; the one in flight is not one."""
        self._take(self._assembler.finish())
        self._writer.close()
        self.get_logger().info(
            f"recorded {self._writer.committed} episodes, {self._writer.steps} steps, "
            f"in '{self._writer.path}'; dropped {self._dropped_episodes + self._writer.dropped}"
        )
        self._begin()

    def _blocks(self, spec: StoreSpec | None) -> BlockMaker:
        given = self.parameters
        return BlockMaker(
            given.cameras,
            self._read_image,
            spec=spec,
            required=self._required,
            max_missing_share=given.max_missing_share,
            refused=self._refuse,
            image_codec=given.image_codec,
            names=lambda what: given.state_joints if what == STATE else (),
        )

    # Input

    def _guarded(self, name: str, take: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback that refuses what cannot be read, counts it, and goes on."""

        def callback(message: Any) -> None:
            if not self._recording:
                return
            try:
                take(message)
            except ObservationError as error:
                self._refuse(name, error)
                if self._problem.set(f"{name}: {error}", f"{name}: {error.cause}"):
                    self._diagnostics.publish()
            else:
                self._problem.clear(f"{name}: ")

        return callback

    def _refuse(self, name: str, error: ObservationError) -> None:
        """Count a message that is not used: it leaves a gap."""
        self._refused[f"{name}: {error.cause}"] += 1
        self._dropped_messages += 1

    def _on_image(self, camera: str, raw: bytes) -> None:
        self._assembler.sample(camera, header_stamp_ns(raw), raw, len(raw))

    def _on_joints(self, message: JointState) -> None:
        names, positions = read_joints(message, self.parameters.state_joints)
        sample = dict(zip(names, positions.tolist(), strict=True))
        self._assembler.sample(STATE, to_ns(message.header.stamp), sample)
        if missing := self._joints.missing:
            raise ObservationError(
                f"it has no {', '.join(missing)}; it has {', '.join(message.name) or 'no joint'}; "
                "set the parameter state_joints to the robot's names"
            )

    def _on_prediction(self, message: FailureHorizons) -> None:
        self._on_row(PREDICTION, read_prediction, message)

    def _on_row(self, stream: str, read: Callable[[Any], Any], message: Any) -> None:
        self._assembler.sample(stream, to_ns(message.header.stamp), read(message))

    def _on_action(self, message: PolicyAction) -> None:
        check_id(message.episode_id)
        now_s = time.monotonic()
        if (message.episode_id, message.step) != self._newest:  # else it is repeated
            self._newest = (message.episode_id, message.step)
            self._arrivals.append(now_s)
        action = np.asarray(message.action, dtype=np.float32)
        if not action.size or not np.isfinite(action).all():
            raise ObservationError(
                f"it is {np.array2string(action, precision=3, threshold=10)}; an action has "
                "values, all of them finite",
                "an action without values, or not finite",
            )
        inputs: defaultdict[str, list[int]] = defaultdict(list)
        for one in message.inputs:
            if one.stream in self._required:
                inputs[one.stream].append(to_ns(one.stamp))
        self._assembler.action(
            message.episode_id,
            message.step,
            to_ns(message.header.stamp),
            action,
            message.policy_id,
            now_s,
            inputs,
        )

    def _on_episode(self, message: EpisodeStatus) -> None:
        take_status(self._assembler, message, to_ns(message.header.stamp), time.monotonic())
        if label := self._judgements.changed(message):
            in_flight = self._assembler.holds(message.episode_id)
            with suppress(StoreError):  # it was dropped, and that was said
                self._writer.label(message.episode_id, label, in_flight=in_flight)

    # Episodes

    def _collect(self) -> None:
        self._take(self._assembler.collect(time.monotonic()))
        if self._known != (self._writer.committed, self._writer.error):
            self._publish_status()

    def _take(self, results: list[Result]) -> None:
        for result in results:
            self._writer.put(result)
            if isinstance(result, Dropped):
                self._dropped_episodes += 1
                self._dropped_messages += result.messages
                self._last_error = f"episode '{result.episode_id}' was dropped: {result.reason}"
                self.get_logger().warning(self._last_error)

    def _start(self) -> str:
        """Start recording; return why it cannot, empty when it can."""
        try:
            self._writer.open()
        except StoreError as error:
            self._writer.error = str(error)
            self.get_logger().error(f"not recording: {error}")
            return str(error)
        self._recording = True
        return ""

    def _on_start(
        self, request: StartEpisode.Request, response: StartEpisode.Response
    ) -> StartEpisode.Response:
        if request.task or request.episode_id:
            response.message = (
                "the recorder does not say what an episode is, so task and episode_id cannot be "
                "given here; give them to /episode/start, or to /simulator/reset"
            )
        elif reason := self._start():
            response.message = reason
        else:
            response.success = True
            response.message = f"recording into '{self._writer.path}' from the next episode"
        self._publish_status()
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._recording = False
        dropped = self._assembler.abandon("recording was stopped before it ended")
        self._take(dropped)
        response.success = True
        response.message = "stopped; what has ended is written" + (
            ", the episode in flight is dropped" if dropped else ""
        )
        self._publish_status()
        return response

    def _on_discard(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        current = self._assembler.current
        self._take(self._assembler.abandon("it was discarded", ended=True))
        response.success = bool(current)
        response.message = (
            f"'{current}' will not be recorded"
            if current
            else "no episode is in flight; one that is recorded already can be labelled (~/label)"
        )
        self._publish_status()
        return response

    def _on_label(
        self, request: LabelEpisode.Request, response: LabelEpisode.Response
    ) -> LabelEpisode.Response:
        current = self._assembler.current
        episode_id = request.episode_id or current or self._writer.writing or self._writer.last_id
        try:
            if not episode_id:
                raise StoreError("no episode has been recorded yet; name one with episode_id")
            label = Label(
                named(Outcome, request.outcome, "outcome"),
                named(FailureType, request.failure_type, "failure_type"),
                request.failure_step,
                request.failure_time,
            )
            in_flight = self._assembler.holds(episode_id)
            response.message = self._writer.label(episode_id, label, in_flight=in_flight)
            response.success = True
        except StoreError as error:
            response.message = str(error)
        return response

    # State

    def _max_age_ms(self) -> dict[str, float]:
        """The streams, and the oldest sample of each that a step may use."""
        given = self.parameters
        own = {
            STATE: given.max_state_age_ms,
            SIGNALS: given.max_signals_age_ms,
            PREDICTION: given.max_prediction_age_ms,
        }
        ages = dict.fromkeys((*given.cameras, *own), given.max_age_ms)
        return ages | {name: age for name, age in own.items() if age >= 0}

    def _warning(self) -> str:
        """What is going wrong while the episode can still be saved; empty for nothing."""
        writer, given = self._writer, self.parameters
        words = []
        if self._recording and self._assembler.current:
            words.append(self._health.warning())
        waiting = self._assembler.held_bytes + writer.held_bytes
        if waiting > WAITING_WARNING * self._buffer_bytes:
            words.append(
                f"{waiting / 1e6:.0f} of {given.buffer_mb} MB (buffer_mb) wait to be written: the "
                "disk is slower than the streams"
            )
        words.append(writer.warning())
        return "; ".join(word for word in words if word)

    @property
    def _state(self) -> int:
        if self._writer.error:
            return RecorderStatus.STATE_ERROR
        if self._recording and self._assembler.current:
            return RecorderStatus.STATE_RECORDING
        return (
            RecorderStatus.STATE_WRITING if self._writer.queue_depth else RecorderStatus.STATE_IDLE
        )

    def _publish_status(self) -> None:
        writer, current = self._writer, self._assembler.current
        message = RecorderStatus(
            state=self._state,
            store_path=str(writer.path),
            episode_id=current or writer.writing,
            episodes_committed=writer.committed,
            steps_recorded=writer.steps,
            steps_in_episode=self._assembler.steps(current),
            messages_dropped=self._lost_messages(),
            steps_with_gaps=writer.gaps,
            queue_depth=writer.queue_depth,
            last_error=writer.error or self._last_error,
            disk_free_bytes=writer.free_bytes(),
            rate_hz=self._rate_hz(),
            bytes_waiting=self._assembler.held_bytes + writer.held_bytes,
            warning=self._warning(),
            streams=[
                StreamStatus(
                    name=stream.name,
                    age_p50_ms=stream.age_p50_ms,
                    age_p95_ms=stream.age_p95_ms,
                    gap_share=stream.gap_share,
                )
                for stream in self._health.figures()
            ],
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._known = (writer.committed, writer.error)
        self._status.publish(message)

    def _lost_messages(self) -> int:
        of_assembler = self._assembler.late + self._assembler.refused
        return self._dropped_messages + self._writer.dropped_messages + of_assembler

    def _rate_hz(self) -> float:
        now_s = time.monotonic()
        if not self._arrivals:
            return math.nan
        while self._arrivals and now_s - self._arrivals[0] > RATE_WINDOW_S:
            self._arrivals.popleft()
        return len(self._arrivals) / RATE_WINDOW_S

    def _report(self) -> Report:
        writer, state = self._writer, self._state
        values: dict[str, object] = {
            "store": writer.path,
            "episodes committed": writer.committed,
            "episodes dropped": self._dropped_episodes + writer.dropped,
            "steps recorded": writer.steps,
            "steps with gaps": writer.gaps,
            "messages dropped": self._lost_messages(),
            "queue depth": writer.queue_depth,
            "free disk in MB": writer.free_bytes() // 1_000_000,
            "rate_hz": self._rate_hz(),
            "MB waiting": (self._assembler.held_bytes + writer.held_bytes) // 1_000_000,
            "last error": writer.error or self._last_error,
        }
        for stream in self._health.figures():
            values[f"{stream.name} age p50 / p95 in ms"] = (
                f"{stream.age_p50_ms:.1f} / {stream.age_p95_ms:.1f}"
            )
            values[f"{stream.name} share of gaps"] = stream.gap_share
        values["stamps refused"] = self._assembler.refused
        for cause, count in sorted(self._refused.items(), key=lambda one: -one[1])[
            :REFUSALS_SHOWN
        ]:
            values[f"refused: {cause}"] = count
        if state == RecorderStatus.STATE_ERROR:
            return Report(ERROR, writer.error, values)
        if self._problem.text:
            return Report(ERROR, self._problem.text, values)
        if not self._recording:
            return Report(OK, "stopped; call ~/start to record", values)
        complaint = self._warning() or self._last_error
        return Report(WARN if complaint else OK, complaint or STATE_NAMES[state], values)


def named[E: IntEnum](kind: type[E], value: int, what: str) -> E:
    """The member of a value that came in a message.

    Raises:
        StoreError: if there is none, naming those there are.
    """
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(f"{one.value} ({one.name.lower()})" for one in kind)
        raise StoreError(f"{what} is {value}; allowed are {allowed}") from None


def main() -> int:
    """Run the node."""
    return run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
