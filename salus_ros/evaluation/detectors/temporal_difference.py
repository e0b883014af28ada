"""A recurrent probe that learns the value function of failing, by temporal differences."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from salus_ros.evaluation.detectors.sequence_probe import RecurrentProbe, SequenceProbe
from salus_ros.training.dataset import Samples

BATCHES_PER_TARGET = 10
"""Gradient steps after which the frozen network is replaced by the one that learns."""


class TemporalDifferenceProbe(SequenceProbe):
    """Score q_t = sigmoid(LSTM) at each replan, learnt by TD(0) instead of from the outcome.

    TDQC (Francis-Meretzki et al. 2026, arXiv 2604.20472): the loss is the mean over episodes of
    the mean over replans of (q_t - q'_{t+1})^2, q' a frozen copy that is renewed every
    `BATCHES_PER_TARGET` steps, and at the last replan the outcome in its place, 1 for a failure.
    Its minimiser is the chance to fail from here on. The held-back episodes choose the epoch by
    the sequential Brier score, the same mean of (q_t - outcome)^2. Takes the arguments of
    `SequenceProbe`; no class or replan weighs more than another.
    """

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train."""
        self._frozen: RecurrentProbe | None = None
        self._batches = 0
        super().fit(samples, train, validation, seed)

    def _loss(self, some: list[tuple[Tensor, int]]) -> Tensor:
        if self._frozen is None or self._batches % BATCHES_PER_TARGET == 0:
            self._frozen = copy.deepcopy(self.model).eval()
        self._batches += 1
        with torch.no_grad():
            later = _values(self._frozen, some)
        targets = [
            torch.cat((values[1:], rows[-1:, -2]))
            for values, (rows, _) in zip(later, some, strict=True)
        ]
        return _error(_values(self.model, some), targets)

    def _check_loss(self, held_back: list[tuple[Tensor, int]]) -> Tensor:
        return _error(_values(self.model, held_back), [rows[:, -2] for rows, _ in held_back])


def _values(model: RecurrentProbe, some: list[tuple[Tensor, int]]) -> list[Tensor]:
    """Values (T,) of each episode, given its rows (T, F + 2), see `_sequences`, and its task."""
    padded = pad_sequence([rows[:, :-2] for rows, _ in some])  # (T, B, F)
    values = torch.sigmoid(model(padded, torch.tensor([task for _, task in some])))  # (T, B)
    return [one[: len(rows)] for one, (rows, _) in zip(values.T, some, strict=True)]


def _error(values: list[Tensor], targets: list[Tensor]) -> Tensor:
    """Mean over episodes of the mean squared difference."""
    errors = [torch.square(q - y).mean() for q, y in zip(values, targets, strict=True)]
    return torch.stack(errors).mean()
