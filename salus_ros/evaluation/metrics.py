"""Figures of a multi-label predictor, counted over (step, horizon, type) outputs.

Rule for divisions by zero: a figure that no sample can define is NaN, never 0 or 1.
Precision is undefined when nothing was predicted, recall when nothing was to be found, and
F1 = 2 TP / (2 TP + FP + FN) only when both hold; so F1 is 0 when positives exist and none was
found. A report writes such a figure as null with the reason.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError

CALIBRATION_BINS = 15
"""Bins of the expected calibration error."""


@dataclass(frozen=True, slots=True)
class Counts:
    """Confusion counts, and the figures that follow from them."""

    true_positive: int
    false_positive: int
    false_negative: int
    true_negative: int

    @property
    def positives(self) -> int:
        """Number of outputs whose label is 1."""
        return self.true_positive + self.false_negative

    @property
    def predicted(self) -> int:
        """Number of outputs predicted 1."""
        return self.true_positive + self.false_positive

    @property
    def total(self) -> int:
        """Number of outputs counted."""
        return self.positives + self.false_positive + self.true_negative

    @property
    def accuracy(self) -> float:
        """(TP + TN) / all; NaN without any output."""
        return _ratio(self.true_positive + self.true_negative, self.total)

    @property
    def precision(self) -> float:
        """TP / (TP + FP); NaN when nothing was predicted."""
        return _ratio(self.true_positive, self.predicted)

    @property
    def recall(self) -> float:
        """TP / (TP + FN); NaN when there was nothing to find."""
        return _ratio(self.true_positive, self.positives)

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN); NaN when nothing was predicted nor to be found."""
        return _ratio(2 * self.true_positive, self.predicted + self.positives)


def count(predicted: NDArray[np.bool_], labels: NDArray[np.bool_]) -> Counts:
    """Micro confusion counts of two boolean arrays of one shape.

    For the counts of one type, or with a type left out, pass that part of both arrays.
    """
    if predicted.shape != labels.shape:
        raise ConfigError(f"predictions {predicted.shape} and labels {labels.shape} differ")
    hits = int(np.count_nonzero(predicted & labels))
    predicted_count = int(np.count_nonzero(predicted))
    label_count = int(np.count_nonzero(labels))
    return Counts(
        true_positive=hits,
        false_positive=predicted_count - hits,
        false_negative=label_count - hits,
        true_negative=labels.size - predicted_count - label_count + hits,
    )


def average_precision(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Area under the precision-recall curve as the sum of (R_n - R_{n-1}) P_n.

    Equal scores form one threshold, so the order of ties does not matter.

    Args:
        scores: Any shape; higher means failure.
        labels: Bool, same shape.

    Returns:
        Value in [0, 1]; NaN without a positive label.
    """
    true_positive, false_positive = _cumulative_counts(scores, labels)
    if not labels.any():
        return float("nan")
    precision = true_positive / (true_positive + false_positive)
    recall = true_positive / true_positive[-1]
    return float(np.sum(np.diff(recall, prepend=0.0) * precision))


def auroc(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Probability that a positive outscores a negative, ties counting one half.

    Args:
        scores: Any shape; higher means failure.
        labels: Bool, same shape.

    Returns:
        Value in [0, 1]; NaN unless both classes are present.
    """
    true_positive, false_positive = _cumulative_counts(scores, labels)
    if labels.all() or not labels.any():
        return float("nan")
    hit_rate = np.concatenate(([0.0], true_positive / true_positive[-1]))
    alarm_rate = np.concatenate(([0.0], false_positive / false_positive[-1]))
    return float(np.trapezoid(hit_rate, alarm_rate))


def brier_score(probability: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Mean squared difference of probabilities and labels (Brier 1950); NaN without any."""
    if not labels.size:
        return float("nan")
    return float(np.mean(np.square(probability.astype(np.float64) - labels)))


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


def best_f1_threshold(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Threshold c that maximises the F1 of `scores > c`; the highest one among equals.

    Returns:
        Midpoint between two neighbouring scores; NaN without a positive label, because then no
        choice is better than another.
    """
    true_positive, false_positive = _cumulative_counts(scores, labels)
    if not labels.any():
        return float("nan")
    f1 = 2 * true_positive / (true_positive + false_positive + true_positive[-1])
    distinct = np.unique(scores)[::-1].astype(np.float64)  # from the highest down, as f1
    best = int(np.argmax(f1))
    if best + 1 == distinct.size:
        return float(np.nextafter(np.float32(distinct[best]), np.float32(-np.inf)))
    return float((distinct[best] + distinct[best + 1]) / 2)


def _cumulative_counts(
    scores: NDArray[np.floating], labels: NDArray[np.bool_]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """TP and FP of `scores >= c` for every distinct score c, from the highest down."""
    if scores.shape != labels.shape:
        raise ConfigError(f"scores {scores.shape} and labels {labels.shape} differ")
    if np.isnan(scores).any():
        raise ConfigError("scores hold NaN; leave out the steps without a prediction")
    order = np.argsort(-scores, axis=None, kind="stable")
    sorted_scores = scores.ravel()[order]
    sorted_labels = labels.ravel()[order]
    last_of_ties = np.append(np.diff(sorted_scores) != 0, True)[: sorted_scores.size]
    true_positive = np.cumsum(sorted_labels, dtype=np.int64)[last_of_ties]
    predicted = np.flatnonzero(last_of_ties) + 1
    return true_positive, predicted - true_positive


def _ratio(numerator: int, denominator: int) -> float:
    return numerator / denominator if denominator else float("nan")
