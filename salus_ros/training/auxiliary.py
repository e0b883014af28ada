"""A second task in training: to tell what only a world knows, where things are and how they touch.

What a network learns for it, it can use to foresee failures (Caruana 1997, Multitask Learning);
its answers to it are thrown away, and no predictor reads the truth.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import horizon_steps
from salus_ros.prediction.normalisation import Normalisation
from salus_ros.training.dataset import Samples

FORCE = "force"
"""Part of the name of a column of the truth that is a force in N."""

MOST_DEVIATIONS = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Auxiliary:
    """The targets of the second task, in deviations from their mean in training.

    They are the truth of a step, its forces as log(1 + F / N), and the largest of each force from
    then on up to the longest horizon.

    Attributes:
        statistics: Of the training part.
    """

    statistics: Normalisation

    @classmethod
    def fit(cls, samples: Samples) -> Self:
        """Take the mean and the deviation of each target.

        Raises:
            ConfigError: if the episodes have no truth.
        """
        targets = _targets(samples)
        return cls(Normalisation.fit(targets, np.isfinite(targets)))

    def targets(self, samples: Samples) -> NDArray[np.float32]:
        """Float32 (N, A), within `MOST_DEVIATIONS`; NaN where the world says nothing."""
        statistics = self.statistics
        values = (_targets(samples) - statistics.mean) * statistics.inverse_std
        return np.clip(values, -MOST_DEVIATIONS, MOST_DEVIATIONS).astype(np.float32)


def _targets(samples: Samples) -> NDArray[np.float32]:
    if samples.truth is None:
        raise ConfigError(
            "auxiliary is above 0, but the episodes have no truth of a world, or not all alike; "
            "leave it at 0, or collect episodes of the built-in world with it (salus collect)"
        )
    truth = samples.truth.copy()
    forces = [FORCE in name for name in samples.truth_names]
    truth[:, forces] = np.log1p(truth[:, forces])
    ahead: list[NDArray[np.float32]] = [np.zeros((0, sum(forces)), np.float32)]
    for rows, record in zip(samples.slices, samples.records, strict=True):
        steps = max(horizon_steps(samples.horizons_s, record.meta.rate_hz))
        ahead.append(_largest_ahead(truth[rows][:, forces], steps))
    return np.concatenate((truth, np.concatenate(ahead)), axis=1)


def _largest_ahead(values: NDArray[np.float32], steps: int) -> NDArray[np.float32]:
    """Of each column (T, C) the largest value in this step and the `steps` after it."""
    padded = np.pad(values, ((0, steps), (0, 0)), mode="edge")
    windows = np.lib.stride_tricks.sliding_window_view(padded, steps + 1, axis=0)
    largest: NDArray[np.float32] = windows.max(axis=-1)
    return largest
