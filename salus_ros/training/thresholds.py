"""Thresholds that training chooses by the F1 on its validation part."""

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix_at_thresholds

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.dataset import Samples


def choose_thresholds(
    predictor: Predictor, samples: Samples, rows: NDArray[np.bool_]
) -> tuple[float, float]:
    """Thresholds of the risk and of the single outputs with the best F1 on these steps.

    Args:
        predictor: The predictor.
        samples: Labelled steps.
        rows: Mask (N,) of usable steps.

    Returns:
        Threshold of the risk against "a failure within the longest horizon", and of the
        probabilities against their labels; both NaN without a failure among the steps.
    """
    labels = samples.labels[rows]
    if not labels.any():
        return math.nan, math.nan
    prediction = predictor.predict_episodes(*samples.inputs).rows(rows)
    soon = np.asarray(labels.any(axis=(1, 2)), np.bool_)
    return (
        best_f1_threshold(prediction.risk, soon),
        best_f1_threshold(prediction.probability, labels),
    )


def best_f1_threshold(scores: NDArray[np.floating], labels: NDArray[np.bool_]) -> float:
    """Threshold c that maximises the F1 of `scores > c`; the highest one among equals.

    Args:
        scores: Any shape; higher means failure.
        labels: Bool, same shape.

    Returns:
        Midpoint between two neighbouring scores; NaN without a positive label, because then no
        choice is better than another.

    Raises:
        ConfigError: if a score is NaN.
    """
    if np.isnan(scores).any():
        raise ConfigError("scores hold NaN; leave out the steps without a prediction")
    if not labels.any():
        return math.nan
    # From the highest distinct score down, of `scores >= level`.
    _, false, missed, hits, level = confusion_matrix_at_thresholds(labels.ravel(), scores.ravel())
    best = int(np.argmax(2 * hits / (2 * hits + false + missed)))
    if best + 1 == len(level):
        return float(np.nextafter(np.float32(level[best]), np.float32(-np.inf)))
    return (float(level[best]) + float(level[best + 1])) / 2
