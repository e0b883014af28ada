"""Predicting with a trained model: the same code live and offline."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.prediction.checkpoint import Checkpoint


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What is predicted for B steps; every value is NaN where no signal was valid.

    Attributes:
        probability: Float32 (B, H, K): failure of type k within horizon h. Not calibrated unless
            the predictor says so.
        any_failure: Float32 (B, H): 1 - prod_k (1 - probability), made non-decreasing in the
            horizon by its cumulative maximum.
        risk: Float32 (B,): maximum of `any_failure` over the horizons.
        most_likely_type: Int64 (B,), values of `FailureType`: the type with the highest
            probability within any horizon; `NONE` when no failure at all, 1 - risk, is likelier,
            or when nothing was predicted.
        time_to_failure_s: Float32 (B,): where `any_failure` crosses 0.5, linear between the
            horizons and from 0 at 0 s to the first; NaN when it stays below.
    """

    probability: NDArray[np.float32]
    any_failure: NDArray[np.float32]
    risk: NDArray[np.float32]
    most_likely_type: NDArray[np.int64]
    time_to_failure_s: NDArray[np.float32]


class Predictor:
    """A trained model with its normalisation and threshold.

    Attributes:
        checkpoint: What it was made from.
        device: Where the model runs.
        model_id: Short hash of the checkpoint file.
        horizons_s: The H horizons in s.
        failure_types: The K failure types, in output order.
        threshold: Alarm when risk exceeds it; NaN when none was set, and then nothing alarms.
        calibrated: Whether probabilities and threshold were calibrated on held-out episodes.
    """

    def __init__(self, checkpoint: Checkpoint, device: str = "cpu") -> None:
        """Build the model on a device.

        Raises:
            CheckpointError: if the weights do not fit.
            ConfigError: if there is no such device.
        """
        self.checkpoint = checkpoint
        self.device = check_device(device)
        self.model_id = checkpoint.model_id
        self.horizons_s = checkpoint.horizons_s
        self.failure_types = checkpoint.failure_types
        self.threshold = checkpoint.threshold
        self.calibrated = checkpoint.calibrated
        self._model = checkpoint.build_model().to(self.device)
        self._types = np.asarray(self.failure_types, dtype=np.int64)

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> Self:
        """Load `best_predictor.pt`, or the folder that holds it.

        Raises:
            CheckpointError: if it is no predictor.
            ConfigError: if there is no such device.
        """
        return cls(Checkpoint.load(path), device)

    def predict(
        self, signals: NDArray[np.float32], valid: NDArray[np.bool_] | None = None
    ) -> Prediction:
        """Predict the failures of the next moments, each step by itself.

        Args:
            signals: Float32 (B, S) or (S,); what is not valid may be anything.
            valid: Bool, same shape; by default what is not NaN.

        Returns:
            The prediction for B steps, 1 for a single one.

        Raises:
            ObservationError: if the sizes differ from those of training, or a value marked valid
                is not finite.
        """
        signals = np.atleast_2d(np.asarray(signals, dtype=np.float32))  # (B, S)
        valid = ~np.isnan(signals) if valid is None else np.atleast_2d(np.asarray(valid, bool))
        logits = self.logits(signals, valid)  # (B, H, K)
        probability = 0.5 + 0.5 * np.tanh(0.5 * logits)  # the sigmoid, without its overflow
        probability[~valid.any(axis=1)] = np.nan
        any_failure = np.maximum.accumulate(1.0 - np.prod(1.0 - probability, axis=2), axis=1)
        risk = any_failure[:, -1]  # the last of a non-decreasing row is its maximum
        by_type = probability.max(axis=1)  # (B, K)
        failure_likelier = by_type.max(axis=1) > 1.0 - risk  # False for NaN
        most_likely = self._types[by_type.argmax(axis=1)]
        return Prediction(
            probability=probability,
            any_failure=any_failure,
            risk=risk,
            most_likely_type=np.where(failure_likelier, most_likely, int(FailureType.NONE)),
            time_to_failure_s=_crossing(any_failure, self.horizons_s),
        )

    def logits(
        self, signals: NDArray[np.float32], valid: NDArray[np.bool_]
    ) -> NDArray[np.float32]:
        """Return the raw outputs, float32 (B, H, K); a row without valid signals is a guess."""
        features = self.checkpoint.normalisation.apply(signals, valid)  # (B, S)
        with torch.inference_mode():
            outputs = self._model(torch.from_numpy(features).to(self.device))
            flat: NDArray[np.float32] = outputs.cpu().numpy()
        return flat.reshape(-1, len(self.horizons_s), len(self.failure_types))


def check_device(device: str) -> torch.device:
    """Return the torch device called `device`.

    Raises:
        ConfigError: if torch does not know it or this machine does not have it.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {device!r}; use 'cpu', 'cuda' or 'cuda:0'") from error
    if found.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {device!r} is not supported; use 'cpu', 'cuda' or 'cuda:0'")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA "
            "devices; use 'cpu', or check the driver with `salus doctor`"
        )
    return found


def _crossing(
    any_failure: NDArray[np.float32], horizons_s: tuple[float, ...]
) -> NDArray[np.float32]:
    """Time (B,) at which each row of (B, H) crosses 0.5; NaN where it does not."""
    times = np.asarray((0.0, *horizons_s), dtype=np.float32)  # (H + 1,)
    values = np.zeros((len(any_failure), len(times)), dtype=np.float32)  # (B, H + 1), 0 at 0 s
    values[:, 1:] = any_failure
    reached = values >= 0.5
    last = np.maximum(reached.argmax(axis=1), 1)  # first horizon at or above, 1 where none
    row = np.arange(len(values))
    low, high = values[row, last - 1], values[row, last]
    crossed = reached[row, last]
    share = np.divide(0.5 - low, high - low, out=np.zeros_like(low), where=crossed)
    moment = times[last - 1] + share * (times[last] - times[last - 1])
    return np.where(crossed, moment, np.float32(np.nan)).astype(np.float32, copy=False)
