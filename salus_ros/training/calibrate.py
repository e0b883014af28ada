"""Fitting a calibration: true probabilities, and an alarm whose false-alarm rate is a promise.

The epoch of a model, its probabilities and its alarm threshold each come from episodes of their
own. A threshold that is conformal on episodes which anything else was chosen or fitted by promises
too much: on those the scores of successes are lower than on new ones.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.conformal import ALPHAS, conformal_threshold, least_count
from salus_ros.training.dataset import EpisodeRecord, Samples
from salus_ros.training.thresholds import best_f1_threshold

LEAST_FAILURES = 5
"""Failed episodes of a type, fewer than which share the fit of their horizon."""

Array = NDArray[np.float64]


def calibrate(predictor: Predictor, samples: Samples, alpha: float = 0.05) -> Calibration:
    """Fit probabilities and alarm thresholds on episodes that the predictor does not know.

    Episodes that it was trained on, or that chose its epoch, are left out, and those of its test
    part too, which stay for the evaluation. Of the others, each once, one half fits the
    probabilities and the other the thresholds, see `halves`.

    Each output gets a slope and an intercept on its logit (Platt 1999, with his targets). The
    threshold is split conformal on the maxima over each successful episode of the calibrated
    probability of the eventual failure, or of the risk for a model that does not tell it: one
    score has the whole of alpha, and the first is never below the second. The threshold of the
    single outputs promises nothing and comes from both halves.

    Args:
        predictor: The predictor; a calibration that it has is not used.
        samples: Episodes with its horizons and failure types.
        alpha: Promised share of successful episodes with a false alarm, in (0, 1).

    Raises:
        ConfigError: if alpha is not allowed, or too few successful or failed episodes are left.
    """
    least_count(alpha)  # refuses what is no share before anything is computed
    checkpoint = predictor.checkpoint
    for_probability, for_threshold = halves(samples.records, _kept(predictor, samples))
    fitted_on, limited_by = samples.subset(for_probability), samples.subset(for_threshold)
    logits, episode = predictor.outputs(*fitted_on.inputs)  # (N, H, K), (N, 2)
    slope, intercept, shared = _fit_all(logits, fitted_on)
    fitted = Calibration(
        model_id=predictor.model_id,
        slope=_rows(slope),
        intercept=_rows(intercept),
        eventual=_fit_episode(episode, fitted_on, 0),
        no_progress=_fit_episode(episode, fitted_on, 1),
        shared=shared,
        alpha=alpha,
        threshold=math.inf,
        thresholds={},
        episode_threshold=math.inf,
        episode_thresholds={},
        output_threshold=math.nan,
        successes=0,
        probability_keys=tuple(record.key for record in fitted_on.records),
        threshold_keys=tuple(record.key for record in limited_by.records),
    )
    calibrated = type(predictor)(checkpoint, str(predictor.device), fitted)
    prediction = calibrated.predict_episodes(*limited_by.inputs)
    told = bool(np.isfinite(prediction.episode_failure).any())
    score = prediction.episode_failure if told else prediction.risk
    maxima = success_maxima(score, limited_by)
    limits = {a: conformal_threshold(maxima, a) for a in sorted({*ALPHAS, alpha})}
    never = dict.fromkeys(limits, math.inf)
    thresholds, episode_thresholds = (never, limits) if told else (limits, never)
    used = samples.subset(for_probability + for_threshold)
    probability = calibrated.predict_episodes(*used.inputs).probability
    return replace(
        fitted,
        threshold=thresholds[alpha],
        thresholds=thresholds,
        episode_threshold=episode_thresholds[alpha],
        episode_thresholds=episode_thresholds,
        output_threshold=best_f1_threshold(probability[used.usable], used.labels[used.usable]),
        successes=len(maxima),
    )


def halves(records: Sequence[EpisodeRecord], places: Sequence[int]) -> tuple[list[int], list[int]]:
    """Split episodes into two halves, each ending evenly, always in the same way.

    Args:
        records: Episodes with a known outcome.
        places: Which of them to split; of those with one key the first alone.

    Returns:
        Places for the probabilities and places for the thresholds; no key is in both. Successes
        and failures are each dealt in turn, the first to the probabilities.
    """
    unique = {records[place].key: place for place in reversed(places)}
    order = sorted(unique.values(), key=lambda n: (records[n].stratum, records[n].key))
    for_probability, for_threshold = [], []
    for outcome in (Outcome.SUCCESS, Outcome.FAILURE):
        ended = [place for place in order if records[place].meta.outcome == outcome]
        for_probability += ended[::2]
        for_threshold += ended[1::2]
    return for_probability, for_threshold


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
    return (
        f"cannot be promised with {calibration.successes} successes of its own: "
        f"{least_count(alpha)} are needed"
    )


def _kept(predictor: Predictor, samples: Samples) -> list[int]:
    """Places of the episodes that a predictor may be calibrated on."""
    split = predictor.checkpoint.split
    gone = {key for part in ("train", "validation", "test") for key in split.get(part, ())}
    kept = [n for n, record in enumerate(samples.records) if record.key not in gone]
    good = sum(samples.records[n].meta.outcome == Outcome.SUCCESS for n in kept)
    if good in (0, len(kept)):
        raise ConfigError(
            f"{len(kept)} of {len(samples.records)} episodes can be used (neither trained on, nor "
            f"choosing the epoch, nor kept for testing), of which {good} succeeded; both "
            "successes and failures are needed: give a store with more episodes, or train with a "
            "larger --calibration-fraction"
        )
    return kept


def _fit_all(logits: NDArray[np.float32], used: Samples) -> tuple[Array, Array, tuple[str, ...]]:
    shape = logits.shape[1:]
    slope, intercept = np.ones(shape), np.zeros(shape)
    endings = [record.failure_type for record in used.records]
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


def _fit_episode(logits: NDArray[np.float32], used: Samples, output: int) -> tuple[float, float]:
    """Slope and intercept of one of `EPISODE_OUTPUTS`, of logits (N, 2)."""
    x, y = logits[used.usable, output], used.endings[used.episode, output]
    return (1.0, 0.0) if np.isnan(x).all() else _platt(x.astype(np.float64), y[used.usable])


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
