"""The figures of a predictor on labelled steps."""

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.core.metrics import Counts, auroc, average_precision, best_f1_threshold, count
from salus_ros.prediction.dataset import Samples, load_samples
from salus_ros.prediction.predictor import Predictor

DECISION_THRESHOLD = 0.5
"""Probability above which an output counts as predicted, as in the proof of concept."""


def evaluate(predictor: Predictor, samples: Samples, rows: NDArray[np.bool_]) -> dict[str, Any]:
    """Compute the figures of a predictor on some steps.

    A figure that the steps cannot define (recall without a failure, say) is None, and
    `undefined` says why.

    Args:
        predictor: The predictor; its horizons and failure types are those of the samples.
        samples: Labelled steps.
        rows: Mask (N,) of usable steps.

    Returns:
        JSON values: `loss`, `accuracy`, `precision`, `recall` and `f1` over all outputs at
        probability 0.5; `at_threshold` with the last four at the predictor's output threshold;
        `without_timeout`, `by_type` and `by_horizon` with the same parts; `average_precision` and
        `auroc` over all outputs; `risk` with the figures of the alarm against "a failure within
        the longest horizon"; `steps`, `episodes`, `positives` and `undefined`.
    """
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
    logits = predictor.logits_of(samples)[rows]
    prediction = predictor.predict_samples(samples).rows(rows)
    probability = prediction.probability
    hits = probability > DECISION_THRESHOLD
    counts = count(hits, labels)
    types = predictor.failure_types
    kept = [k for k, kind in enumerate(types) if kind != FailureType.TIMEOUT]
    result |= {
        "loss": weighted_loss(logits, labels, predictor.checkpoint.config.pos_weight),
        **_figures(counts),
        "average_precision": _defined(average_precision(probability, labels)),
        "auroc": _defined(auroc(probability, labels)),
        "without_timeout": _figures(count(hits[:, :, kept], labels[:, :, kept])),
        "by_type": {
            kind.label: _figures(count(hits[:, :, k], labels[:, :, k]))
            for k, kind in enumerate(types)
        },
        "by_horizon": {
            f"{horizon:g} s": _figures(count(hits[:, h], labels[:, h]))
            for h, horizon in enumerate(predictor.horizons_s)
        },
        "undefined": _reasons(counts),
    }
    soon = _any_label(labels)
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
        above = probability > predictor.checkpoint.output_threshold
        result["at_threshold"] = _figures(count(above, labels)) | {
            "threshold": predictor.checkpoint.output_threshold
        }
    return result


def evaluate_store(
    predictor: Predictor, store: str | Path, *, include_seen: bool = False
) -> dict[str, Any]:
    """Compute the figures of a predictor on a store, without the episodes it has seen.

    Seen are the episodes it was trained on and those that chose its epoch and thresholds; they
    are known by their content.

    Args:
        predictor: The predictor.
        store: Folder of an episode store.
        include_seen: Count the seen episodes too.

    Returns:
        As `evaluate`, with `model_id` and `left_out`.

    Raises:
        StoreError: if the store cannot be read.
        ConfigError: if it has other signals, or no episode is left.
    """
    checkpoint = predictor.checkpoint
    samples = load_samples([store], predictor.horizons_s, predictor.failure_types)
    if samples.signal_names != checkpoint.signal_names:
        raise ConfigError(
            f"'{store}' has the signals {list(samples.signal_names)}, the predictor takes "
            f"{list(checkpoint.signal_names)}; record with the signals it was trained on"
        )
    seen_keys = {*checkpoint.split.get("train", ()), *checkpoint.split.get("validation", ())}
    seen = [n for n, record in enumerate(samples.records) if record.key in seen_keys]
    kept = [n for n in range(len(samples.records)) if include_seen or n not in set(seen)]
    if not kept:
        raise ConfigError(
            f"all {len(seen)} labelled episodes of '{store}' were used in training, so figures on "
            "them would mean little; give another store, or include them explicitly"
        )
    handled = "counted nevertheless" if include_seen else "left out"
    note = (
        f"{len(seen)} of {len(samples.records)} episodes were used in training and are {handled}"
    )
    return evaluate(predictor, samples, samples.rows(kept)) | {
        "model_id": predictor.model_id,
        "left_out": {
            "seen_in_training": 0 if include_seen else len(seen),
            "unlabelled": samples.unlabelled,
            "note": f"{note}; {samples.unlabelled} more have no known outcome",
        },
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


def _figures(counts: Counts) -> dict[str, float | int | None]:
    figures: dict[str, float | int | None] = {
        name: _defined(getattr(counts, name)) for name in _FIGURES
    }
    return figures | {"positives": counts.positives, "predicted": counts.predicted}


def _reasons(counts: Counts) -> dict[str, str]:
    reasons = {}
    if not counts.predicted:
        reasons["precision"] = "nothing was predicted positive"
    if not counts.positives:
        reasons["recall"] = "no positive label: no failure among these steps"
        if not counts.predicted:
            reasons["f1"] = reasons["recall"]
    return reasons


def _defined(value: float) -> float | None:
    return None if math.isnan(value) else value
