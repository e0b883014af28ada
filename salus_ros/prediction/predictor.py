"""Predicting with a trained model: the same code live and offline."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.core.schema import EPISODE_OUTPUTS
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.checkpoint import Checkpoint
from salus_ros.prediction.device import check_device
from salus_ros.prediction.extras import Extras, Parts
from salus_ros.prediction.models import run_sequences
from salus_ros.prediction.shipped import predictor_path

Outputs = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Raw outputs of B steps: of horizons and types (B, H, K), and of the episode as a whole (B, 2),
in the order of `schema.EPISODE_OUTPUTS`; NaN for what a model does not tell."""


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
        episode_failure: Float32 (B,): probability that the episode will fail, at any distance,
            never below `risk`; NaN for a model without that output.
        no_progress: Float32 (B,): probability that it will end in no progress, by its time limit,
            never above `episode_failure`; NaN for a model without that output.
    """

    probability: NDArray[np.float32]
    any_failure: NDArray[np.float32]
    risk: NDArray[np.float32]
    most_likely_type: NDArray[np.int64]
    time_to_failure_s: NDArray[np.float32]
    episode_failure: NDArray[np.float32]
    no_progress: NDArray[np.float32]

    def rows(self, mask: NDArray[np.bool_]) -> "Prediction":
        """Return the prediction for the steps of a mask (B,) alone."""
        return Prediction(**{one.name: getattr(self, one.name)[mask] for one in fields(self)})


class Predictor:
    """A trained model with its normalisation, calibration and threshold.

    Attributes:
        checkpoint: What it was made from.
        calibration: What makes its probabilities and its alarm trustworthy; None if missing.
        device: Where the model runs.
        model_id: Short hash of the checkpoint file.
        horizons_s: The H horizons in s.
        failure_types: The K failure types, in output order.
        threshold: Alarm when risk exceeds it: the calibrated one, else the one that training
            chose; NaN when there is none, and then nothing alarms.
        episode_threshold: Alarm when the probability that the episode fails at all exceeds it;
            +inf when not calibrated.
        output_threshold: That of a single probability; training chose it.
        event_threshold: That of the types other than the timeout alone; NaN when not calibrated.
        calibrated: Whether probabilities and threshold were calibrated on held-out episodes.
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        device: str = "cpu",
        calibration: Calibration | None = None,
    ) -> None:
        """Build the model on a device.

        Raises:
            CheckpointError: if the weights do not fit.
            ConfigError: if there is no such device.
        """
        self.checkpoint = checkpoint
        self.calibration = calibration
        self.device = check_device(device)
        self.model_id = checkpoint.model_id
        self.horizons_s = checkpoint.horizons_s
        self.failure_types = checkpoint.failure_types
        self.calibrated = calibration is not None
        self.threshold = checkpoint.threshold
        self.episode_threshold = math.inf
        self.output_threshold = checkpoint.output_threshold
        self.event_threshold = math.nan
        if calibration is not None:
            self.threshold = calibration.threshold
            self.episode_threshold = calibration.episode_threshold
            self.output_threshold = calibration.output_threshold
            self.event_threshold = calibration.event_threshold
        self.model = checkpoint.build_model().to(self.device)
        self._types = np.asarray(self.failure_types, dtype=np.int64)

    def doubt(self, policy_id: str) -> str:
        """Why its calibration does not hold for a policy, in words; empty: nothing against it."""
        return "" if self.calibration is None else self.calibration.doubt(policy_id)

    def doubts(self, policy_ids: Iterable[str]) -> list[str]:
        """Those of several policies, each once."""
        return sorted({self.doubt(policy_id) for policy_id in policy_ids} - {""})

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu") -> Self:
        """Load `best_predictor.pt`, or the folder that holds it, and its calibration beside it.

        `shipped` is the one that comes with the package. A calibration of another model is not
        used.

        Raises:
            CheckpointError: if it is no predictor.
            ConfigError: if there is no such device.
        """
        path = predictor_path(path)
        checkpoint = Checkpoint.load(path)
        calibration = Calibration.load(path if path.is_dir() else path.parent)
        fits = calibration is not None and calibration.model_id == checkpoint.model_id
        return cls(checkpoint, device, calibration if fits else None)

    def predict(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_] | None = None,
        extras: Extras | None = None,
    ) -> Prediction:
        """Predict at every step of one episode, given from its first step.

        Args:
            signals: Float32 (T, S), or (S,) for the first step alone; what is not valid may be
                anything.
            valid: Bool, same shape; by default what is not NaN.
            extras: Those of `extras.EXTRAS` that there are, (T, W) each.

        Returns:
            The prediction for T steps.

        Raises:
            ObservationError: if the sizes differ from those of training, or a value marked valid
                is not finite.
        """
        signals = np.atleast_2d(np.asarray(signals, dtype=np.float32))  # (T, S)
        valid = ~np.isnan(signals) if valid is None else np.atleast_2d(np.asarray(valid, bool))
        steps = np.arange(len(signals))
        return self.predict_episodes(signals, valid, extras, steps, (len(signals),))

    def predict_episodes(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        extras: Extras | None,
        step: NDArray[np.integer],
        lengths: Sequence[int],
    ) -> Prediction:
        """Predict at all N steps of several episodes, each given from its first step.

        Args:
            signals: Float32 (N, S), the steps of one episode after the other; what is not valid
                may be anything.
            valid: Bool, same shape.
            extras: Those of `extras.EXTRAS` that there are, (N, W) each.
            step: (N,) step within its episode, from 0.
            lengths: Steps of each episode, N in all.

        Raises:
            ObservationError: if the sizes differ from those of training, or a value marked valid
                is not finite.
        """
        outputs = self.outputs(signals, valid, extras, step, lengths)
        return self.decide(*outputs, np.any(valid, axis=1))

    def outputs(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        extras: Extras | None,
        step: NDArray[np.integer],
        lengths: Sequence[int],
    ) -> Outputs:
        """Return the raw outputs at all N steps, see `Outputs`; arguments as `predict_episodes`.

        Without any valid signal they are a guess.
        """
        features = self.checkpoint.features.apply(signals, valid, extras, step)  # (N, F)
        with torch.inference_mode():
            given = torch.from_numpy(features).to(self.device)
            outputs = run_sequences(self.model, given, lengths)
        return self.shaped(outputs.float().cpu().numpy())

    def check_inputs(self, names: Sequence[str], parts: Parts) -> None:
        """Refuse episodes with other signals than those of training, or that lack an input.

        Args:
            names: Of the signals.
            parts: Those of `extras.EXTRAS` that the episodes have, and what they consist of.

        Raises:
            ConfigError: naming both.
        """
        if tuple(names) != self.checkpoint.signal_names:
            raise ConfigError(
                f"the episodes have the signals {list(names)}, the predictor takes "
                f"{list(self.checkpoint.signal_names)}; record with the signals it was trained on"
            )
        features = self.checkpoint.features
        if lacking := [name for name in features.extras if name not in parts]:
            made = " (`salus lookahead` makes it)" if "lookahead" in lacking else ""
            raise ConfigError(
                f"the episodes lack {', '.join(lacking)}, which the predictor reads, or not all "
                f"have it alike; there are {', '.join(parts) or 'none of its kind'}. Record it"
                f"{made}, or train a predictor without (--inputs)"
            )
        for name, both in features.other_parts(parts).items():
            raise ConfigError(
                f"the {name} of the episodes consists of {both}; give episodes of the same policy "
                "and robot, or train another predictor"
            )

    def decide(
        self,
        logits: NDArray[np.float32],
        episode: NDArray[np.float32],
        known: NDArray[np.bool_] | np.bool_,
    ) -> Prediction:
        """Turn raw outputs into probabilities and what follows from them.

        Args:
            logits: Float32 (B, H, K).
            episode: Float32 (B, 2), of the episode as a whole; NaN for what is not told.
            known: Bool (B,): any signal was valid; elsewhere nothing is predicted.
        """
        if self.calibration is None:
            probability = sigmoid(logits)
        else:
            probability = self.calibration.apply(logits)
            episode = self.calibration.apply_episode(episode)
        ending = sigmoid(episode)  # (B, 2)
        if not known.all():
            probability[~known] = np.nan
            ending[~known] = np.nan
        # Methods of ufuncs: for one live step numpy's functions cost more than the arithmetic.
        none = np.multiply.reduce(1.0 - probability, axis=2)  # (B, H)
        any_failure = np.maximum.accumulate(1.0 - none, axis=1)
        risk = any_failure[:, -1]  # the last of a non-decreasing row is its maximum
        by_type = np.maximum.reduce(probability, axis=1)  # (B, K)
        most_likely = self._types[by_type.argmax(axis=1)]
        episode_failure = np.maximum(ending[:, 0], risk)
        none_likelier = ~(np.maximum.reduce(by_type, axis=1) > 1.0 - risk)  # True for NaN
        most_likely[none_likelier] = int(FailureType.NONE)
        return Prediction(
            probability=probability,
            any_failure=any_failure,
            risk=risk,
            most_likely_type=most_likely,
            time_to_failure_s=_crossing(any_failure, self.horizons_s),
            episode_failure=episode_failure,
            no_progress=np.minimum(ending[:, 1], episode_failure),
        )

    def alarm_level(self, prediction: Prediction) -> NDArray[np.float32]:
        """See `alarm_level`, of its own thresholds."""
        risk, whole = prediction.risk, prediction.episode_failure
        return alarm_level(risk, whole, self.threshold, self.episode_threshold)

    def shaped(self, flat: NDArray[np.float32]) -> Outputs:
        """Outputs of the network (B, H * K and those about the episode) as `Outputs`."""
        shape = (len(flat), len(self.horizons_s), len(self.failure_types))
        split = shape[1] * shape[2]
        episode = np.full((len(flat), len(EPISODE_OUTPUTS)), np.nan, np.float32)
        episode[:, : flat.shape[1] - split] = flat[:, split:]
        return flat[:, :split].reshape(shape), episode


def alarm_level(
    risk: NDArray[np.float32],
    episode_failure: NDArray[np.float32],
    threshold: float,
    episode_threshold: float,
) -> NDArray[np.float32]:
    """How far predictions are above their thresholds, the further one, (B,).

    Above 0 is an alarm. NaN where nothing was predicted, -inf where nothing can alarm.

    Args:
        risk: (B,), see `Prediction`.
        episode_failure: (B,).
        threshold: Of the risk.
        episode_threshold: Of the probability that the episode fails at all.
    """
    soon = risk - np.float32(threshold)
    ever = episode_failure - np.float32(episode_threshold)
    level: NDArray[np.float32] = np.fmax(soon, ever)
    return level


def sigmoid(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), without its overflow."""
    values: NDArray[np.float32] = np.tanh(0.5 * logits)
    values *= 0.5
    values += 0.5
    return values


def _crossing(
    any_failure: NDArray[np.float32], horizons_s: tuple[float, ...]
) -> NDArray[np.float32]:
    """Time (B,) at which each row of (B, H) crosses 0.5; NaN where it does not."""
    if not np.logical_or.reduce(any_failure[:, -1] >= 0.5):  # rows do not fall; most end here
        return np.full(len(any_failure), np.nan, np.float32)
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
