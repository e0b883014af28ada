"""A threshold that changes with time: the one-sided functional conformal band."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.episode_metrics import Episodes

FITTED_SHARE = 0.3
"""Share of the successes that shape the band; the others set its height."""

LEAST_TRAJECTORIES = 5
"""Steps that fewer successes reach keep the last values of the band."""


@dataclass(frozen=True, slots=True, eq=False)
class FunctionalBand:
    """Scores relative to what successes had at the same step: (x - mu_t) / s_t.

    mu_t is the mean and s_t the largest distance from it over some successful episodes, after
    Diquigiovanni, Fontana & Vantini 2021 (arXiv 2102.06746), as FAIL-Detect and SAFE use it. The
    step is an input here: compare with the same scores without a band.

    Attributes:
        mean: mu_t, (T,).
        scale: s_t, (T,), above 0.
        used: Places of the episodes it was fitted to; the others may set a threshold.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    used: NDArray[np.int64]

    @classmethod
    def fit(cls, score: NDArray[np.floating], episodes: Episodes) -> Self:
        """Fit to a share of the successes, the first ones in order.

        Args:
            score: (N,), NaN where there is none.
            episodes: The episodes, of which the failures are passed over.
        """
        good = np.flatnonzero(~episodes.failed)
        used = good[: max(1, round(FITTED_SHARE * len(good)))]
        longest = int(episodes.length.max(initial=1))
        curves = np.full((len(used), longest), np.nan)
        for row, place in enumerate(used):
            start = episodes.starts[place]
            curve = score[start : start + episodes.length[place]]
            curves[row, : len(curve)] = curve
        there = np.isfinite(curves)
        counts = there.sum(axis=0)
        filled = np.where(there, curves, 0.0)
        mean = filled.sum(axis=0) / np.maximum(counts, 1)
        scale = np.where(there, np.abs(curves - mean), 0.0).max(axis=0, initial=0.0)
        known = counts >= min(LEAST_TRAJECTORIES, len(used))
        place = np.maximum.accumulate(np.where(known, np.arange(longest), 0))
        first = int(np.argmax(known))
        place = np.where(np.arange(longest) < first, first, place)
        floor = 1e-3 * max(float(scale.max(initial=0.0)), 1e-9)
        return cls(mean[place], np.maximum(scale[place], floor), used)

    def apply(self, score: NDArray[np.floating], step: NDArray[np.integer]) -> NDArray[np.float64]:
        """Scores (N,) relative to the band, given the step (N,) of each."""
        place = np.minimum(step, len(self.mean) - 1)
        relative: NDArray[np.float64] = (score - self.mean[place]) / self.scale[place]
        return relative
