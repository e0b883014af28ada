"""Split conformal prediction: a threshold whose false-alarm rate is a promise.

With n exchangeable successful episodes and one more, the one more exceeds the threshold with
probability at most alpha (Vovk et al. 2005; Angelopoulos & Bates 2021, arXiv 2107.07511).
"""

import math

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import beta

from salus_ros.core.errors import ConfigError

ALPHAS = (0.01, 0.05, 0.1, 0.2)
"""Promised shares of false alarms for which a threshold is always computed."""


def conformal_rank(count: int, alpha: float) -> int:
    """Rank ceil((n + 1) (1 - alpha)) of the threshold among n calibration scores, from 1.

    Raises:
        ConfigError: if alpha is not in (0, 1).
    """
    if not 0.0 < alpha < 1.0:
        raise ConfigError(f"alpha is {alpha}; allowed is a share between 0 and 1, such as 0.05")
    return math.ceil(round((count + 1) * (1.0 - alpha), 9))  # 20 * 0.95 is 19, not 19.000000004


def conformal_threshold(scores: ArrayLike, alpha: float) -> float:
    """Threshold that a further score exceeds with probability at most alpha.

    Args:
        scores: Scores (n,) of the calibration episodes, each the maximum over an episode.
        alpha: Promised share of false alarms, in (0, 1).

    Returns:
        The score of rank `conformal_rank`; +inf where that exceeds n: too few to promise.

    Raises:
        ConfigError: if a score is NaN, or alpha is not allowed.
    """
    values = np.sort(np.asarray(scores, dtype=np.float64))
    if np.isnan(values).any():
        raise ConfigError("a calibration score is NaN; leave out episodes without a prediction")
    rank = conformal_rank(values.size, alpha)
    return math.inf if rank > values.size else float(values[rank - 1])


def least_count(alpha: float) -> int:
    """Least number of calibration scores with which `alpha` can be promised."""
    count = 1
    while conformal_rank(count, alpha) > count:
        count += 1
    return count


def least_alpha(count: int) -> float:
    """Smallest share of false alarms that `count` calibration scores can promise: 1 / (n + 1)."""
    return 1.0 / (count + 1)


def rate_interval(count: int, alpha: float, level: float = 0.95) -> tuple[float, float]:
    """Where the share of false alarms of one threshold lies, over draws of what it was set by.

    The promise is for the mean over such draws. For one threshold, of rank k among n scores
    without ties, the share follows Beta(n + 1 - k, k) (Vovk 2012, arXiv 1209.2673).

    Args:
        count: Number n of calibration scores.
        alpha: Promised share, in (0, 1).
        level: Probability of the interval.

    Returns:
        Its two ends; both 0 where alpha cannot be promised, since nothing alarms then.
    """
    rank = conformal_rank(count, alpha)
    if rank > count:
        return 0.0, 0.0
    low, high = beta.interval(level, count + 1 - rank, rank)
    return float(low), float(high)
