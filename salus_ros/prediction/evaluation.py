"""The figures of a predictor on labelled steps."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.episode_metrics import percentile_interval
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.core.metrics import (
    Counts,
    auroc,
    average_precision,
    best_f1_threshold,
    brier_score,
    count,
    expected_calibration_error,
)
from salus_ros.core.statistics import REPLICATES
from salus_ros.prediction.dataset import Samples, load_samples
from salus_ros.prediction.episode_evaluation import evaluate_episodes
from salus_ros.prediction.predictor import Prediction, Predictor

DECISION_THRESHOLD = 0.5
"""Probability above which an output counts as predicted, as in the proof of concept."""


def evaluate(predictor: Predictor, samples: Samples, rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Compute the step-level figures of a predictor on some steps.

    A figure that the steps cannot define (recall without a failure, say) is None, and
    `undefined` says why.

    Args:
        predictor: The predictor; its horizons and failure types are those of the samples.
        samples: Labelled steps.
        rows: Mask (N,) of usable steps.

    Returns:
        JSON values: `loss`, and `accuracy`, `precision`, `recall`, `f1`, `average_precision`,
        `brier_score` and `calibration_error` over all outputs, the decisions at probability 0.5;
        `at_threshold` at the predictor's output threshold, with a bootstrap interval over
        episodes for F1; `without_timeout`, `by_type`, `by_horizon` (types against each other)
        and `any_failure` (of any type, by horizon) with the same parts; `macro`, the mean over
        types; `auroc` over all outputs; `risk` with the figures of the alarm against "a failure
        within the longest horizon"; `steps`, `episodes`, `positives` and `undefined`.
    """
    logits, prediction = predictor.logits_of(samples), predictor.predict_samples(samples)
    return evaluate_prediction(predictor, samples, rows, logits, prediction)


def evaluate_prediction(
    predictor: Predictor,
    samples: Samples,
    rows: NDArray[np.bool_],
    logits: NDArray[np.float32],
    prediction: Prediction,
) -> dict[str, Any]:
    """As `evaluate`, of outputs that were computed before."""
    labels = samples.labels[rows]  # (N, H, K)
    result: dict[str, Any] = {
        "steps": int(rows.sum()),
        "episodes": len(np.unique(samples.episode[rows])),
        "positives": int(labels.sum()),
    }
    if not len(labels):
        empty = Counts(0, 0, 0, 0)
        reason = "no usable step: no episode, or none with a valid signal before its failure"
        undefined = dict.fromkeys(("loss", *_FIGURES), reason)
        return result | {"loss": None, **_figures(empty), "undefined": undefined}
    prediction = prediction.rows(rows)
    probability = prediction.probability
    checkpoint = predictor.checkpoint
    types = predictor.failure_types
    kept = [k for k, kind in enumerate(types) if kind != FailureType.TIMEOUT]
    any_label = np.asarray(labels.any(axis=2), np.bool_)  # (N, H)
    overall = _part(probability, labels, DECISION_THRESHOLD)
    by_type = {
        kind.label: _part(probability[:, :, k], labels[:, :, k], DECISION_THRESHOLD)
        for k, kind in enumerate(types)
    }
    result |= {
        "loss": weighted_loss(logits[rows], labels, checkpoint.config.pos_weight),
        **overall,
        "auroc": _defined(auroc(probability, labels)),
        "without_timeout": _part(probability[:, :, kept], labels[:, :, kept], DECISION_THRESHOLD),
        "by_type": by_type,
        "macro": {name: _mean(part[name] for part in by_type.values()) for name in _SCORES},
        "by_horizon": {
            f"{horizon:g} s": _part(probability[:, h], labels[:, h], DECISION_THRESHOLD)
            for h, horizon in enumerate(predictor.horizons_s)
        },
        "any_failure": {
            f"{horizon:g} s": _part(
                prediction.any_failure[:, h], any_label[:, h], DECISION_THRESHOLD
            )
            for h, horizon in enumerate(predictor.horizons_s)
        },
        "undefined": _reasons(overall),
    }
    soon = any_label[:, -1]
    result["risk"] = {
        "threshold": _defined(predictor.threshold),
        "average_precision": _defined(average_precision(prediction.risk, soon)),
        "auroc": _defined(auroc(prediction.risk, soon)),
        "positives": int(soon.sum()),
    }
    if math.isnan(predictor.threshold):
        reason = "no threshold: validation held no failure to choose it by"
        result["undefined"]["at_threshold"] = reason
    else:
        alarms = prediction.risk > predictor.threshold
        result["risk"] |= _figures(count(alarms, soon))
        limit = predictor.output_threshold
        owner = samples.episode[rows]
        result["at_threshold"] = {"threshold": limit}
        for name, columns in (("all", slice(None)), ("without_timeout", kept)):
            p, y = probability[:, :, columns], labels[:, :, columns]
            part = _figures(count(p > limit, y)) | {
                "f1_interval": f1_interval(p > limit, y, owner)
            }
            result["at_threshold"] |= part if name == "all" else {name: part}
    return result


