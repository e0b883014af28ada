"""What the alarm goes by: the further of two probabilities above what successes reach.

Some failures come out of nothing and are seen for half a second, others show seconds ahead that
nothing will come of it. The risk tells the first, the probability that the episode fails at all
the second; a threshold on one of them alone misses the others. Each is compared, as a logit, with
a high quantile of its largest values in successful episodes, and the further one counts.
"""

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from salus_ros.core.failures import Outcome
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.predictor import Prediction
from salus_ros.training.dataset import Samples

REFERENCE = 0.9
"""The quantile; which one matters little, as it shifts both in the same way."""

LEAST, MOST = 1e-6, 1 - 2.0**-25
"""Probabilities beyond them count as these; the second is above every single below 1."""

Array = NDArray[np.float64]

References = tuple[float, float]
"""Logits of the risk and of the probability of failing at all that successes reach."""


def references(prediction: Prediction, samples: Samples) -> References:
    """What successful episodes reach.

    Args:
        prediction: Of all their steps.
        samples: The episodes.

    Returns:
        Quantiles of the largest logits; 0 where no success has any.
    """
    found = [success_maxima(score, samples) for score in _logits(prediction)]
    soon, ever = (float(np.quantile(m, REFERENCE)) if len(m) else 0.0 for m in found)
    return soon, ever


def references_of(calibration: Calibration) -> References | None:
    """Logits from which its alarm measures, as `references`, but for what both have in common.

    `excess` of these is above 0 where the alarm of one of its alphas sounds, and ranks as that
    alarm does.

    Returns:
        None where no threshold is finite; +inf for a probability that the alarm does not go by.
    """
    for alpha, soon in calibration.thresholds.items():
        both = soon, calibration.episode_thresholds[alpha]
        if min(both) < math.inf:
            first, second = (
                float(logit(np.clip(one, LEAST, MOST))) if one < math.inf else math.inf
                for one in both
            )
            return first, second
    return None


def excess(prediction: Prediction, reached: References) -> Array:
    """How far the further of the two is above what successes reach, (N,); NaN without either."""
    soon, ever = _logits(prediction)
    further: Array = np.fmax(soon - reached[0], ever - reached[1])
    return further


def thresholds(reached: References, limit: float) -> tuple[float, float]:
    """Thresholds of the two probabilities that stand for one of `excess`; +inf for +inf.

    They are rounded up in single precision, so that a score at the limit is not above it.
    """
    soon, ever = np.nextafter(expit(np.add(reached, limit)).astype(np.float32), np.float32(2))
    return (math.inf, math.inf) if math.isinf(limit) else (float(soon), float(ever))


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


def _logits(prediction: Prediction) -> tuple[Array, Array]:
    soon, ever = (
        np.clip(np.asarray(values, dtype=np.float64), LEAST, MOST)
        for values in (prediction.risk, prediction.episode_failure)
    )
    return logit(soon), logit(ever)
