"""The vla node: one observation in, the policy's action and its twelve signals out."""

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

from sensor_msgs.msg import CompressedImage, Image, JointState

from salus_msgs.msg import (
    EpisodeStatus,
    PolicyAction,
    RecoveryStatus,
    VlaSignals,
)
from salus_ros.core.errors import ObservationError, PolicyError
from salus_ros.messages.joints import read_joints
from salus_ros.messages.stamps import to_ns
from salus_ros.nodes.answers import Answer, make_answer
from salus_ros.nodes.base import SalusNode, resolve_device, run
from salus_ros.nodes.diagnostics import ERROR, OK, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.parameters import VlaParameters
from salus_ros.nodes.policy_image import policy_image
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, status_qos, stream_qos
from salus_ros.nodes.turns import Turn, turn_in
from salus_ros.policies.cameras import in_words, match_cameras
from salus_ros.policies.following import PolicyStep
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tiny import shipped_policy
from salus_ros.recording.status import check_id
from salus_ros.recording.sync import EPISODE, JOINTS, Observation, observation_sync

CLOSE_TIMEOUT_S = 10.0
PENDING_S = 1.0
"""How long an observation may wait for its last message before that is reported."""

LAST_STEP = 2**31 - 1
LONGEST_TASK = 2000
"""Characters of an instruction; policies read a few dozen words."""

NAMES_SHOWN = 12
CAUSES_SHOWN = 8


