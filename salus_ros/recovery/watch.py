"""What the predictor says of each step, as triggers need it; the one place that asks it."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.alarm import HYSTERESIS, Alarm
from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType
from salus_ros.messages.signals import PredictionRow, SignalsRow
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.lookahead import StepLookahead
from salus_ros.prediction.predictor import Prediction, Predictor, alarm_level
from salus_ros.prediction.stream import PredictorStream


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is foreseen at one step.

    Attributes:
        alarm: Whether there is an alarm, at the watch's own rate.
        probability: That the episode fails; of a failure soon, for a model that tells no more;
            NaN where nothing is known.
        kind: The likeliest kind of failure, should it fail; `NONE` where nothing is known.
    """

    alarm: bool
    probability: float
    kind: FailureType


NOTHING = Forecast(False, math.nan, FailureType.NONE)
"""Of a step that nobody predicts at."""


class AlarmRate:
    """The thresholds of an alarm at a rate of its own.

    Attributes:
        soon: Of the risk.
        ever: Of the probability that the episode fails.
        model_id: Of the predictor that they are for.

    Args:
        calibration: Of a predictor; None where it has none.
        alpha: Share of successful episodes that may alarm: 0.2 for a behaviour that does no harm,
            0.05 for a dear one.

    Raises:
        ConfigError: if there is no calibration, or none for this rate.
    """

    def __init__(self, calibration: Calibration | None, alpha: float) -> None:
        if calibration is None:
            raise ConfigError(
                "the predictor is not calibrated, so its alarm has no rate; run `salus calibrate`"
            )
        if alpha not in calibration.thresholds:
            known = ", ".join(f"{one:g}" for one in calibration.thresholds)
            raise ConfigError(
                f"alpha is {alpha:g}; the predictor is calibrated for {known}: give one of these, "
                f"or run `salus calibrate --alpha {alpha:g}`"
            )
        self.soon = calibration.thresholds[alpha]
        self.ever = calibration.episode_thresholds[alpha]
        self.model_id = calibration.model_id
        if math.isinf(self.soon) and math.isinf(self.ever):
            raise ConfigError(
                f"alpha = {alpha:g} cannot be promised with the {calibration.successes} successes "
                "that the predictor was calibrated on, so it never alarms; give a larger alpha, "
                "or calibrate on more episodes"
            )


class Watch:
    """A predictor's alarm at a rate of its own.

    Args:
        predictor: A calibrated predictor.
        alpha: See `AlarmRate`.

    Raises:
        ConfigError: if it is not calibrated, or not for this rate.
    """

    def __init__(self, predictor: Predictor, alpha: float) -> None:
        self._rate = AlarmRate(predictor.calibration, alpha)
        self._features = predictor.checkpoint.features
        self._types = predictor.failure_types
        self._stream = PredictorStream(predictor)
        parts = self._features.parts.get("lookahead")
        self._look = None if parts is None else StepLookahead.of(parts)
        self.reset()

    def reset(self) -> None:
        """Forget what was seen, as at a new episode."""
        self._stream.reset()
        if self._look is not None:
            self._look.reset()
        self._alarm = Alarm()

    def update(
        self, said: SignalsRow, step: int, joints: Mapping[str, float] | None = None
    ) -> Forecast:
        """What is foreseen after one more step of the policy; a blind step alarms.

        Args:
            said: What the policy says of the step.
            step: Of the episode.
            joints: Values by their `joint_keys`, for a model that reads them.
        """
        row = _values(joints, self._features.parts.get("joints", ()))
        try:
            extras = self._features.read(said, row)
            if self._look is not None:
                self._look.add(extras, said, step, _values(joints, self._look.keys))
            prediction = self._stream.update(said.signals, said.valid, extras, step)
        except ObservationError:
            return Forecast(self._alarm.blind(), math.nan, FailureType.NONE)
        return self._forecasts(prediction, self._alarm)[0]

    def replay(self, prediction: Prediction) -> list[Forecast]:
        """The same for the T steps of an episode that was predicted as a whole."""
        return self._forecasts(prediction, Alarm())

    def _forecasts(self, prediction: Prediction, alarm: Alarm) -> list[Forecast]:
        risk, whole = prediction.risk, prediction.episode_failure
        levels = alarm_level(risk, whole, self._rate.soon, self._rate.ever).tolist()
        ever = np.where(
            np.isnan(prediction.episode_failure), prediction.risk, prediction.episode_failure
        ).tolist()
        return [
            Forecast(
                alarm=alarm.update(level, 0.0, HYSTERESIS),
                probability=ever[row],
                kind=self._kind(prediction, row),
            )
            for row, level in enumerate(levels)
        ]

    def _kind(self, prediction: Prediction, row: int) -> FailureType:
        whole = float(prediction.episode_failure[row]), float(prediction.no_progress[row])
        return _likeliest(prediction.probability[row], *whole, self._types)


class Overheard:
    """What a predictor elsewhere publishes, as `Watch` says it.

    Args:
        rate: The rate of the alarm; None for the predictor's own alarm.
    """

    def __init__(self, rate: AlarmRate | None) -> None:
        self._rate = rate
        self.reset()

    def reset(self) -> None:
        """Forget what was heard, as at a new episode."""
        self._alarm = Alarm()

    def update(self, said: PredictionRow) -> Forecast:
        """What is foreseen at one more step, of which the predictor has said this.

        Raises:
            ObservationError: if the rate is that of another model.
        """
        rate, (ever, idle) = self._rate, said.episode_outputs.tolist()
        kind = _likeliest(said.probability, ever, idle, said.failure_types)
        probability = said.risk if math.isnan(ever) else ever
        if math.isnan(said.risk) and said.alarm:  # it is blind, whatever the rate
            return Forecast(self._alarm.blind(), math.nan, FailureType.NONE)
        if rate is None:
            return Forecast(said.alarm, probability, kind)
        if said.model_id != rate.model_id:
            raise ObservationError(
                f"the predictor runs model {said.model_id}, the alarm's rate is that of model "
                f"{rate.model_id}; give both the same",
                "a prediction of another model than the alarm's rate is for",
            )
        risk, whole = np.array([said.risk], np.float32), np.array([ever], np.float32)
        level = float(alarm_level(risk, whole, rate.soon, rate.ever)[0])
        return Forecast(self._alarm.update(level, 0.0, HYSTERESIS), probability, kind)


def _likeliest(
    probability: NDArray[np.float32], ever: float, idle: float, types: Sequence[FailureType]
) -> FailureType:
    """No progress where that is at least every second failure, else the likeliest type.

    Args:
        probability: (H, K).
        ever: That the episode fails.
        idle: That it ends in no progress.
        types: The K types.
    """
    if idle >= 0.5 * ever:
        return FailureType.TIMEOUT
    by_type = probability.max(axis=0)  # (K,)
    return FailureType.NONE if np.isnan(by_type).any() else types[int(by_type.argmax())]


def _values(
    joints: Mapping[str, float] | None, keys: tuple[str, ...]
) -> NDArray[np.float32] | None:
    """The values (1, W) of some keys; None where nothing is said of joints."""
    if joints is None:
        return None
    return np.array([[joints.get(key, math.nan) for key in keys]], np.float32)
