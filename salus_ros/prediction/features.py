"""What a model reads of a step: standardised values, and which of them were there."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self, get_args

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.config import Input
from salus_ros.prediction.normalisation import Normalisation

INPUTS: tuple[str, ...] = get_args(Input)
"""The signals; which of them are valid; the hidden state they come from, and whether there is
one; the elapsed share of the time limit, and how close the limit is."""

CLOSE_STEPS = 30
"""Steps before the time limit over which its closeness is told, twice the longest horizon: of
the elapsed share alone a network does not learn to tell 0.2 s from 0.5 s."""


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """Turns steps into the features of a model, with statistics of the training split.

    A signal that is left out or was never valid in training has `inverse_std` 0 and counts as
    never valid.

    Attributes:
        inputs: Which of `INPUTS`, in that order.
        signals: Statistics of the signals (S,).
        embedding: Statistics of the hidden state (D,); None without that input.
        time_limit_steps: Steps after which an episode counts as failed; for the clock alone.

    Raises:
        ConfigError: if the clock is an input and there is no limit.
    """

    inputs: tuple[str, ...]
    signals: Normalisation
    embedding: Normalisation | None = None
    time_limit_steps: int = 0

    def __post_init__(self) -> None:
        if "clock" in self.inputs and self.time_limit_steps < 1:
            raise ConfigError(
                "inputs has 'clock', which tells how much of the time limit is left, but no limit "
                "is given; give --time-limit-steps, or leave the clock out of the inputs"
            )

    @classmethod
    def fit(
        cls,
        inputs: Sequence[str],
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        embedding: NDArray[np.float16] | None,
        left_out: NDArray[np.bool_] | None = None,
        time_limit_steps: int = 0,
    ) -> Self:
        """Fit on the training split.

        Args:
            inputs: Which of `INPUTS`.
            signals: (N, S).
            valid: (N, S).
            embedding: (N, D), needed for that input.
            left_out: Bool (S,), signals not to be read.
            time_limit_steps: Steps after which an episode counts as failed, needed for the clock.
        """
        statistics = Normalisation.fit(signals, valid)
        if left_out is not None:
            statistics.inverse_std[left_out] = 0.0
        hidden = None
        if "embedding" in inputs:
            assert embedding is not None
            there = np.isfinite(embedding).all(axis=1)
            rows = embedding[there].astype(np.float32)
            hidden = Normalisation.fit(rows, np.ones(rows.shape, np.bool_))
        named = tuple(name for name in INPUTS if name in inputs)
        return cls(named, statistics, hidden, time_limit_steps)

    @property
    def width(self) -> int:
        """Number of features F."""
        signals = len(self.signals.mean)
        hidden = 0 if self.embedding is None else len(self.embedding.mean) + 1
        widths = {"signals": signals, "validity": signals, "embedding": hidden, "clock": 2}
        return sum(widths[name] for name in self.inputs)

    def apply(
        self,
        signals: NDArray[np.float32],
        valid: NDArray[np.bool_],
        embedding: NDArray[np.floating] | None = None,
        step: NDArray[np.integer] | int = 0,
    ) -> NDArray[np.float32]:
        """Features of some steps.

        Args:
            signals: Float32 (B, S); values that are not valid may be anything.
            valid: Bool (B, S).
            embedding: (B, D); a row that is not finite, or None, is missing.
            step: (B,) step within the episode, or that of all rows, for the clock.

        Returns:
            Float32 (B, F), finite; what is missing is 0, the training mean.

        Raises:
            ObservationError: if the sizes are not those of training, or a value marked valid is
                not finite.
        """
        parts: list[NDArray[np.float32]] = []
        for name in self.inputs:
            if name == "signals":
                parts.append(self.signals.apply(signals, valid))
            elif name == "validity":
                parts.append((valid & (self.signals.inverse_std > 0)).astype(np.float32))
            elif name == "embedding":
                parts += self._hidden(embedding, len(signals))
            else:
                parts.append(_clock(np.full(len(signals), step), self.time_limit_steps))
        return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)

    def _hidden(
        self, embedding: NDArray[np.floating] | None, rows: int
    ) -> list[NDArray[np.float32]]:
        assert self.embedding is not None
        if embedding is None:
            embedding = np.full((rows, len(self.embedding.mean)), np.nan, np.float32)
        values = embedding.astype(np.float32, copy=False)
        there = np.logical_and.reduce(np.isfinite(values), axis=1, keepdims=True)
        return [self.embedding.apply(values, there), there.astype(np.float32)]


def _clock(step: NDArray[np.integer], limit: int) -> NDArray[np.float32]:
    """Elapsed share of the time limit; steps left of the last ones, from 2 down to 0: (B, 2)."""
    left = 2.0 * (limit - step) / CLOSE_STEPS
    return np.column_stack((step / limit, left.clip(0.0, 2.0))).astype(np.float32)