class VlaNode(SalusNode[VlaParameters]):
    """Answers every observation with an action and signals of the same stamp, episode and step.

    The policy runs in a thread of its own, on the newest complete observation: callbacks never
    wait for it, and what it was too slow for is passed over. A message that cannot be used is
    refused, counted and reported; the node lives on.
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
        path = given.policy_path or str(shipped_policy(given.env_id))
        self.get_logger().info(f"loading the policy '{path}'")
        self._runner = PolicyRunner(
            path,
            device=resolve_device(given.device),
            num_samples=given.num_samples,
            replan_every=given.replan_every,
            noise_memory=None if given.noise_memory < 0.0 else given.noise_memory,
        )
        self._camera_of = match_cameras(self._runner.cameras, given.cameras)
        if self._runner.state_dim != len(given.state_joints):
            raise PolicyError(
                f"the policy '{path}' takes a state of {self._runner.state_dim} values, "
                f"state_joints names {len(given.state_joints)}; set state_joints to the joints "
                "that it was trained with"
            )
        self._compressed = given.image_transport == "compressed"
        end = "/compressed" if self._compressed else ""
        used = self._camera_of.values()
        self._topics = {camera: f"camera/{camera}/image_raw{end}" for camera in used}
        self._topics |= {JOINTS: JOINTS, EPISODE: EPISODE}
        self._problem = Problem(self)  # of the policy's thread
        self._bad_input = Problem(self)
        self._forget()
        self._diagnostics = Diagnostics(self, self._report)
        log = self.get_logger()
        log.info(f"policy {self._runner.policy_id} is ready; {in_words(self._camera_of)}")
        for name, reason in self._runner.unavailable.items():
            log.info(f"there will be no {name}: {reason}")

    def _forget(self) -> None:
        """Nothing has been heard or answered."""
        given = self.parameters
        self._sync = observation_sync(
            list(self._camera_of.values()), given.state_joints, round(given.sync_slop_ms * 1e6)
        )
        self._slot: Observation | None = None
        self._seen: Observation | None = None  # the last one that was in it
        self._recovery = RecoveryStatus()
        self._hand_backs = 0
        self._wake = threading.Condition()
        self._closing = False
        self._skipped = 0
        self._answered = 0
        self._answer: Answer | None = None
        self._episode_id = ""
        self._step = -1
        self._phase = EpisodeStatus.PHASE_IDLE
        self._inference_ms = math.nan
        self._gave_up = False  # waiting for listeners
        self._started_at = time.monotonic()
        self._heard_at: dict[str, float] = {}
        self._joint_names: tuple[str, ...] = ()
        self._refused: Counter[str] = Counter()
        self._unanswered = 0  # observations given up since the last answer
        self._lacking = ""  # what the last one lacked
        self._moved_at = self._started_at  # when an episode began, or was answered last

    def activate(self) -> None:
        """Answer from the next observation on."""
        self._forget()
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)
        self._thread.start()
        self.create_subscription(
            RecoveryStatus, "recovery_status", self._on_recovery, status_qos()
        )
        for stream, topic in self._topics.items():
            if stream == EPISODE:
                callback = self._guarded(stream, self._on_episode)
                self.create_subscription(EpisodeStatus, topic, callback, status_qos())
                continue
            image = CompressedImage if self._compressed else Image
            take = self._on_joints if stream == JOINTS else partial(self._on_sample, stream)
            self.create_subscription(
                JointState if stream == JOINTS else image,
                topic,
                self._guarded(stream, take),
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

    def _guarded(self, stream: str, take: Callable[[Any], None]) -> Callable[[Any], None]:
        """A callback that refuses what cannot be read, counts it, and goes on."""

        def callback(message: Any) -> None:
            self._heard_at[stream] = time.monotonic()
            try:
                take(message)
            except ObservationError as error:
                self._refused[f"{stream}: {error.cause}"] += 1
                if self._bad_input.set(f"{stream}: {error}", f"{stream}: {error.cause}"):
                    self._diagnostics.publish()
            else:
                self._bad_input.clear(f"{stream}: ")

        return callback

    def _on_episode(self, status: EpisodeStatus) -> None:
        check_id(status.episode_id)
        if status.step > LAST_STEP or len(status.task) > LONGEST_TASK:
            raise ObservationError(
                f"it is at step {status.step} with a task of {len(status.task)} characters; "
                f"allowed are {LAST_STEP} and {LONGEST_TASK}",
                "a step or a task beyond all measure",
            )
        if status.phase == EpisodeStatus.PHASE_RUNNING != self._phase:
            self._unanswered, self._moved_at = 0, time.monotonic()
        self._phase = status.phase
        self._add(EPISODE, to_ns(status.header.stamp), status)

    def _on_recovery(self, status: RecoveryStatus) -> None:
        """Where the policy is given the arm back, the last observation is answered, anew."""
        with self._wake:
            self._recovery, before = status, self._recovery
            seen = self._slot or self._seen
            if seen and turn_in(seen.status, status) != turn_in(seen.status, before):
                self._slot = seen
                self._wake.notify()

    def _on_joints(self, message: JointState) -> None:
        names, positions = read_joints(message, self.parameters.state_joints)
        self._joint_names = tuple(message.name[:NAMES_SHOWN])
        sample = dict(zip(names, positions.tolist(), strict=True))
        if sample:
            self._add(JOINTS, to_ns(message.header.stamp), sample)

    def _on_sample(self, camera: str, message: Any) -> None:
        self._add(camera, to_ns(message.header.stamp), message)

    def _add(self, stream: str, stamp_ns: int, sample: Any) -> None:
        lacking = self._sync.missing
        given_up = self._sync.given_up.total()
        found = self._sync.add(stream, stamp_ns, sample)
        if self._sync.given_up.total() > given_up:
            self._unanswered, self._lacking = self._unanswered + 1, lacking
        if found is None:
            return
        with self._wake:
            self._skipped += self._slot is not None and self._slot.stamp_ns != found.stamp_ns
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
                    seen = self._seen = self._slot
                    self._slot = None
                    turn = turn_in(seen.status, self._recovery)
                self._handle(seen, turn)
        except Exception as error:  # noqa: BLE001 - raised again where the process ends
            self.finished.set_exception(error)

    def _handle(self, seen: Observation, turn: Turn) -> None:
        status: EpisodeStatus = seen.status
        if status.phase != EpisodeStatus.PHASE_RUNNING:
            return
        if turn.waits:
            self._unanswered, self._moved_at = 0, time.monotonic()
            return
        own_stamp = to_ns(status.header.stamp) == seen.stamp_ns
        same_episode = status.episode_id == self._episode_id
        last = self._answer
        if last and last.place == (status.episode_id, seen.stamp_ns, turn.hand_backs):
            if not own_stamp:
                return  # a copy of an image is no step
            if last.step == status.step:
                # Repeated because nobody answered: the answer may have been lost on a reader that
                # was just starting. The same one again, whatever it was computed from.
                self._actions.publish(last.action)
                self._signals.publish(last.signals)
                return
        if not same_episode:
            self._await_listeners()
        step = status.step if own_stamp or not same_episode else self._step + 1
        try:
            result = self._infer(seen, step, turn)
        except ObservationError as error:
            self._refused[f"observation: {error.cause}"] += 1
            if self._problem.set(str(error), error.cause):
                self._diagnostics.publish()
            return
        self._problem.clear()
        self._publish(seen, step, result, turn.hand_backs)

    def _await_listeners(self) -> None:
        """Give one that has started again the time to be found; not again if it stays away."""
        missing = self.await_listeners(lambda: self._closing or self._gave_up)
        if missing and not self._gave_up:
            self.get_logger().warning(f"waited for {' and '.join(missing)}; going on without")
        self._gave_up = bool(missing)

    def _infer(self, seen: Observation, step: int, turn: Turn) -> PolicyStep:
        status: EpisodeStatus = seen.status
        images = {
            camera: policy_image(seen.images[name], name)
            for camera, name in self._camera_of.items()
        }
        same = (status.episode_id, turn.hand_backs) == (self._episode_id, self._hand_backs)
        if not same or step <= self._step:
            self._runner.reset(turn.seed)
            self._episode_id, self._hand_backs = status.episode_id, turn.hand_backs
        self._step = step
        return self._runner.step(images, seen.state, self.parameters.task or status.task, step)

    def _publish(self, seen: Observation, step: int, result: PolicyStep, hand_backs: int) -> None:
        head = seen.images[next(iter(self._camera_of.values()))].header
        answer = make_answer(seen, head, step, result, self._runner, hand_backs, self.parameters)
        self._actions.publish(answer.action)  # first: the robot waits for it
        self._signals.publish(answer.signals)
        self._answer = answer
        self._answered += 1
        self._unanswered, self._moved_at = 0, time.monotonic()
        if result.fresh:
            self._inference_ms = float(result.inference_ms)

    # State

    def _report(self) -> Report:
        sync = self._sync
        values: dict[str, object] = {
            "policy": self._runner.policy_id,
            "episode": self._episode_id,
            "step": self._step,
            "answered": self._answered,
            "observations skipped": self._skipped,
            "observations given up": sync.given_up.total(),
            "messages refused": self._refused.total(),
            "stamps refused": sync.refused,
            "inference_ms": self._inference_ms,
        }
        values |= {f"given up: {sync.lack(of)}": count for of, count in sync.given_up.items()}
        for cause, count in self._refused.most_common(CAUSES_SHOWN):
            values[f"refused: {cause}"] = count
        if problem := self._problem.text or self._bad_input.text:
            return Report(ERROR, problem, values)
        if not self._heard_at:
            text = "no input has arrived yet: is a robot or simulator running?"
            return Report(WARN, text, values)
        if self._phase != EpisodeStatus.PHASE_RUNNING:
            return Report(OK, "waiting for an episode", values)
        if silent := self._silent_inputs():
            return Report(ERROR, "; ".join(silent) + "; start or remap it", values)
        if JOINTS in self._heard_at and sync.unknown_joints:
            text = (
                f"joint_states has no {', '.join(sorted(sync.unknown_joints))}; it has "
                f"{', '.join(self._joint_names) or 'no joint'}; set the parameter state_joints to "
                "the robot's names"
            )
            return Report(ERROR, text, values)
        return self._progress(values)

    def _progress(self, values: dict[str, object]) -> Report:
        """Whether a running episode is answered."""
        still_s = time.monotonic() - self._moved_at
        level = ERROR if still_s > self.parameters.input_timeout_s else WARN
        if self._unanswered:
            text = (
                f"{self._unanswered} observations without an answer, the last for "
                f"{self._sync.lack(self._lacking)}"
            )
            return Report(level, text, values)
        if self._sync.missing and still_s > PENDING_S:
            text = f"an observation waits: {self._sync.lack(self._sync.missing)}"
            return Report(level, text, values)
        if self._seen and turn_in(self._seen.status, self._recovery).waits:
            return Report(OK, "waiting: recovery has the arm", values)
        answer = self._answer
        if answer is None or answer.episode_id != self._episode_id:
            if still_s > self.parameters.input_timeout_s:
                return Report(ERROR, f"no answer for {still_s:.0f} s", values)
            return Report(OK, "at the first step", values)
        return Report(OK, "running", values)

    def _silent_inputs(self) -> list[str]:
        """What has not arrived for too long while an episode is running, in words."""
        now, limit_s = time.monotonic(), self.parameters.input_timeout_s
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
        return stream == EPISODE and self.parameters.sync_slop_ms > 0


def main() -> int:
    """Run the node."""
    return run(VlaNode)


if __name__ == "__main__":
    sys.exit(main())
