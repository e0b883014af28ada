"""Figures of a multi-label predictor, over (step, horizon, type) outputs, by scikit-learn.

Rule for what cannot be defined: a figure that no sample can define is NaN, never 0 or 1.
Precision is undefined when nothing was predicted, recall when nothing was to be found, and
F1 = 2 TP / (2 TP + FP + FN) only when both hold; so F1 is 0 when positives exist and none was
found. A report writes such a figure as null with the reason.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import (
    average_precision_score,
    brier_score_loss,
    precision_recall_fscore_support,
    roc_auc_score,
)

from salus_ros.core.errors import ConfigError

CALIBRATION_BINS = 15
"""Bins of the expected calibration error."""


@dataclass(frozen=True, slots=True)
class Decisions:
    """How well yes-or-no predictions fit their labels.

    Attributes:
        accuracy: (TP + TN) / all.
        precision: TP / (TP + FP).
        recall: TP / (TP + FN).
        f1: 2 TP / (2 TP + FP + FN).
        positives: Number of outputs whose label is 1.
        predicted: Number of outputs predicted 1.
    """

    accuracy: float
    precision: float
    recall: float
    f1: float
    positives: int
    predicted: int

    @classmethod
    def of(cls, predicted: NDArray[np.bool_], labels: NDArray[np.bool_]) -> Self:
        """Compare two boolean arrays of one shape, all outputs alike (micro).

        For one type, or with a type left out, pass that part of both arrays.

        Raises:
            ConfigError: if their shapes differ.
        """
        if predicted.shape != labels.shape:
            raise ConfigError(f"predictions {predicted.shape} and labels {labels.shape} differ")
        if not labels.size:
            return cls(np.nan, np.nan, np.nan, np.nan, 0, 0)
        precision, recall, f1, _ = precision_recall_fscore_support(
            labels.ravel(), predicted.ravel(), average="binary", zero_division=np.nan
        )
        return cls(
            accuracy=float((predicted == labels).mean()),
            precision=float(precision),
            recall=float(recall),
            f1=float(f1),
            positives=int(labels.sum()),
            predicted=int(predicted.sum()),
        )


def average_precision(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve as the sum of (R_n - R_{n-1}) P_n.

    Equal scores form one threshold, so the order of ties does not matter.

    Args:
        scores: Any shape, finite; higher means failure.
        labels: Bool, same shape.

    Returns:
        Value in [0, 1]; NaN without a positive label.

    Raises:
        ConfigError: if a score is NaN, or the shapes differ.
    """
    _check(scores, labels)
    if not labels.any():
        return float("nan")
    return float(average_precision_score(labels.ravel(), scores.ravel()))


def auroc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Probability that a positive outscores a negative, ties counting one half.

    Args:
        scores: Any shape, finite; higher means failure.
        labels: Bool, same shape.

    Returns:
        Value in [0, 1]; NaN unless both classes are present.

    Raises:
        ConfigError: if a score is NaN, or the shapes differ.
    """
    _check(scores, labels)
    if labels.all() or not labels.any():
        return float("nan")
    return float(roc_auc_score(labels.ravel(), scores.ravel()))


def brier_score(probability: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Mean squared difference of probabilities and labels (Brier 1950); NaN without any."""
    if not labels.size:
        return float("nan")
    flat = probability.ravel().astype(np.float64)
    return float(brier_score_loss(labels.ravel(), flat, labels=[False, True], pos_label=True))


def expected_calibration_error(
    probability: NDArray[np.floating], labels: NDArray[np.bool_], bins: int = CALIBRATION_BINS
) -> float:
    """Mean |share of positives - mean probability| over equal-width bins, by their counts.

    Guo et al. 2017 (arXiv 1706.04599), with their 15 bins, so that figures compare; bins of equal
    mass (Nixon et al. 2019, arXiv 1904.01685) are another definition.

    Args:
        probability: Any shape, in [0, 1].
        labels: Bool, same shape.
        bins: Number of bins.

    Returns:
        Value in [0, 1]; NaN without any.
    """
    if not labels.size:
        return float("nan")
    values = probability.ravel().astype(np.float64)
    place = np.minimum((values * bins).astype(np.int64), bins - 1)
    gaps = np.bincount(place, labels.ravel() - values, minlength=bins)
    return float(np.abs(gaps).sum() / values.size)


def _check(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> None:
    if scores.shape != labels.shape:
        raise ConfigError(f"scores {scores.shape} and labels {labels.shape} differ")
    if np.isnan(scores).any():
        raise ConfigError("scores hold NaN; leave out the steps without a prediction")
