"""Two ways of doing the same episodes compared: who wins where the other fails."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binomtest

from salus_ros.evaluation.statistics import CONFIDENCE, LEAST_EPISODES, REPLICATES


def exact_mcnemar(gained: int, lost: int) -> float:
    """Two-sided p of so many pairs won and lost, were winning as likely as losing.

    The exact form of McNemar's test: binomial, pairs that end alike tell nothing.

    Args:
        gained: Pairs in which only the first succeeded.
        lost: Pairs in which only the second did.
    """
    pairs = gained + lost
    return 1.0 if pairs == 0 else float(binomtest(gained, pairs, 0.5).pvalue)


def paired_difference(
    first: NDArray[np.bool_],
    second: NDArray[np.bool_],
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[float, float, float]:
    """Difference of two success rates over the same episodes, with a bootstrap interval.

    Args:
        first: Success of each episode, (E,).
        second: The same episodes, the other way.
        replicates: Resamples of the pairs.
        seed: Seed of the resamples.

    Returns:
        Rate of the first minus that of the second, and the ends of its percentile interval at
        `CONFIDENCE`; NaN for these with fewer than `LEAST_EPISODES`, for all without any.

    Raises:
        ValueError: if they are not as many.
    """
    if first.shape != second.shape:
        raise ValueError(f"{len(first)} and {len(second)} episodes are no pairs")
    nan = float("nan")
    if not len(first):
        return nan, nan, nan
    gain = first.astype(np.float64) - second  # (E,)
    if len(gain) < LEAST_EPISODES:
        return float(gain.mean()), nan, nan
    rng, count = np.random.default_rng(seed), len(gain)
    drawn = rng.multinomial(count, np.full(count, 1 / count), size=replicates)  # (R, E)
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(drawn @ gain / count, (tail, 100 - tail))
    return float(gain.mean()), float(low), float(high)
