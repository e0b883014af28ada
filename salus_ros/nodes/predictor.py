"""The predictor node: the policy's signals to probabilities of failure, by horizon and kind."""

import math
import sys
import time
from collections.abc import Sequence

import numpy as np
from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from std_msgs.msg import Float32

from salus_msgs.msg import EpisodeStatus, FailureHorizons, VlaSignals
from salus_ros.core import schema
from salus_ros.core.alarm import Alarm
from salus_ros.core.errors import CheckpointError, ObservationError, SalusError
from salus_ros.messages.signals import read_signals
from salus_ros.messages.stamps import NANO, to_ns
from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode, resolve_device, run
from salus_ros.nodes.diagnostics import ERROR, OK, STALE, WARN, Diagnostics, Problem, Report
from salus_ros.nodes.joint_input import JointInput
from salus_ros.nodes.parameters import PredictorParameters
from salus_ros.nodes.qos import OVERRIDES, sensor_qos, status_qos, stream_qos
from salus_ros.prediction.extras import ARRAYS
from salus_ros.prediction.lookahead import StepLookahead
from salus_ros.prediction.predictor import Prediction, Predictor
from salus_ros.prediction.stream import PredictorStream
from salus_ros.recording.progress import Progress, check_step
from salus_ros.recording.status import check_id
from salus_ros.recording.time import Order

CLOCKS_DIFFER_S = 3600.0
"""A sample age beyond this comes of two clocks, simulated and wall, not of a late sample."""


