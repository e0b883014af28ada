"""The vla node: one observation in, the policy's action and its twelve signals out."""

import math
import sys
import threading
import time
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image, JointState

from salus_msgs.msg import EpisodeStatus, PolicyAction, VlaSignals
from salus_ros.core.errors import ObservationError, PolicyError
from salus_ros.messages.images import compressed_image_to_array
from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode, resolve_device, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.parameters import VlaParameters
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, status_qos, stream_qos
from salus_ros.policies.runner import PolicyStep, SmolVLARunner, match_cameras
from salus_ros.policies.tiny import SHIPPED
from salus_ros.recording.sync import ObservationSync

CLOSE_TIMEOUT_S = 10.0


class VlaNode(SalusNode[VlaParameters]):
    """Answers every observation with an action and signals of the same stamp, episode and step.

    The policy runs in a thread of its own, on the newest complete observation: callbacks never
    wait for it, and what it was too slow for is passed over.
    """

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(VlaParameters, **options)

    def configure(self) -> None:
        """Load the policy.

        Raises:
            SalusError: if the policy cannot be loaded or takes other inputs than the robot has.
        """
        given = self.parameters
        if given.threads:
            import torch

            torch.set_num_threads(given.threads)
        qos = stream_qos()
        self._actions = self.create_publisher(PolicyAction, "action", qos)
        self._signals = self.create_publisher(VlaSignals, "signals", qos)
        self.needs_listeners(self._signals)
        path = given.policy_path or str(SHIPPED)
        self.get_logger().info(f"loading the policy '{path}'")
        self._runner = SmolVLARunner(
            path,
            device=resolve_device(given.device),
            num_samples=given.num_samples,
            replan_every=given.replan_every,
        )
        self._camera_of = match_cameras(self._runner.cameras, given.cameras)
        if self._runner.state_dim != len(given.state_joints):
            raise PolicyError(
                f"the policy '{path}' takes a state of {self._runner.state_dim} values, "
                f"state_joints names {len(given.state_joints)}; set state_joints to the joints "
                "that it was trained with"
            )
        self._compressed = given.image_transport == "compressed"
        suffix = "/compressed" if self._compressed else ""
        self._topics = {name: f"camera/{name}/image_raw{suffix}" for name in given.cameras}
        self._topics = {c: t for c, t in self._topics.items() if c in self._camera_of.values()}
        self._topics |= {"joint_states": "joint_states", "episode": "episode"}
        self._problem = Problem(self)
        self._forget()
        self._diagnostics = Diagnostics(self, self._report)
        self.get_logger().info(f"policy {self._runner.policy_id} is ready")

    def _forget(self) -> None:
        """Nothing has been heard or answered."""
        self._sync = ObservationSync(
            list(self._camera_of.values()), round(self.parameters.sync_slop_ms * 1e6)
        )
        self._slot: tuple[int, dict[str, Any]] | None = None
        self._wake = threading.Condition()
        self._closing = False
        self._skipped = 0
        self._answered = 0
        self._answer: tuple[tuple[str, int, int], PolicyAction, VlaSignals] | None = None
        self._episode_id = ""
        self._step = -1
        self._phase = EpisodeStatus.PHASE_IDLE
        self._inference_ms = math.nan
        self._gave_up = False  # waiting for listeners
        self._started_at = time.monotonic()
        self._heard_at: dict[str, float] = {}

    def activate(self) -> None:
        """Answer from the next observation on."""
        self._forget()
        image = CompressedImage if self._compressed else Image
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()
        for stream, topic in self._topics.items():
            callback = partial(self._on_input, stream)
            if stream == "episode":
                self.create_subscription(EpisodeStatus, topic, callback, status_qos())
                continue
            self.create_subscription(
                JointState if stream == "joint_states" else image,
                topic,
                callback,
                sensor_qos(reliable=self.parameters.reliable_sensors),
                qos_overriding_options=OVERRIDES,
            )

    def deactivate(self) -> None:
        """Let the thread finish the step it is at."""
        with self._wake:
            self._closing = True
            self._wake.notify()
        self._thread.join(CLOSE_TIMEOUT_S)

    def cleanup(self) -> None:
        """Let go of the policy."""
        del self._runner

    # The executor's thread

    def _on_input(self, stream: str, message: Any) -> None:
        self._heard_at[stream] = time.monotonic()
        if stream == "episode":
            self._phase = message.phase
        found = self._sync.add(stream, convert.to_ns(message.header.stamp), message)
        if found is None:
            return
        with self._wake:
            self._skipped += self._slot is not None and self._slot[0] != found[0]
            self._slot = found
            self._wake.notify()

    # The policy's thread

    def _work(self) -> None:
        try:
            while True:
                with self._wake:
                    self._wake.wait_for(lambda: self._closing or self._slot is not None)
                    if self._closing:
                        return
                    assert self._slot is not None
                    (stamp_ns, messages), self._slot = self._slot, None
                self._handle(stamp_ns, messages)
        except Exception as error:  # noqa: BLE001 - raised again where the process ends
            self.finished.set_exception(error)

    def _handle(self, stamp_ns: int, messages: dict[str, Any]) -> None:
        status: EpisodeStatus = messages["episode"]
        if status.phase != EpisodeStatus.PHASE_RUNNING:
            return
        own_stamp = convert.to_ns(status.header.stamp) == stamp_ns
        same_episode = status.episode_id == self._episode_id
        step = status.step if own_stamp or not same_episode else self._step + 1
        key = (status.episode_id, step, stamp_ns)
        if self._answer is not None and self._answer[0] == key:
            # Repeated because nobody answered: the answer may have been lost on a reader that
            # was just starting. The same one again, whatever it was computed from.
            _, action, signals = self._answer
            self._actions.publish(action)
            self._signals.publish(signals)
            return
        if not same_episode:
            self._await_listeners()
        try:
            result = self._infer(messages, status, step)
        except ObservationError as error:
            if self._problem.set(str(error)):
                self._diagnostics.publish()
            return
        self._problem.clear()
        self._publish(key, messages, result)

    def _await_listeners(self) -> None:
        """Give one that has started again the time to be found; not again if it stays away."""
        missing = self.await_listeners(lambda: self._closing or self._gave_up)
        if missing and not self._gave_up:
            self.get_logger().warning(f"waited for {' and '.join(missing)}; going on without")
        self._gave_up = bool(missing)

    def _infer(self, messages: dict[str, Any], status: EpisodeStatus, step: int) -> PolicyStep:
        given = self.parameters
        read = compressed_image_to_array if self._compressed else convert.image_to_array
        images = {
            camera: read(messages[topic], topic) for camera, topic in self._camera_of.items()
        }
        state = convert.joint_positions(messages["joint_states"], given.state_joints)
        if status.episode_id != self._episode_id or step <= self._step:
            self._runner.reset(max(status.seed, 0))
            self._episode_id = status.episode_id
        self._step = step
        return self._runner.step(images, state, given.task or status.task, step)

    def _publish(
        self, key: tuple[str, int, int], messages: dict[str, Any], result: PolicyStep
    ) -> None:
        episode_id, step, _ = key
        head = messages[next(iter(self._camera_of.values()))].header
        policy_id = self._runner.policy_id
        action = PolicyAction(header=head, episode_id=episode_id, step=step, policy_id=policy_id)
        action.action = convert.float_array(result.action)
        signals = VlaSignals(
            header=head,
            episode_id=episode_id,
            step=step,
            fresh=bool(result.fresh),
            inference_ms=float(result.inference_ms),
            num_samples=self.parameters.num_samples,
            policy_id=policy_id,
        )
        convert.fill_signals(signals, result.signals, result.valid)
        if self.parameters.publish_embedding:
            signals.embedding = convert.float_array(result.embedding)
        self._actions.publish(action)  # first: the robot waits for it
        self._signals.publish(signals)
        self._answer = (key, action, signals)
        self._answered += 1
        if result.fresh:
            self._inference_ms = float(result.inference_ms)

    # State

    def _report(self) -> Report:
        values: dict[str, object] = {
            "policy": self._runner.policy_id,
            "episode": self._episode_id,
            "step": self._step,
            "answered": self._answered,
            "observations skipped": self._skipped + self._sync.given_up,
            "observations refused": self._problem.count,
            "inference_ms": self._inference_ms,
        }
        if self._problem.text:
            return Report(ERROR, self._problem.text, values)
        silent = self._silent_inputs()
        if silent and len(self._heard_at) == 0:
            return Report(
                WARN, "no input has arrived yet: is a robot or simulator running?", values
            )
        if silent:
            return Report(ERROR, "; ".join(silent) + "; start or remap it", values)
        return Report(OK, "running" if self._answered else "waiting for an episode", values)

    def _silent_inputs(self) -> list[str]:
        """What has not arrived for too long while an episode is running, in words."""
        now, limit_s = time.monotonic(), self.parameters.input_timeout_s
        if "episode" in self._heard_at and self._phase != EpisodeStatus.PHASE_RUNNING:
            return []
        silent = []
        for stream, topic in self._topics.items():
            heard = self._heard_at.get(stream)
            name = self.resolve_topic_name(topic)
            if heard is None and now - self._started_at > limit_s:
                silent.append(f"'{stream}' has never arrived on {name}")
            elif heard is not None and now - heard > limit_s and not self._is_state(stream):
                silent.append(f"'{stream}' has not arrived on {name} for {now - heard:.0f} s")
        return silent

    def _is_state(self, stream: str) -> bool:
        """Whether a stream announces changes only, so that its silence says nothing."""
        return stream == "episode" and self.parameters.sync_slop_ms > 0


def main() -> int:
    """Run the node."""
    return run(VlaNode)


if __name__ == "__main__":
    sys.exit(main())