def f1_interval(
    predicted: NDArray[np.bool_], labels: NDArray[np.bool_], episode: NDArray[np.int64]
) -> list[float | None]:
    """Bootstrap interval of the micro F1 that resamples whole episodes.

    Args:
        predicted: Bool (N, ...).
        labels: Bool, same shape.
        episode: Which episode each of the N steps belongs to.
    """
    _, owner = np.unique(episode, return_inverse=True)
    axes = tuple(range(1, labels.ndim))
    hits, wrong = (
        np.bincount(owner, part.sum(axis=axes))
        for part in (predicted & labels, predicted ^ labels)
    )
    rng = np.random.default_rng(0)
    drawn = rng.multinomial(len(hits), np.full(len(hits), 1 / len(hits)), size=REPLICATES)
    both, either = 2 * (drawn @ hits), drawn @ wrong
    replicates = np.divide(both, both + either, out=np.full(len(both), np.nan), where=both > 0)
    return [_defined(end) for end in percentile_interval(replicates)]


def evaluate_stores(
    predictor: Predictor, stores: Sequence[str | Path], *, include_seen: bool = False
) -> dict[str, Any]:
    """Compute all figures of a predictor on some stores, without the episodes it has seen.

    Seen are the episodes it was trained on, those that chose its epoch and thresholds, and those
    it was calibrated on; they are known by their content.

    Args:
        predictor: The predictor.
        stores: Episode stores.
        include_seen: Count the seen episodes too.

    Returns:
        As `evaluate`, with `episode_level` (see `evaluate_episodes`), the same `by_task` and
        `by_condition` where there are several, `model_id` and `left_out`.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if one has other signals, or no episode is left.
    """
    samples, left_out = held_out(predictor, stores, include_seen=include_seen)
    logits, prediction = predictor.logits_of(samples), predictor.predict_samples(samples)
    result = evaluate_prediction(predictor, samples, samples.usable, logits, prediction)
    alpha = None if predictor.calibration is None else predictor.calibration.alpha
    result["episode_level"] = evaluate_episodes(
        prediction.risk, samples, predictor.threshold, alpha
    )
    for name in ("task", "condition"):
        values = [str(getattr(record.meta, name)) for record in samples.records]
        if len(set(values)) > 1:
            result[f"by_{name}"] = {
                value: evaluate_episodes(
                    prediction.risk[np.isin(samples.episode, places)],
                    samples.subset(places),
                    predictor.threshold,
                    alpha,
                )
                for value in sorted(set(values))
                for places in [[n for n, one in enumerate(values) if one == value]]
            }
    return result | {
        "model_id": predictor.model_id,
        "calibrated": predictor.calibrated,
        "left_out": left_out,
    }


