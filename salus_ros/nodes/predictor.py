"""The predictor node: the policy's signals to probabilities of failure, by horizon and kind."""

import math
import sys
import time
from collections.abc import Sequence

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_msgs.msg import Float32

from salus_msgs.msg import EpisodeStatus, FailureHorizons, VlaSignals
from salus_ros.core import schema
from salus_ros.core.alarm import Alarm
from salus_ros.core.errors import CheckpointError, SalusError
from salus_ros.messages.stamps import NANO
from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode, resolve_device, run
from salus_ros.nodes.diagnostics import OK, STALE, WARN, Diagnostics, Report
from salus_ros.nodes.parameters import PredictorParameters
from salus_ros.nodes.qos import status_qos, stream_qos
from salus_ros.prediction.predictor import Predictor, PredictorStream

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
        self._episode_id = ""
        self._running = False
        self._step = -1
        self._stamp_ns = 0
        self._count = 0
        self._drops = 0
        self._heard_at = math.nan
        self._latency_ms = math.nan
        self._age_ms = math.nan
        self._reported = (0, time.monotonic())
        self._use(self._load(given.model_path))

        qos = stream_qos()
        self._horizons = self.create_publisher(FailureHorizons, "failure_horizons", qos)
        self.needs_listeners(self._horizons)
        self._risk = self.create_publisher(Float32, "risk", qos)
        Diagnostics(self, self._report)
        self.add_on_set_parameters_callback(self._check_parameters)
        self.add_post_set_parameters_callback(self._take_parameters)

    def activate(self) -> None:
        """Predict from the next signals on."""
        self.create_subscription(VlaSignals, "signals", self._on_signals, stream_qos())
        self.create_subscription(EpisodeStatus, "episode", self._on_episode, status_qos())

    def cleanup(self) -> None:
        """Let go of the model."""
        self.remove_on_set_parameters_callback(self._check_parameters)
        self.remove_post_set_parameters_callback(self._take_parameters)
        self._model = self._stream = None

    # Predicting

    def _on_signals(self, message: VlaSignals) -> None:
        arrived = time.perf_counter()
        self._follow(message)
        if self._stream is None or self._model is None:
            return
        signals, valid = convert.signals_array(message)
        embedding = convert.embedding_array(message)
        prediction = self._stream.update(signals, valid, embedding, message.step)
        risk = float(prediction.risk[0])
        out = self._message
        out.header = message.header
        out.episode_id = message.episode_id
        out.step = message.step
        out.probability = convert.float_array(prediction.probability)
        out.any_failure = convert.float_array(prediction.any_failure)
        out.risk = risk
        out.threshold = self._threshold()
        if self.parameters.threshold >= 0:
            level = risk - out.threshold
        else:
            level = float(self._model.alarm_level(prediction)[0])
        out.alarm = self._alarm.update(level, 0.0, self.parameters.hysteresis)
        out.most_likely_type = int(prediction.most_likely_type[0])
        out.time_to_failure = float(prediction.time_to_failure_s[0])
        out.episode_failure = float(prediction.episode_failure[0])
        out.latency_ms = self._latency_ms = (time.perf_counter() - arrived) * 1e3
        self._horizons.publish(out)
        self._risk.publish(Float32(data=risk))

    def _follow(self, message: VlaSignals) -> None:
        """Keep count, and start over at a new episode or a jump back in time."""
        stamp_ns = convert.to_ns(message.header.stamp)
        self._heard_at = time.monotonic()
        if message.episode_id != self._episode_id or stamp_ns < self._stamp_ns:
            self._alarm.reset()
            if self._stream is not None:
                self._stream.reset()
            self._episode_id = message.episode_id
        elif message.step > self._step + 1:
            self._drops += message.step - self._step - 1
        self._step = message.step
        self._stamp_ns = stamp_ns
        self._count += 1

    def _threshold(self) -> float:
        """Threshold of the risk; one that is set by hand stands alone."""
        if self.parameters.threshold >= 0:
            return self.parameters.threshold
        return math.nan if self._model is None else self._model.threshold

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
        self._stream = None if model is None else model.stream()
        self._alarm.reset()
        if model is None:
            self.get_logger().warning("no model is loaded: set model_path to a trained predictor")
            return
        self._message = FailureHorizons(
            horizons=list(model.horizons_s),
            failure_types=[int(kind) for kind in model.failure_types],
            episode_threshold=model.episode_threshold,
            model_id=model.model_id,
            calibrated=model.calibrated,
        )
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
            "steps missed": self._drops,
            "age of the last sample in ms": age_s * 1e3
            if abs(age_s) < CLOCKS_DIFFER_S
            else math.nan,
            "latency_ms": self._latency_ms,
            "model": "none" if model is None else model.model_id,
            "calibrated": model is not None and model.calibrated,
            "threshold": self._threshold(),
            "episode_threshold": math.nan if model is None else model.episode_threshold,
            "alarm": self._alarm.active,
            "device": self._device,
        }
        if model is None:
            text = "no model is loaded, so nothing is predicted: set model_path"
            return Report(WARN, text, values)
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
        return Report(OK, "predicting" if model.calibrated else "predicting, uncalibrated", values)


def main() -> int:
    """Run the node."""
    import torch

    torch.set_num_threads(1)  # a row through a small network is faster on one
    return run(PredictorNode)


if __name__ == "__main__":
    sys.exit(main())
