"""Standardising the signals, and what stands in for one that is missing."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError

MIN_STD = 1e-8
"""Signals that vary less than this over the training split carry nothing and are ignored."""


@dataclass(frozen=True, slots=True, eq=False)
class Normalisation:
    """x -> (x - mean) * inverse_std per signal, fitted on the valid training values.

    A missing value is imputed with the training mean, which is 0 after standardising. A signal
    that was never valid in training, or constant, has inverse_std 0: the model has learnt nothing
    about it, so it is ignored for good, also when it turns up live.

    Attributes:
        mean: Float32 (S,).
        inverse_std: Float32 (S,).
    """

    mean: NDArray[np.float32]
    inverse_std: NDArray[np.float32]

    @classmethod
    def fit(cls, signals: NDArray[np.float32], valid: NDArray[np.bool_]) -> Self:
        """Fit on the training split.

        Args:
            signals: (N, S).
            valid: Bool (N, S).
        """
        mean, std = np.zeros(signals.shape[1]), np.zeros(signals.shape[1])
        for column in range(signals.shape[1]):  # one by one, or double precision fills the memory
            there = signals[valid[:, column], column].astype(np.float64)
            if there.size:
                mean[column], std[column] = there.mean(), there.std()
        # Relative to the mean too: a constant large value has rounding noise.
        used = std > MIN_STD * np.maximum(1.0, np.abs(mean))
        inverse_std = np.divide(1.0, std, out=np.zeros_like(std), where=used)
        return cls(mean.astype(np.float32), inverse_std.astype(np.float32))

    def apply(self, signals: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.float32]:
        """Standardise and impute.

        Args:
            signals: Float32 (B, S); values that are not valid may be anything.
            valid: Bool (B, S), or (B, 1) for all signals of a row alike.

        Returns:
            Float32 (B, S), finite.

        Raises:
            ObservationError: if the sizes are not those of the training signals, or a value
                marked valid is not finite.
        """
        rows = (len(signals), 1)
        if valid.shape not in (signals.shape, rows) or signals.shape[1:] != self.mean.shape:
            raise ObservationError(
                f"signals {signals.shape} with validity {valid.shape}; allowed is (B, "
                f"{len(self.mean)}) for both"
            )
        features = (signals - self.mean) * self.inverse_std
        if not np.logical_and.reduce(valid, axis=None):
            features = np.where(valid, features, np.float32(0))
        if not np.logical_and.reduce(np.isfinite(features), axis=None):
            row, column = np.argwhere(~np.isfinite(features))[0]
            raise ObservationError(
                f"signal {column} of row {row} is {signals[row, column]} but marked valid; mark "
                "it invalid when it does not exist"
            )
        return features.astype(np.float32, copy=False)
