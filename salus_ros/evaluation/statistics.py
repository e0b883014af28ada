"""Intervals that go with a figure: of a share, and of an AUROC whose samples come in episodes."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest

CONFIDENCE = 0.95
"""Of every interval that is reported."""

REPLICATES = 1000
"""Resamples of a bootstrap."""

LEAST_EPISODES = 5
"""Resamples of fewer episodes than this say nothing about those not seen."""

BLOCK_CELLS = 20_000_000
"""Cells of the largest matrix that `count_wins` makes at a time."""


def wilson_interval(hits: int, total: int) -> tuple[float, float]:
    """Wilson's score interval of a share, at `CONFIDENCE`.

    Args:
        hits: Number of trials that hit, 0 to `total`.
        total: Number of trials.

    Returns:
        Lower and upper end in [0, 1]; NaN without a trial.
    """
    if total == 0:
        return float("nan"), float("nan")
    interval = binomtest(hits, total).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def count_wins(
    negatives: NDArray[np.floating],
    negative_episode: NDArray[np.integer],
    positives: NDArray[np.floating],
    positive_episode: NDArray[np.integer],
    shape: tuple[int, int],
) -> NDArray[np.float64]:
    """Count, for every pair of episodes, how often a positive value exceeds a negative one.

    wins[s, f] = sum over values v of s and p of f of (1 if p > v, 1/2 if p = v, else 0), so
    the AUROC of any set of episodes is the sum of their wins over the number of their pairs of
    values.

    Args:
        negatives: Finite values (N,) of the negative class.
        negative_episode: Which of the S negative episodes each belongs to, (N,).
        positives: Finite values (P,) of the positive class.
        positive_episode: Which of the F positive episodes each belongs to, (P,).
        shape: (S, F).

    Returns:
        Float64 (S, F).
    """
    wins = np.zeros(shape)
    block = max(1, BLOCK_CELLS // max(1, shape[0]))
    for start in range(0, positives.size, block):
        part, owner = positives[start : start + block], positive_episode[start : start + block]
        levels, level = np.unique(part, return_inverse=True)  # (U,), (P,)
        below = np.zeros((shape[0], levels.size + 1))  # values of s below each level, (S, U + 1)
        lower = np.searchsorted(levels, negatives, side="left")
        upper = np.searchsorted(levels, negatives, side="right")
        for column in (lower, upper):  # a tie counts half: in one of the two
            cells = np.bincount(negative_episode * below.shape[1] + column, minlength=below.size)
            below += 0.5 * cells.reshape(below.shape)
        np.cumsum(below, axis=1, out=below)
        times = np.bincount(level * shape[1] + owner, minlength=levels.size * shape[1])
        wins += below[:, :-1] @ times.reshape(levels.size, shape[1])
    return wins


def auroc_interval(
    wins: NDArray[np.float64],
    negatives: NDArray[np.integer],
    positives: NDArray[np.integer],
    replicates: int = REPLICATES,
    seed: int = 0,
) -> tuple[float, float, float]:
    """AUROC of pooled values, with a bootstrap interval that resamples whole episodes.

    Values of one episode resemble each other, so resampling values would promise too much.
    The two classes are resampled apart, each to its own number of episodes.

    Args:
        wins: (S, F) of `count_wins`.
        negatives: Number of values of each negative episode, (S,).
        positives: Number of values of each positive episode, (F,).
        replicates: Number of resamples.
        seed: Seed of the resamples.

    Returns:
        AUROC and the ends of its percentile interval at `CONFIDENCE`. The AUROC is NaN unless
        both classes have a value, the interval unless both have `LEAST_EPISODES` with values.
    """
    rows, columns = np.flatnonzero(negatives), np.flatnonzero(positives)
    nan = float("nan")
    if not rows.size or not columns.size:
        return nan, nan, nan
    wins, negatives, positives = wins[np.ix_(rows, columns)], negatives[rows], positives[columns]
    value = float(wins.sum() / (negatives.sum() * positives.sum()))
    if min(rows.size, columns.size) < LEAST_EPISODES:
        return value, nan, nan
    rng = np.random.default_rng(seed)

    def draws(episodes: int) -> NDArray[np.int64]:
        """How often each episode is drawn: (replicates, episodes)."""
        return rng.multinomial(episodes, np.full(episodes, 1 / episodes), size=replicates)

    drawn_rows, drawn_columns = draws(rows.size), draws(columns.size)
    won = ((drawn_rows @ wins) * drawn_columns).sum(axis=1)
    values = won / ((drawn_rows @ negatives) * (drawn_columns @ positives))
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, (tail, 100 - tail))
    return value, float(low), float(high)


def weighted_quantiles(
    values: NDArray[np.floating], weights: ArrayLike, quantiles: Sequence[float]
) -> NDArray[np.float64]:
    """Quantiles of values that count differently: the least value whose weight is reached.

    Args:
        values: Finite values (N,).
        weights: (K, N), not negative: one row per weighting.
        quantiles: Q numbers in [0, 1].

    Returns:
        Float64 (K, Q); NaN for a weighting without any weight.
    """
    weights = np.atleast_2d(np.asarray(weights, dtype=np.float64))  # (K, N)
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[:, order], axis=1)  # (K, N)
    result = np.full((len(weights), len(quantiles)), np.nan)
    for row, cumulative in enumerate(reached):
        if cumulative.size and cumulative[-1] > 0:
            wanted = np.asarray(quantiles) * cumulative[-1]
            place = np.searchsorted(cumulative, wanted, side="left")
            result[row] = values[order[np.minimum(place, order.size - 1)]]
    return result
