"""What a step is looked up by: standardised numbers, with the statistics of training."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError
from salus_ros.prediction.normalisation import Normalisation

Values = Mapping[str, NDArray[np.floating]]
"""Inputs of N steps by their names, (N, W) each."""

Rows = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Key:
    """Turns the inputs of some steps into the features that a network embeds.

    Attributes:
        statistics: Of each input (W,), by name, in their order.
        parts: What each consists of, in words: joints, cameras; empty where only its size says.
    """

    statistics: Mapping[str, Normalisation]
    parts: Mapping[str, tuple[str, ...]]

    @classmethod
    def fit(cls, values: Values, parts: Mapping[str, tuple[str, ...]]) -> Self:
        """Fit to the steps of training; what is not finite is passed over."""
        fitted = {n: Normalisation.fit(_float(v), np.isfinite(v)) for n, v in values.items()}
        return cls(fitted, {name: tuple(parts.get(name, ())) for name in fitted})

    @property
    def width(self) -> int:
        """Number of features F."""
        return sum(len(one.mean) for one in self.statistics.values())

    def check(self, parts: Mapping[str, tuple[str, ...]]) -> None:
        """Refuse inputs that consist of something else than those of training.

        Raises:
            ObservationError: naming both; names that are unknown go with any.
        """
        for name, ours in self.parts.items():
            theirs = tuple(parts.get(name, ()))
            if ours and theirs and ours != theirs:
                raise ObservationError(
                    f"the {name} consists of {list(theirs)}, that of the manifold of "
                    f"{list(ours)}; use the robot and the policy that it was trained with"
                )

    def apply(self, values: Values) -> tuple[Rows, NDArray[np.bool_]]:
        """Features of N steps.

        Args:
            values: At least the inputs of the key.

        Returns:
            Float32 (N, F), and which rows (N,) have one: all inputs finite. Others are 0.

        Raises:
            ObservationError: if an input is missing, or has another width than in training.
        """
        found, there = [], []
        for name, statistics in self.statistics.items():
            if name not in values:
                raise ObservationError(
                    f"the manifold reads the {name}, which is not told; take one without it, or a "
                    "policy that tells it"
                )
            given, width = _float(values[name]), len(statistics.mean)
            if given.ndim != 2 or given.shape[1] != width:
                raise ObservationError(
                    f"the {name} has {given.shape[-1]} values, that of the manifold {width}; use "
                    "the robot and the policy that it was trained with"
                )
            finite: NDArray[np.bool_] = np.logical_and.reduce(np.isfinite(given), axis=1)
            found.append(statistics.apply(given, finite[:, None]))
            there.append(finite)
        return np.concatenate(found, axis=1), np.logical_and.reduce(there)


def _float(values: NDArray[np.floating]) -> Rows:
    return np.asarray(values, np.float32)