def held_out(
    predictor: Predictor, stores: Sequence[str | Path], *, include_seen: bool = False
) -> tuple[Samples, dict[str, Any]]:
    """Read the episodes of some stores that a predictor has not seen, see `evaluate_stores`.

    Returns:
        The episodes, and what was left out: `seen_in_training`, `used_in_calibration`,
        `unlabelled` and a `note`.
    """
    samples = load_samples(stores, predictor.horizons_s, predictor.failure_types)
    predictor.check_samples(samples)
    split = predictor.checkpoint.split
    trained = {*split.get("train", ()), *split.get("validation", ())}
    calibrated = set() if predictor.calibration is None else set(predictor.calibration.keys)
    keys = [record.key for record in samples.records]
    seen = [n for n, key in enumerate(keys) if key in trained]
    used = [n for n, key in enumerate(keys) if key in calibrated - trained]
    gone = set() if include_seen else {*seen, *used}
    kept = [n for n in range(len(keys)) if n not in gone]
    if not kept:
        raise ConfigError(
            f"all {len(keys)} labelled episodes of {[str(path) for path in stores]} were used in "
            "training or calibration, so figures on them would mean little; give another store, "
            "or include them explicitly"
        )
    handled = "counted nevertheless" if include_seen else "left out"
    note = (
        f"{len(seen)} of {len(keys)} episodes were used in training and {len(used)} more in "
        f"calibration; they are {handled}; {samples.unlabelled} more have no known outcome"
    )
    return samples.subset(kept), {
        "seen_in_training": 0 if include_seen else len(seen),
        "used_in_calibration": 0 if include_seen else len(used),
        "unlabelled": samples.unlabelled,
        "note": note,
    }


def choose_thresholds(
    predictor: Predictor, samples: Samples, rows: NDArray[np.bool_]
) -> tuple[float, float]:
    """Thresholds of the risk and of the single outputs with the best F1 on these steps.

    Returns:
        Threshold of the risk against "a failure within the longest horizon", and of the
        probabilities against their labels; both NaN without a failure among the steps.
    """
    if not samples.labels[rows].any():
        return math.nan, math.nan
    prediction = predictor.predict_samples(samples).rows(rows)
    labels = samples.labels[rows]
    return (
        best_f1_threshold(prediction.risk, _any_label(labels)),
        best_f1_threshold(prediction.probability, labels),
    )


def weighted_loss(
    logits: NDArray[np.float32], labels: NDArray[np.bool_], pos_weight: float
) -> float:
    """Mean binary cross-entropy, positives weighted: w y softplus(-x) + (1 - y) softplus(x)."""
    positive = np.logaddexp(0.0, -logits.astype(np.float64))
    negative = np.logaddexp(0.0, logits.astype(np.float64))
    return float(np.where(labels, pos_weight * positive, negative).mean())


def _any_label(labels: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Whether a failure of any type lies within the longest horizon: (N, H, K) -> (N,)."""
    return np.asarray(np.any(labels, axis=(1, 2)), dtype=np.bool_)


_FIGURES = ("accuracy", "precision", "recall", "f1")
_SCORES = ("precision", "recall", "f1", "average_precision", "brier_score", "calibration_error")


def _part(
    probability: NDArray[np.float32], labels: NDArray[np.bool_], threshold: float
) -> dict[str, Any]:
    """All figures of some outputs."""
    return _figures(count(probability > threshold, labels)) | {
        "average_precision": _defined(average_precision(probability, labels)),
        "brier_score": _defined(brier_score(probability, labels)),
        "calibration_error": _defined(expected_calibration_error(probability, labels)),
    }


def _figures(counts: Counts) -> dict[str, Any]:
    figures: dict[str, Any] = {name: _defined(getattr(counts, name)) for name in _FIGURES}
    return figures | {"positives": counts.positives, "predicted": counts.predicted}


def _reasons(figures: dict[str, Any]) -> dict[str, str]:
    reasons = {}
    if not figures["predicted"]:
        reasons["precision"] = "nothing was predicted positive"
    if not figures["positives"]:
        reasons["recall"] = "no positive label: no failure among these steps"
        if not figures["predicted"]:
            reasons["f1"] = reasons["recall"]
    return reasons


def _mean(values: Iterable[float | None]) -> float | None:
    """Mean of those that are defined."""
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