class PredictorNode(SalusNode[PredictorParameters]):
    """Answers every signals message with a prediction of the same stamp."""

    def __init__(self, **options: object) -> None:
        """Declare the parameters.

        Raises:
            ConfigError: if one is not allowed.
        """
        super().__init__(PredictorParameters, **options)

    def configure(self) -> None:
        """Load the model if one is given.

        Raises:
            SalusError: if it cannot be loaded.
        """
        given = self.parameters
        self._device = resolve_device(given.device)
        self._model: Predictor | None = None
        self._stream: PredictorStream | None = None
        self._loaded: tuple[str, Predictor | None] | None = None
        self._message = FailureHorizons()
        self._alarm = Alarm()
        self._problem = Problem(self)
        self._progress = Progress()
        self._hand_backs = 0
        self._held: VlaSignals | None = None  # its stamp is suspect
        self._policy: str | None = None  # of the last signals
        self._doubt = ""
        self._answered = False  # what `_message` holds is an answer
        self._running = False
        self._stamp_ns = 0
        self._count = 0
        self._repeated = 0
        self._blind = 0
        self._heard_at = math.nan
        self._joints: JointInput | None = None
        self._look: StepLookahead | None = None
        self._look_joints: JointInput | None = None
        self._joint_problem = Problem(self)
        self._joint_states: Subscription | None = None
        self._listening = False
        self._latency_ms = math.nan
        self._reported = (0, time.monotonic())
        self._use(self._load(given.model_path))

        qos = stream_qos()
        self._horizons = self.create_publisher(FailureHorizons, "failure_horizons", qos)
        self.needs_listeners(self._horizons)
        self._risk = self.create_publisher(Float32, "risk", qos)
        self._diagnostics = Diagnostics(self, self._report)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)

    def activate(self) -> None:
        """Predict from the next signals on."""
        self._listening = True
        self._listen()
        self.create_subscription(VlaSignals, "signals", self._on_signals, stream_qos())
        self.create_subscription(EpisodeStatus, "episode", self._on_episode, status_qos())

    def deactivate(self) -> None:
        """Listen no more; the subscriptions are gone with the state."""
        self._listening, self._joint_states = False, None

    def cleanup(self) -> None:
        """Let go of the model."""
        self.remove_on_set_parameters_callback(self._check_parameters)
        self.remove_post_set_parameters_callback(self._take_parameters)
        self._model = self._stream = None

    # Predicting

    def _on_signals(self, message: VlaSignals) -> None:
        arrived = time.perf_counter()
        self._heard_at = time.monotonic()
        self._count += 1
        progress = self._progress
        try:
            check_id(message.episode_id)
            check_step(message.step)
            stamp_ns = to_ns(message.header.stamp)
        except ObservationError as error:  # of no step, so there is none to answer
            self._refuse(f"signals: {error}", f"signals: {error.cause}")
            return
        if message.hand_backs != self._hand_backs:
            self._hand_backs = message.hand_backs
            progress.begin_anew()  # as the policy does
        order = progress.judge(message.episode_id, message.step, stamp_ns)
        held, self._held = self._held, message if order is Order.SUSPECT else None
        if order is Order.REPEATED and self._answered:
            self._publish()
        if order not in (Order.NEXT, Order.JUMP):
            self._repeated += order is Order.REPEATED
            return
        self._stamp_ns = stamp_ns
        if progress.begins:
            self._alarm.reset()
            if self._stream is not None:
                self._stream.reset()
        if order is Order.JUMP:
            self.get_logger().warning(f"{progress.last_jump} on signals: starting afresh")
            if held is not None and held.step < message.step:
                self._answer(held, arrived)
        self._answer(message, arrived)

    def _answer(self, message: VlaSignals, arrived: float) -> None:
        """Predict, and publish what comes of it: nothing is said only where there is no model."""
        if self._stream is None or self._model is None:
            return
        out = self._message
        out.header = message.header
        out.episode_id = message.episode_id
        out.step = message.step
        out.threshold = self._threshold()
        if message.policy_id != self._policy:
            self._policy, self._doubt = message.policy_id, self._model.doubt(message.policy_id)
            if self._doubt:
                self.get_logger().warning(self._doubt)
        out.calibrated = self._model.calibrated and not self._doubt
        try:
            prediction = self._predict(message)
        except ObservationError as error:
            self._refuse(f"blind: {error}", f"blind: {error.cause}")
            self._blind += 1
            self._fill(self._nothing)
            if self.parameters.alarm_when_blind:
                out.alarm = self._alarm.blind()
        else:
            self._fill(prediction)
            if self.parameters.threshold >= 0:
                level = out.risk - out.threshold
            else:
                level = float(self._model.alarm_level(prediction)[0])
            out.alarm = self._alarm.update(level, 0.0, self.parameters.hysteresis)
        out.latency_ms = self._latency_ms = (time.perf_counter() - arrived) * 1e3
        self._answered = True
        self._publish()

    def _predict(self, message: VlaSignals) -> Prediction:
        """Predict at a step.

        Raises:
            ObservationError: if it cannot be judged. What of its signals can be used is
                remembered, as a recording of them would be.
        """
        assert self._stream is not None
        assert self._model is not None
        said = read_signals(message)
        valid = said.valid
        features = self._model.checkpoint.features
        joints = self._joints.as_of(to_ns(message.header.stamp)) if self._joints else None
        extras = features.read(said, joints)
        if self._look is not None and self._look_joints is not None:
            measured = self._look_joints.as_of(to_ns(message.header.stamp))
            self._look.add(extras, said, message.step, measured)
        prediction = self._stream.update(said.signals, valid, extras, message.step)
        if valid.tolist() != list(message.valid):
            lost = [
                name
                for name, marked, usable in zip(
                    schema.SIGNAL_NAMES, message.valid, valid.tolist(), strict=True
                )
                if marked and not usable
            ]
            raise ObservationError(
                f"{', '.join(lost)} are marked valid and are not finite; check the policy",
                "signals that are marked valid and are not finite",
            )
        if missing := features.missing(extras):
            lack = ", ".join(missing.values())
            self._refuse(
                f"there is {lack}, which the model reads; it goes by the rest"
                f"{_advice([name for name in missing if name not in extras])}",
                lack,
            )
        else:
            self._problem.clear()
        return prediction

    def _fill(self, prediction: Prediction) -> None:
        out = self._message
        out.probability = convert.float_array(prediction.probability)
        out.any_failure = convert.float_array(prediction.any_failure)
        out.risk = float(prediction.risk[0])
        out.most_likely_type = int(prediction.most_likely_type[0])
        out.time_to_failure = float(prediction.time_to_failure_s[0])
        out.episode_failure = float(prediction.episode_failure[0])
        out.no_progress = float(prediction.no_progress[0])

    def _publish(self) -> None:
        self._horizons.publish(self._message)
        self._risk.publish(Float32(data=self._message.risk))

    def _refuse(self, text: str, cause: str) -> None:
        if self._problem.set(text, cause):
            self._diagnostics.publish()

    def _threshold(self) -> float:
        """Threshold of the risk; one that is set by hand stands alone."""
        if self.parameters.threshold >= 0:
            return self.parameters.threshold
        return math.nan if self._model is None else self._model.threshold

    def _on_joints(self, message: JointState) -> None:
        try:
            for reader in (self._joints, self._look_joints):
                if reader is not None:
                    reader.take(message)
        except ObservationError as error:
            if self._joint_problem.set(f"joint_states: {error}", f"joint_states: {error.cause}"):
                self._diagnostics.publish()
        else:
            self._joint_problem.clear()

    def _listen(self) -> None:
        """Listen to the joints where the model reads them, and nowhere else."""
        reads = self._joints is not None or self._look_joints is not None
        wanted = self._listening and reads
        if wanted and self._joint_states is None:
            self._joint_states = self.create_subscription(
                JointState,
                "joint_states",
                self._on_joints,
                sensor_qos(reliable=self.parameters.reliable_sensors),
                qos_overriding_options=OVERRIDES,
            )
        elif not wanted and self._joint_states is not None:
            self.destroy_subscription(self._joint_states)
            self._joint_states = None

    def _on_episode(self, message: EpisodeStatus) -> None:
        self._running = message.phase == EpisodeStatus.PHASE_RUNNING

    # The model and the other parameters

    def _load(self, path: str) -> Predictor | None:
        if not path:
            return None
        model = Predictor.load(path, self._device)
        if model.checkpoint.signal_names != schema.SIGNAL_NAMES:
            raise CheckpointError(
                f"the predictor '{path}' takes the signals {list(model.checkpoint.signal_names)}; "
                f"live there are {list(schema.SIGNAL_NAMES)}; train it on these"
            )
        return model

    def _use(self, model: Predictor | None) -> None:
        self._model = model
        self._stream = None if model is None else PredictorStream(model)
        parts = {} if model is None else model.checkpoint.features.parts
        self._joints = JointInput(parts["joints"]) if "joints" in parts else None
        self._look = StepLookahead.of(parts["lookahead"]) if "lookahead" in parts else None
        self._look_joints = None if self._look is None else JointInput(self._look.keys)
        self._alarm.reset()
        self._answered = False
        self._policy, self._doubt = None, ""
        if model is None:
            self.get_logger().warning("no model is loaded: set model_path to a trained predictor")
            return
        self._message = FailureHorizons(
            horizons=list(model.horizons_s),
            failure_types=[int(kind) for kind in model.failure_types],
            episode_threshold=model.episode_threshold,
            model_id=model.model_id,
        )
        shape = (1, len(model.horizons_s), len(model.failure_types))
        episode = np.full((1, len(schema.EPISODE_OUTPUTS)), np.nan, np.float32)
        known = np.zeros(1, np.bool_)
        self._nothing = model.decide(np.full(shape, np.nan, np.float32), episode, known)
        self.get_logger().info(f"predicting with model {model.model_id} on {self._device}")

    def _check_parameters(self, changes: Sequence[Parameter]) -> SetParametersResult:
        """Refuse values that are not allowed and models that cannot be loaded."""
        values = {c.name: c.value for c in changes if c.name in PredictorParameters.specs()}
        try:
            self.parameters.updated(**values)
            if "model_path" in values:
                path = str(values["model_path"])
                self._loaded = (path, self._load(path))
        except SalusError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _take_parameters(self, changes: Sequence[Parameter]) -> None:
        values = {c.name: c.value for c in changes if c.name in PredictorParameters.specs()}
        self.parameters = self.parameters.updated(**values)
        if "model_path" in values and self._loaded is not None:
            self._use(self._loaded[1])
            self._listen()
            self._loaded = None

    # State

    def _report(self) -> Report:
        now = time.monotonic()
        (count, since), self._reported = self._reported, (self._count, now)
        model = self._model
        age_s = (self.get_clock().now().nanoseconds - self._stamp_ns) / NANO
        silent_s = now - self._heard_at
        values: dict[str, object] = {
            "rate_hz": (self._count - count) / max(now - since, 1e-3),
            "signals": self._count,
            "signals repeated": self._repeated,
            "signals late": self._progress.late,
            "signals with a wrong stamp": self._progress.refused,
            "steps missed": self._progress.missed,
            "steps that could not be judged": self._blind,
            "age of the last sample in ms": age_s * 1e3
            if abs(age_s) < CLOCKS_DIFFER_S
            else math.nan,
            "latency_ms": self._latency_ms,
            "model": "none" if model is None else model.model_id,
            "failure types": ""
            if model is None
            else ", ".join(kind.label for kind in model.failure_types),
            "calibrated": model is not None and model.calibrated and not self._doubt,
            "threshold": self._threshold(),
            "episode_threshold": math.nan if model is None else model.episode_threshold,
            "alarm": self._alarm.active,
            "device": self._device,
            **self._problem.values(),
        }
        if model is None:
            text = "no model is loaded, so nothing is predicted: set model_path"
            return Report(WARN, text, values)
        if problem := self._problem.text or self._joint_problem.text:
            return Report(ERROR, problem, values)
        if not silent_s <= self.parameters.stale_s:  # also when nothing was ever heard
            if self._count and not self._running:
                return Report(OK, "no episode is running", values)
            heard = f"for {silent_s:.0f} s" if self._count else "yet"
            return Report(STALE, f"no signals {heard}: is a vla node running?", values)
        if math.isnan(self._threshold()):
            text = "the model has no alarm threshold: set the parameter threshold"
            return Report(WARN, text, values)
        if min(self._threshold(), model.episode_threshold) == math.inf:
            text = (
                "no alarm is possible at the promised false-alarm rate: calibrate with more "
                "episodes or a larger alpha, or set the parameter threshold"
            )
            return Report(WARN, text, values)
        if self._doubt:
            return Report(WARN, self._doubt, values)
        return Report(OK, "predicting" if model.calibrated else "predicting, uncalibrated", values)


def _advice(missing: Sequence[str]) -> str:
    """What to do about inputs that nobody tells."""
    if "lookahead" in missing:
        return (
            "; it takes the plan (publish_plan of the vla node) and positions and velocities of "
            "all joints (joint_states)"
        )
    own = ("joints", "further")  # which no parameter of the vla node brings
    of_vla = [name for name in missing if name not in own]
    return f"; set publish_{ARRAYS[of_vla[0]][0]} of the vla node" if of_vla else ""


def main() -> int:
    """Run the node."""
    import torch

    torch.set_num_threads(1)  # a row through a small network is faster on one
    return run(PredictorNode)


if __name__ == "__main__":
    sys.exit(main())
