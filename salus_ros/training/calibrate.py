"""Fitting a calibration: true probabilities, and an alarm whose false-alarm rate is a promise.

The alarm's threshold comes from episodes of its own. One that is conformal on episodes which
anything else was chosen or fitted by promises too much: on those the scores of successes are lower
than on new ones. The probabilities, two numbers an output, are fitted to those that chose the
epoch where they are at hand, so that all that is kept for the calibration sets the threshold.
"""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome, events_of
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.alarm_score import excess, references, success_maxima, thresholds
from salus_ros.training.conformal import ALPHAS, conformal_threshold, least_count
from salus_ros.training.dataset import EpisodeRecord, Samples
from salus_ros.training.thresholds import best_f1_threshold

ENDED = (Outcome.SUCCESS, Outcome.FAILURE)

LEAST_FAILURES = 5
"""Failed episodes of a type, fewer than which share the fit of their horizon."""

Array = NDArray[np.float64]


def calibrate(predictor: Predictor, samples: Samples, alpha: float = 0.05) -> Calibration:
    """Fit probabilities and alarm thresholds on episodes that the predictor does not know.

    Episodes that it was trained on are left out, and those of its test part too, which stay for
    the evaluation. Those that chose its epoch fit the probabilities, the others, each once, the
    thresholds; where the former are not among the samples, or all ended alike, one half of the
    others fits the probabilities, see `halves`.

    Each output gets a slope and an intercept on its logit (Platt 1999, with his targets). The
    thresholds of the alarm are split conformal on the maxima over each successful episode of one
    score, which has the whole of alpha: how far the calibrated risk, or the probability that the
    episode fails at all, is above what the successes of the other part reach, see `alarm_score`.
    The threshold of the single outputs promises nothing and comes from both parts, and so does
    that of the types other than the timeout.

    Args:
        predictor: The predictor; a calibration that it has is not used.
        samples: Episodes with its horizons and failure types.
        alpha: Promised share of successful episodes with a false alarm, in (0, 1).

    Raises:
        ConfigError: if alpha is not allowed, or too few successful or failed episodes are left.
    """
    least_count(alpha)  # refuses what is no share before anything is computed
    checkpoint = predictor.checkpoint
    for_probability, for_threshold = _parts(predictor, samples)
    fitted_on, limited_by = samples.subset(for_probability), samples.subset(for_threshold)
    used = samples.subset(for_probability + for_threshold)
    logits, episode = predictor.outputs(*used.inputs)  # (N, H, K), (N, 2)
    first = np.arange(len(used.step)) < len(fitted_on.step)
    slope, intercept, shared = _fit_all(logits[first], fitted_on)
    fitted = Calibration(
        model_id=predictor.model_id,
        slope=_rows(slope),
        intercept=_rows(intercept),
        eventual=_fit_episode(episode[first], fitted_on, 0),
        no_progress=_fit_episode(episode[first], fitted_on, 1),
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
        policies=tuple(sorted({one.meta.policy_id for one in used.records} - {""})),
    )
    calibrated = type(predictor)(checkpoint, str(predictor.device), fitted)
    prediction = calibrated.decide(logits, episode, used.valid.any(axis=1))
    reached = references(prediction.rows(first), fitted_on)
    maxima = success_maxima(excess(prediction.rows(~first), reached), limited_by)
    limits = {
        a: thresholds(reached, conformal_threshold(maxima, a)) for a in sorted({*ALPHAS, alpha})
    }
    soon = {a: limit for a, (limit, _) in limits.items()}
    told = bool(np.isfinite(prediction.episode_failure).any())
    ever = {a: limit if told else math.inf for a, (_, limit) in limits.items()}
    probability = prediction.probability[used.usable]
    labels, events = used.labels[used.usable], events_of(used.failure_types)
    return replace(
        fitted,
        threshold=soon[alpha],
        thresholds=soon,
        episode_threshold=ever[alpha],
        episode_thresholds=ever,
        output_threshold=best_f1_threshold(probability, labels),
        event_threshold=best_f1_threshold(probability[..., events], labels[..., events]),
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
    for_probability, for_threshold = [], []
    for outcome in ENDED:
        ended = [n for n in _once(records, places) if records[n].meta.outcome == outcome]
        for_probability += ended[::2]
        for_threshold += ended[1::2]
    return for_probability, for_threshold


def both_endings(records: Sequence[EpisodeRecord], places: Sequence[int]) -> bool:
    """Whether some of these episodes succeeded and some failed, which probabilities need."""
    return {records[place].meta.outcome for place in places}.issuperset(ENDED)


def promise(calibration: Calibration, alpha: float) -> str:
    """Say what the threshold is worth."""
    if min(calibration.thresholds[alpha], calibration.episode_thresholds[alpha]) < math.inf:
        return f"at most {alpha:.0%} of successful episodes alarm"
    return (
        f"cannot be promised with {calibration.successes} successes of its own: "
        f"{least_count(alpha)} are needed"
    )


def _parts(predictor: Predictor, samples: Samples) -> tuple[list[int], list[int]]:
    """Places for the probabilities and places for the thresholds; no key is in both."""
    records = samples.records
    kept = _once(records, _kept(predictor, samples))
    chose = set(predictor.checkpoint.split.get("validation", ()))
    ended = [n for n, one in enumerate(records) if one.meta.outcome in ENDED]
    choosing = _once(records, [n for n in ended if records[n].key in chose])
    if both_endings(records, choosing):
        return choosing, kept
    return halves(records, kept)


def _once(records: Sequence[EpisodeRecord], places: Sequence[int]) -> list[int]:
    """Places in the order of what their episodes are; of those with one key the first alone."""
    unique = {records[place].key: place for place in reversed(places)}
    return sorted(unique.values(), key=lambda n: (records[n].stratum, records[n].key))


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
