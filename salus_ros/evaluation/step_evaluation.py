"""The figures of probabilities on single steps, over horizons and types."""

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import FailureType, events_of
from salus_ros.evaluation.episode_metrics import percentile_interval
from salus_ros.evaluation.metrics import (
    Decisions,
    average_precision,
    brier_score,
    expected_calibration_error,
)
from salus_ros.evaluation.statistics import REPLICATES

DECISIONS = ("accuracy", "precision", "recall", "f1")
SCORES = ("average_precision", "brier_score", "calibration_error")
MACRO = ("precision", "recall", "f1", *SCORES)


def evaluate_steps(
    probability: NDArray[np.float32],
    labels: NDArray[np.bool_],
    episode: NDArray[np.int64],
    horizons_s: Sequence[float],
    types: Sequence[FailureType],
    threshold: float,
    *,
    ranked: bool = True,
) -> dict[str, Any]:
    """Compute the figures of some steps, at one threshold for all outputs.

    Args:
        probability: Float32 (N, H, K), N at least 1.
        labels: Bool, same shape.
        episode: Which episode each step belongs to, (N,).
        horizons_s: The H horizons in s.
        types: The K failure types.
        threshold: Above which an output counts as predicted.
        ranked: Add the figures that depend on no threshold: `SCORES`.

    Returns:
        JSON values: the figures over all outputs, with `f1_interval`; `by_type`, `by_horizon`
        and `by_horizon_and_type` with the same figures; `macro`, their mean over the types that
        define them; `without_timeout`, all of it without that type (of single types nothing
        changes, so they are not repeated), None where it is the only one. A figure that nothing
        defines is None.
    """
    kept = events_of(types)
    by_type = {
        kind.label: figures(probability[:, :, k], labels[:, :, k], threshold, ranked=ranked)
        for k, kind in enumerate(types)
    }
    horizons = {f"{horizon:g} s": h for h, horizon in enumerate(horizons_s)}

    def over(columns: list[int]) -> dict[str, Any]:
        p, y = probability[:, :, columns], labels[:, :, columns]
        return {
            **figures(p, y, threshold, ranked=ranked),
            "f1_interval": f1_interval(p > threshold, y, episode),
            "macro": {
                name: _mean(by_type[types[k].label].get(name) for k in columns) for name in MACRO
            },
            "by_horizon": {
                name: figures(p[:, h], y[:, h], threshold, ranked=ranked)
                for name, h in horizons.items()
            },
        }

    return {
        **over(list(range(len(types)))),
        "by_type": by_type,
        "by_horizon_and_type": {
            name: {
                kind.label: figures(
                    probability[:, h, k], labels[:, h, k], threshold, ranked=ranked
                )
                for k, kind in enumerate(types)
            }
            for name, h in horizons.items()
        },
        "without_timeout": over(kept) if kept else None,
    }


def evaluate_events(
    probability: NDArray[np.float32],
    labels: NDArray[np.bool_],
    episode: NDArray[np.int64],
    types: Sequence[FailureType],
    threshold: float,
) -> dict[str, Any] | None:
    """Compute the figures of all types but the timeout at a threshold of their own.

    Args:
        probability: Float32 (N, H, K), N at least 1.
        labels: Bool, same shape.
        episode: Which episode each step belongs to, (N,).
        types: The K failure types.
        threshold: Chosen for these types, on other episodes; NaN for none.

    Returns:
        JSON values: `threshold`, `DECISIONS` and `f1_interval`; None without such a type or a
        threshold.
    """
    kept = events_of(types)
    if not kept or math.isnan(threshold):
        return None
    predicted, labels = probability[:, :, kept] > threshold, labels[:, :, kept]
    return {
        "threshold": threshold,
        **decisions(predicted, labels),
        "f1_interval": f1_interval(predicted, labels, episode),
    }


def figures(
    probability: NDArray[np.float32],
    labels: NDArray[np.bool_],
    threshold: float,
    *,
    ranked: bool = True,
) -> dict[str, Any]:
    """Figures of some outputs: `DECISIONS`, `positives`, `predicted` and, if ranked, `SCORES`."""
    found = decisions(probability > threshold, labels)
    return found | (probability_scores(probability, labels) if ranked else {})


def probability_scores(
    probability: NDArray[np.floating], labels: NDArray[np.bool_]
) -> dict[str, Any]:
    """`SCORES` as JSON values."""
    values = (
        average_precision(probability, labels),
        brier_score(probability, labels),
        expected_calibration_error(probability, labels),
    )
    return dict(zip(SCORES, map(defined, values), strict=True))


def precision_by_output(
    scores: NDArray[np.floating],
    labels: NDArray[np.bool_],
    horizons_s: Sequence[float],
    types: Sequence[FailureType],
) -> dict[str, dict[str, dict[str, float | None]]]:
    """Average precision of each output beside its base rate, which a score by chance has.

    Args:
        scores: (N, H, K), or (N,) for one that does for all outputs; steps with a NaN, which were
            not judged, do not count.
        labels: Bool (N, H, K).
        horizons_s: The H horizons in s.
        types: The K failure types.

    Returns:
        By horizon and type `average_precision`, None without a positive, and `base_rate`, the
        share of positives, None without a step.
    """
    several = scores if scores.ndim == 3 else scores[:, None, None]
    judged = ~np.isnan(several).any(axis=(1, 2))
    several, labels = np.broadcast_to(several, labels.shape)[judged], labels[judged]
    return {
        f"{horizon:g} s": {
            kind.label: {
                "average_precision": defined(average_precision(several[:, h, k], labels[:, h, k])),
                "base_rate": defined(float(labels[:, h, k].mean()) if len(labels) else math.nan),
            }
            for k, kind in enumerate(types)
        }
        for h, horizon in enumerate(horizons_s)
    }


def decisions(predicted: NDArray[np.bool_], labels: NDArray[np.bool_]) -> dict[str, Any]:
    """`Decisions` as JSON values."""
    made = Decisions.of(predicted, labels)
    found: dict[str, Any] = {name: defined(getattr(made, name)) for name in DECISIONS}
    return found | {"positives": made.positives, "predicted": made.predicted}


def undefined(found: dict[str, Any]) -> dict[str, str]:
    """Why the figures that are None are so."""
    reasons = {}
    if not found["predicted"]:
        reasons["precision"] = "nothing was predicted positive"
    if not found["positives"]:
        reason = "no positive label: no failure among these steps"
        reasons |= {"recall": reason, "average_precision": reason}
        if not found["predicted"]:
            reasons["f1"] = reason
    return reasons


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
    both = 2.0 * (drawn @ hits)
    counted = both + drawn @ wrong
    replicates = np.divide(both, counted, out=np.full(len(both), np.nan), where=counted > 0)
    return [defined(end) for end in percentile_interval(replicates)]


def defined(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else float(value)


def _mean(values: Iterable[float | None]) -> float | None:
    there = [value for value in values if value is not None]
    return float(np.mean(there)) if there else None
