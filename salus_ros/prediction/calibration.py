"""Making a predictor's probabilities true and its alarm a promise, on episodes it never saw."""

import json
import math
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.evaluation.metrics import best_f1_threshold
from salus_ros.training.conformal import conformal_threshold, least_count
from salus_ros.training.dataset import Samples

if TYPE_CHECKING:
    from salus_ros.prediction.predictor import Predictor

FILE_NAME = "calibration.json"
FORMAT = "salus-calibration"

ALPHAS = (0.01, 0.05, 0.1, 0.2)
"""Promised shares of false alarms for which a threshold is always computed."""

LEAST_FAILURES = 5
"""Failed episodes of a type, fewer than which share the fit of their horizon."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Calibration:
    """What was fitted to a predictor, for H horizons and K failure types.

    Attributes:
        model_id: The predictor.
        slope: Of the logit, H rows of K, above 0, so that rankings stay.
        intercept: H rows of K.
        eventual: Slope and intercept of the logit of the eventual failure.
        shared: Types with too few failures for a fit of their own; they share one per horizon.
        alpha: Promised share of successful episodes with a false alarm.
        threshold: Alarm when the calibrated risk exceeds it; +inf, and then it never alarms, for
            a model that tells the eventual failure, and where alpha is too small for the number
            of successes.
        thresholds: The same for each of `ALPHAS`.
        episode_threshold: Alarm when the probability of the eventual failure exceeds it; +inf
            for a model without, and where alpha is too small.
        episode_thresholds: The same for each of `ALPHAS`.
        output_threshold: Of the single calibrated probabilities: that with the best micro F1.
        successes: Successful episodes that the thresholds come from.
        keys: Content keys of all episodes used.
    """

    model_id: str
    slope: tuple[tuple[float, ...], ...]
    intercept: tuple[tuple[float, ...], ...]
    eventual: tuple[float, float]
    shared: tuple[str, ...]
    alpha: float
    threshold: float
    thresholds: dict[float, float]
    episode_threshold: float
    episode_thresholds: dict[float, float]
    output_threshold: float
    successes: int
    keys: tuple[str, ...]

    def apply(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated probabilities float32 (B, H, K) of logits (B, H, K)."""
        slope, intercept = self._halved
        probability: NDArray[np.float32] = np.tanh(logits * slope + intercept)
        probability *= 0.5
        probability += 0.5
        return probability

    @cached_property
    def _halved(self) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Half of slope and intercept (H, K): sigmoid(x) = 0.5 + 0.5 tanh(x / 2)."""
        return 0.5 * np.asarray(self.slope, np.float32), 0.5 * np.asarray(
            self.intercept, np.float32
        )

    def apply_eventual(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """Calibrated logits (B,) of the eventual failure, of raw ones."""
        slope, intercept = self.eventual
        scaled: NDArray[np.float32] = logits * np.float32(slope) + np.float32(intercept)
        return scaled

    def to_json(self) -> dict[str, Any]:
        """Return JSON values; a threshold of +inf is null."""
        values = asdict(self) | {"format": FORMAT}
        for name in ("threshold", "episode_threshold"):
            values[name] = _finite(values[name])
            several = values[f"{name}s"].items()
            values[f"{name}s"] = {f"{alpha:g}": _finite(limit) for alpha, limit in several}
        return values

    def save(self, folder: str | Path) -> Path:
        """Write `calibration.json` into the predictor's folder, at once or not at all."""
        path = Path(folder) / FILE_NAME
        partial = path.with_name(path.name + ".part")
        partial.write_text(json.dumps(self.to_json(), indent=1, allow_nan=False) + "\n")
        partial.replace(path)
        return path

    @classmethod
    def load(cls, folder: str | Path) -> Self | None:
        """Read `calibration.json`; None where there is none.

        Raises:
            CheckpointError: if it is damaged or no calibration.
        """
        path = Path(folder) / FILE_NAME
        try:
            values = json.loads(path.read_text())
            if values.pop("format") != FORMAT:
                raise ValueError("unknown format")
            slope, intercept = (tuple(map(tuple, values[n])) for n in ("slope", "intercept"))
            sizes = np.asarray(slope, np.float64).shape, np.asarray(intercept, np.float64).shape
            if sizes[0] != sizes[1] or len(sizes[0]) != 2 or np.asarray(slope).min() <= 0:
                raise ValueError(f"slope {sizes[0]} and intercept {sizes[1]}")
            given: dict[str, Any] = {
                "slope": slope,
                "intercept": intercept,
                "eventual": (float(values["eventual"][0]), float(values["eventual"][1])),
                "shared": tuple(values["shared"]),
                "keys": tuple(values["keys"]),
            }
            for name in ("threshold", "episode_threshold"):
                several = values[f"{name}s"].items()
                given[name] = _infinite(values[name])
                given[f"{name}s"] = {float(a): _infinite(limit) for a, limit in several}
            return cls(**(values | given))
        except FileNotFoundError:
            return None
        except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise CheckpointError(
                f"'{path}' is not a calibration ({error}); run `salus calibrate` again, or delete "
                "it to predict uncalibrated"
            ) from error


