"""The recorder node: what the others publish, as whole episodes in a zarr store."""

import sys
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image, JointState
from std_msgs.msg import Bool
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
from salus_ros.core.errors import ObservationError, SalusError, StoreError
from salus_ros.episodes.interventions import TAKEOVER
from salus_ros.episodes.location import resolve
from salus_ros.messages.labels import read_label
from salus_ros.messages.serialised import read_serialised_image
from salus_ros.messages.signals import read_prediction, read_signals
from salus_ros.messages.stamps import header_stamp_ns, to_ns
from salus_ros.nodes.base import SalusNode, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, state_qos, status_qos, stream_qos
from salus_ros.nodes.recorder_parameters import RecorderParameters
from salus_ros.recording.flight import Rules
from salus_ros.recording.options import RecorderOptions
from salus_ros.recording.recorder import Recorder, State
from salus_ros.recording.rows import PREDICTION, SIGNALS, STATE, Label

COLLECT_PERIOD_S = 0.05
REFUSALS_SHOWN = 8

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
        self._make_recorder()
        self._status = self.create_publisher(RecorderStatus, "recorder_status", state_qos())
        self._diagnostics = Diagnostics(self, self._report)

    def _make_recorder(self) -> None:
        """Count from nothing; nothing is opened yet."""
        given = self.parameters
        compressed = given.image_transport == "compressed"
        max_age_ms = self._max_age_ms()
        options = RecorderOptions(
            store=resolve(given.store_path),
            cameras=given.cameras,
            joints=given.state_joints,
            extra_joints=given.extra_joints,
            rules=Rules(
                max_age_ms=max_age_ms,
                required=(*given.cameras, STATE),
                settle_s=given.settle_s,
                max_missing_share=given.max_missing_share,
            ),
            read_image=partial(
                read_serialised_image,
                compressed=compressed,
                depth_mm=given.depth_range_mm,
            ),
            buffer_bytes=given.buffer_mb * 1_000_000,
            min_free_bytes=given.min_free_mb * 1_000_000,
            image_codec=given.image_codec,
            clips=given.clip_options,
        )
        log = self.get_logger()
        self._recorder = Recorder(options, warn=log.warning, log=log.error, say=log.info)
        self._known = self._news()
        self._problem = Problem(self)

    def activate(self) -> None:
        """Open the store and listen; where it cannot be opened the node lives on and says why."""
        given = self.parameters
        compressed = given.image_transport == "compressed"
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
        self._taken_over = False
        self.create_subscription(Bool, "intervention", self._on_takeover, status_qos())
        for kind, topic, take in (
            (PolicyAction, "action", self._on_action),
            (VlaSignals, "signals", partial(self._on_row, SIGNALS, read_signals)),
            (FailureHorizons, "failure_horizons", self._on_prediction),
            # Without the history: what it tells of was over before this recorder could take part.
            (EpisodeStatus, "episode", self._on_episode),
        ):
            self.create_subscription(kind, topic, self._guarded(topic, take), stream_qos())
        self.create_service(StartEpisode, "~/start", self._on_start)
        self.create_service(Trigger, "~/stop", self._on_stop)
        self.create_service(Trigger, "~/discard", self._on_discard)
        self.create_service(LabelEpisode, "~/label", self._on_label)
        self.create_service(Trigger, "~/clip", self._on_clip)
        self.create_steady_timer(COLLECT_PERIOD_S, self._collect)
        self.create_steady_timer(1.0 / given.status_hz, self._publish_status)
        if given.record:
            self._start()

    def deactivate(self) -> None:
        """Write the episodes that have ended; the one in flight is not one."""
        recorder, writer = self._recorder, self._recorder.writer
        recorder.close()
        self.get_logger().info(
            f"recorded {writer.committed} episodes, {writer.steps} steps, in '{writer.path}'; "
            f"dropped {recorder.dropped_episodes + writer.dropped}"
        )
        self._make_recorder()

    # Input

    def _guarded(self, name: str, take: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback that refuses what cannot be read, counts it, and goes on."""

        def callback(message: Any) -> None:
            if not self._recorder.listening:
                return
            try:
                take(message)
            except ObservationError as error:
                self._recorder.refuse(name, error)
                if self._problem.set(f"{name}: {error}", f"{name}: {error.cause}"):
                    self._diagnostics.publish()
            else:
                self._problem.clear(f"{name}: ")

        return callback

    def _on_image(self, camera: str, raw: bytes) -> None:
        self._recorder.sample(camera, header_stamp_ns(raw), raw, len(raw))

    def _on_joints(self, message: JointState) -> None:
        self._recorder.joints(message, to_ns(message.header.stamp))

    def _on_row(self, stream: str, read: Callable[[Any], Any], message: Any) -> None:
        self._recorder.sample(stream, to_ns(message.header.stamp), read(message))

    def _on_prediction(self, message: FailureHorizons) -> None:
        self._on_row(PREDICTION, read_prediction, message)
        if self._recorder.clips is not None:
            self._recorder.clips.predicted(message, to_ns(message.header.stamp))

    def _on_action(self, message: PolicyAction) -> None:
        inputs: defaultdict[str, list[int]] = defaultdict(list)
        for one in message.inputs:
            inputs[one.stream].append(to_ns(one.stamp))
        place = (message.episode_id, message.step, to_ns(message.header.stamp))
        acted = TAKEOVER if self._taken_over else message.intervention
        self._recorder.action(*place, message.action, message.policy_id, inputs, acted)

    def _on_takeover(self, message: Bool) -> None:
        self._taken_over = message.data

    def _on_episode(self, message: EpisodeStatus) -> None:
        self._recorder.status(message, to_ns(message.header.stamp))

    def _collect(self) -> None:
        self._recorder.collect()
        if self._known != self._news():
            self._publish_status()

    def _news(self) -> tuple[int, str, str]:
        """What is published as soon as it changes: episodes committed, error, last clip."""
        writer = self._recorder.writer
        return writer.committed, writer.error, self._last_clip()

    def _last_clip(self) -> str:
        return "" if self._recorder.clips is None else self._recorder.clips.last

    # Services

    def _start(self) -> str:
        """Start recording; return why it cannot, empty when it can."""
        try:
            self._recorder.start()
        except StoreError as error:
            self.get_logger().error(f"not recording: {error}")
            return str(error)
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
            path = self._recorder.writer.path
            response.success = True
            response.message = f"recording into '{path}' from the next episode"
        self._publish_status()
        return response

    def _on_stop(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        dropped = self._recorder.stop()
        response.success = True
        response.message = "stopped; what has ended is written" + (
            ", the episode in flight is dropped" if dropped else ""
        )
        self._publish_status()
        return response

    def _on_discard(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        current = self._recorder.discard()
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
        try:
            label = Label(*read_label(request))
            response.message = self._recorder.label(request.episode_id, label)
            response.success = True
        except SalusError as error:
            response.message = str(error)
        return response

    def _on_clip(self, _: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        clips = self._recorder.clips
        try:
            if clips is None:
                raise StoreError(
                    "no clips are saved here: give a folder for them, clips:=FOLDER of the launch "
                    "or the parameter clips"
                )
            response.message, response.success = clips.call(), True
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

    def _publish_status(self) -> None:
        recorder, writer = self._recorder, self._recorder.writer
        message = RecorderStatus(
            state=int(recorder.state),
            store_path=str(writer.path),
            episode_id=recorder.current,
            episodes_committed=writer.committed,
            steps_recorded=writer.steps,
            steps_in_episode=recorder.steps,
            messages_dropped=recorder.lost_messages,
            steps_with_gaps=writer.gaps,
            queue_depth=writer.queue_depth,
            last_error=writer.error or recorder.last_error,
            disk_free_bytes=writer.free_bytes(),
            rate_hz=recorder.rate_hz,
            bytes_waiting=recorder.waiting_bytes,
            warning=recorder.warning(),
            last_clip=self._last_clip(),
            streams=[
                StreamStatus(
                    name=stream.name,
                    age_p50_ms=stream.age_p50_ms,
                    age_p95_ms=stream.age_p95_ms,
                    gap_share=stream.gap_share,
                )
                for stream in recorder.streams()
            ],
        )
        message.header.stamp = self.get_clock().now().to_msg()
        self._known = self._news()
        self._status.publish(message)

    def _report(self) -> Report:
        recorder, writer = self._recorder, self._recorder.writer
        values: dict[str, object] = {
            "store": writer.path,
            "episodes committed": writer.committed,
            "episodes dropped": recorder.dropped_episodes + writer.dropped,
            "steps recorded": writer.steps,
            "steps with gaps": writer.gaps,
            "messages dropped": recorder.lost_messages,
            "stamps refused": recorder.wrong_stamps,
            "queue depth": writer.queue_depth,
            "free disk in MB": writer.free_bytes() // 1_000_000,
            "rate_hz": recorder.rate_hz,
            "MB waiting": recorder.waiting_bytes // 1_000_000,
            "last error": writer.error or recorder.last_error,
        }
        for stream in recorder.streams():
            values[f"{stream.name} age p50 / p95 in ms"] = (
                f"{stream.age_p50_ms:.1f} / {stream.age_p95_ms:.1f}"
            )
            values[f"{stream.name} share of gaps"] = stream.gap_share
        values |= recorder.clips.values() if recorder.clips is not None else {}
        often = sorted(recorder.refused.items(), key=lambda one: -one[1])
        values |= {f"refused: {cause}": count for cause, count in often[:REFUSALS_SHOWN]}
        if recorder.state == State.ERROR:
            return Report(ERROR, writer.error, values)
        if self._problem.text:
            return Report(ERROR, self._problem.text, values)
        if not recorder.recording:
            complaint = "" if recorder.clips is None else recorder.clips.warning()
            text = complaint or "stopped; call ~/start to record"
            return Report(WARN if complaint else OK, text, values)
        complaint = recorder.warning() or recorder.last_error
        return Report(WARN if complaint else OK, complaint or STATE_NAMES[recorder.state], values)


def main() -> int:
    """Run the node."""
    return run(RecorderNode)


if __name__ == "__main__":
    sys.exit(main())
