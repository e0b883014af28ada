"""What a learnt detector reads at each replan."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.detectors.baselines import missing_statistics
from salus_ros.evaluation.detectors.detector import Replans
from salus_ros.evaluation.detectors.distances import missing_embedding
from salus_ros.prediction.normalisation import Normalisation
from salus_ros.training.dataset import Samples

STEPS_OF_CLOCK = 100
"""ActProbe's clock is the number of the replan over this."""

EMBEDDINGS = ("embedding", "expert")
"""States of the policy, of its last layer and of a middle one, as `extras.EXTRAS` calls them."""


class Reading:
    """Standardised inputs of each replan, from parts of the samples.

    Args:
        parts: Any of "signals", "embedding", "expert", "clock" and names of chunk statistics.
        flags: Whether to add which of the values were there.
    """

    def __init__(self, *parts: str, flags: bool = False) -> None:
        self.parts = parts
        self.flags = flags

    def __repr__(self) -> str:
        """Its settings."""
        return f"Reading({', '.join(self.parts)}; flags={self.flags})"

    def missing(self, samples: Samples) -> str:
        """Say what the samples lack; "" when they have all."""
        statistics = [n for n in self.parts if n not in ("signals", "clock", *EMBEDDINGS)]
        reasons = [missing_embedding(samples, n) for n in self.parts if n in EMBEDDINGS]
        reasons += [missing_statistics(samples, statistics)] if statistics else []
        return "; ".join(filter(None, reasons))

    def fit(self, samples: Samples, train: Sequence[int]) -> int:
        """Learn mean and deviation of the replans of training; returns the number of inputs F."""
        replans = Replans.of(samples)
        values = self._raw(samples, replans)[samples.rows(train)[replans.rows]]
        self._normalisation = Normalisation.fit(values, np.isfinite(values))
        return values.shape[1] * (2 if self.flags else 1)

    def __call__(self, samples: Samples) -> tuple[NDArray[np.float32], Replans]:
        """Inputs float32 (M, F), 0 where there is no value, and the replans they are of."""
        replans = Replans.of(samples)
        values = self._raw(samples, replans)
        there = np.isfinite(values)
        scaled = self._normalisation.apply(values, there)
        if self.flags:
            scaled = np.concatenate((scaled, there.astype(np.float32)), axis=1)
        return scaled, replans

    def _raw(self, samples: Samples, replans: Replans) -> NDArray[np.float32]:
        columns: list[NDArray[np.float32]] = []
        for part in self.parts:
            if part == "signals":
                values = samples.signals[replans.rows]
                columns.append(np.where(samples.valid[replans.rows], values, np.float32(np.nan)))
            elif part in EMBEDDINGS:
                columns.append(samples.extras[part][replans.rows].astype(np.float32))
            elif part == "clock":
                number = np.arange(len(replans.rows)) - replans.first
                columns.append((number / STEPS_OF_CLOCK).astype(np.float32)[:, None])
            else:
                assert samples.chunk_statistics is not None
                column = samples.chunk_statistic_names.index(part)
                columns.append(samples.chunk_statistics[replans.rows, column, None])
        return np.concatenate(columns, axis=1)