def calibrate(predictor: "Predictor", samples: Samples, alpha: float = 0.05) -> Calibration:
    """Fit probabilities and alarm thresholds on episodes that the predictor was not trained on.

    Episodes of the training part are left out, and those of the test part too, which stay for
    the evaluation; the validation part and all others are used.

    Each output gets a slope and an intercept on its logit (Platt 1999, with his targets). The
    threshold is split conformal on the maxima over each successful episode of the calibrated
    probability of the eventual failure, or of the risk for a model that does not tell it: one
    score has the whole of alpha, and the first is never below the second. All use the same
    episodes: 2 H K fitted numbers cost the promise little, which an evaluation on others shows.

    Args:
        predictor: The predictor; a calibration that it has is not used.
        samples: Episodes with its horizons and failure types.
        alpha: Promised share of successful episodes with a false alarm, in (0, 1).

    Raises:
        ConfigError: if alpha is not allowed, or no successful episode or no failed one is left.
    """
    least_count(alpha)  # refuses what is no share before anything is computed
    checkpoint = predictor.checkpoint
    gone = {*checkpoint.split.get("train", ()), *checkpoint.split.get("test", ())}
    kept = [n for n, record in enumerate(samples.records) if record.key not in gone]
    successes = [n for n in kept if samples.records[n].meta.outcome == Outcome.SUCCESS]
    if not successes or len(successes) == len(kept):
        raise ConfigError(
            f"{len(kept)} of {len(samples.records)} episodes can be used (neither trained on nor "
            f"kept for testing), of which {len(successes)} succeeded; both successes and failures "
            "are needed: give a store with more episodes"
        )
    used = samples.subset(kept)
    logits, eventual = predictor.outputs_of(used)  # (N, H, K), (N,)
    slope, intercept, shared = _fit_all(logits, used)
    fitted = Calibration(
        model_id=predictor.model_id,
        slope=_rows(slope),
        intercept=_rows(intercept),
        eventual=_fit_eventual(eventual, used),
        shared=shared,
        alpha=alpha,
        threshold=math.inf,
        thresholds={},
        episode_threshold=math.inf,
        episode_thresholds={},
        output_threshold=math.nan,
        successes=0,
        keys=tuple(record.key for record in used.records),
    )
    calibrated = type(predictor)(checkpoint, str(predictor.device), fitted)
    prediction = calibrated.predict_samples(used)
    told = bool(np.isfinite(prediction.episode_failure).any())
    maxima = success_maxima(prediction.episode_failure if told else prediction.risk, used)
    limits = {a: conformal_threshold(maxima, a) for a in sorted({*ALPHAS, alpha})}
    never = dict.fromkeys(limits, math.inf)
    thresholds, episode_thresholds = (never, limits) if told else (limits, never)
    return replace(
        fitted,
        threshold=thresholds[alpha],
        thresholds=thresholds,
        episode_threshold=episode_thresholds[alpha],
        episode_thresholds=episode_thresholds,
        output_threshold=best_f1_threshold(
            prediction.probability[used.usable], used.labels[used.usable]
        ),
        successes=len(maxima),
    )


def success_maxima(score: NDArray[np.floating], samples: Samples) -> Array:
    """Largest score of each successful episode; those without any score are left out.

    Args:
        score: (N,), NaN where nothing was predicted.
        samples: The episodes.
    """
    maxima = [
        float(np.nanmax(score[rows]))
        for rows, record in zip(samples.slices, samples.records, strict=True)
        if record.meta.outcome == Outcome.SUCCESS and not np.isnan(score[rows]).all()
    ]
    return np.asarray(maxima, dtype=np.float64)


def promise(calibration: Calibration, alpha: float) -> str:
    """Say what the threshold is worth."""
    if min(calibration.thresholds[alpha], calibration.episode_thresholds[alpha]) < math.inf:
        return f"at most {alpha:.0%} of successful episodes alarm"
    return f"cannot be promised with {calibration.successes}: {least_count(alpha)} are needed"


def _fit_all(logits: NDArray[np.float32], used: Samples) -> tuple[Array, Array, tuple[str, ...]]:
    shape = logits.shape[1:]
    slope, intercept = np.ones(shape), np.zeros(shape)
    endings = [record.meta.failure_type for record in used.records]
    types = used.failure_types
    shared = [k for k, kind in enumerate(types) if endings.count(kind) < LEAST_FAILURES]
    x, y = logits[used.usable].astype(np.float64), used.labels[used.usable]
    for h in range(shape[0]):
        for columns in ([shared] if shared else []) + [
            [k] for k in range(shape[1]) if k not in shared
        ]:
            fitted = _platt(x[:, h, columns].ravel(), y[:, h, columns].ravel())
            slope[h, columns], intercept[h, columns] = fitted
    return slope, intercept, tuple(types[k].label for k in shared)


def _fit_eventual(logits: NDArray[np.float32], used: Samples) -> tuple[float, float]:
    if np.isnan(logits).all():
        return 1.0, 0.0
    failed = [record.meta.outcome == Outcome.FAILURE for record in used.records]
    labels = np.asarray(failed, np.bool_)[used.episode]
    return _platt(logits[used.usable].astype(np.float64), labels[used.usable])


def _platt(logits: Array, labels: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope above 0 and intercept with the least cross-entropy against Platt's targets.

    Targets (N+ + 1) / (N+ + 2) and 1 / (N- + 2) keep a single class from being certain.
    """
    positives = int(labels.sum())
    negatives = labels.size - positives
    targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (negatives + 2))

    def loss(parameters: Array) -> tuple[float, Array]:
        slope, intercept = np.exp(parameters[0]), parameters[1]
        z = slope * logits + intercept
        value = np.logaddexp(0.0, z) - targets * z
        wrong = 0.5 + 0.5 * np.tanh(0.5 * z) - targets
        return value.mean(), np.array([(wrong * logits).mean() * slope, wrong.mean()])

    found = minimize(loss, np.zeros(2), jac=True, method="L-BFGS-B", bounds=[(-3, 3), (-20, 20)])
    return float(np.exp(found.x[0])), float(found.x[1])


def _rows(values: Array) -> tuple[tuple[float, ...], ...]:
    return tuple(tuple(map(float, row)) for row in values)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _infinite(value: float | None) -> float:
    return math.inf if value is None else float(value)
