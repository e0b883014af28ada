"""Detectors that learn from the hidden states of successes and failures, replan by replan."""

from collections.abc import Sequence

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch import Tensor, nn

from salus_ros.evaluation.detectors.detector import Score, early_auroc, failed
from salus_ros.evaluation.detectors.learning import class_weights, minimise, perceptron, seeded
from salus_ros.evaluation.detectors.readings import Reading
from salus_ros.training.dataset import Samples

MLP_DECAYS = (1e-3, 1e-2, 1e-1)
"""Weights of the squared weights that SAFE-MLP chooses from."""

INVERSE_PENALTIES = (1e-3, 1e-2, 1e-1, 1.0)
"""Of the squared weights, that the probe of the middle layer chooses from."""


class SafeMLP:
    """Score s_t = sum over the replans so far of sigmoid(MLP(e)), with 256 hidden units.

    SAFE (Gu et al. 2025, arXiv 2506.09937): the loss is the sum over replans of s_t for a
    success and of t - s_t for a failure, each class weighted inversely to its size, with an L2
    penalty. Here the held-back episodes choose the penalty and the epoch; full batches, Adam.

    Args:
        epochs: Most gradient steps.
    """

    name = "safe_mlp"
    needs_failures = True

    def __init__(self, epochs: int = 300) -> None:
        self.epochs = epochs
        self._reading = Reading("embedding")

    def missing(self, samples: Samples) -> str:
        """Ask for the hidden state."""
        return self._reading.missing(samples)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train with each penalty; keep the one that tells the held-back episodes best."""
        inputs = self._reading.fit(samples, train)
        part = samples.subset(validation)
        learn, check = self._sums(samples.subset(train)), self._sums(part)
        best = -1.0
        for decay in MLP_DECAYS:
            with seeded(seed):
                model = perceptron([inputs, 256, 1])
                _fit_sums(model, learn, check, self.epochs, decay)
            figure = early_auroc(self._score(model, part), part)
            if decay == MLP_DECAYS[0] or figure > best:
                best, self._model = figure, model

    def score(self, samples: Samples) -> Score:
        """The running sum."""
        return self._score(self._model, samples)

    def _score(self, model: nn.Module, samples: Samples) -> Score:
        inputs, replans = self._reading(samples)
        with torch.inference_mode():
            values = torch.sigmoid(model(torch.from_numpy(inputs)))[:, 0].numpy()
        return replans.hold(replans.running_sum(values))

    def _sums(self, samples: Samples) -> tuple[Tensor, Tensor, Tensor]:
        """Inputs (M, F), failure (M,) and weight (M,) of the usable replans.

        The value of replan n of T is part of T - n sums, which is its weight.
        """
        inputs, replans = self._reading(samples)
        used = samples.usable[replans.rows]
        episode = replans.episode[used]
        left = np.searchsorted(episode, episode, side="right") - np.arange(len(episode))
        bad = failed(samples)
        weight = left * class_weights(bad)[episode]
        return (
            torch.from_numpy(inputs[used]),
            torch.from_numpy(bad[episode]),
            torch.from_numpy((weight / weight.sum()).astype(np.float32)),
        )


class MiddleLayerProbe:
    """Score = w . x + b, x the standardised state in the middle of the action expert at a replan.

    AEGIS (Chen 2026, arXiv 2606.06660) reads layer 15 of SmolVLA's action expert, mean over the
    executed chunk, by a logistic regression. Every replan of a failure is a positive, the classes
    weigh the same; the held-back episodes choose the penalty.
    """

    name = "middle_layer"
    needs_failures = True

    def __init__(self) -> None:
        self._reading = Reading("expert")

    def missing(self, samples: Samples) -> str:
        """Ask for the state of the middle layer."""
        return self._reading.missing(samples)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Fit with each penalty; keep the one that tells the held-back episodes best."""
        self._reading.fit(samples, train)
        inputs, replans = self._reading(samples)
        used = samples.rows(train)[replans.rows]
        bad = failed(samples)[replans.episode[used]]
        part = samples.subset(validation)
        best = -1.0
        for inverse_penalty in INVERSE_PENALTIES:
            model = LogisticRegression(C=inverse_penalty, class_weight="balanced", max_iter=1000)
            model.fit(inputs[used], bad)
            figure = early_auroc(self._score(model, part), part)
            if inverse_penalty == INVERSE_PENALTIES[0] or figure > best:
                best, self._model = figure, model

    def score(self, samples: Samples) -> Score:
        """The logit at each replan, held until the next."""
        return self._score(self._model, samples)

    def _score(self, model: LogisticRegression, samples: Samples) -> Score:
        inputs, replans = self._reading(samples)
        if not len(inputs):
            return replans.hold(np.zeros(0))
        return replans.hold(model.decision_function(inputs))


def _fit_sums(
    model: nn.Module,
    learn: tuple[Tensor, Tensor, Tensor],
    check: tuple[Tensor, Tensor, Tensor],
    epochs: int,
    decay: float,
) -> None:
    """Fit SAFE-MLP to inputs, failures and weights."""

    def loss(inputs: Tensor, bad: Tensor, weight: Tensor) -> Tensor:
        values = torch.sigmoid(model(inputs))[:, 0]
        return (weight * torch.where(bad, 1.0 - values, values)).sum()

    def penalised(members: Tensor) -> Tensor:
        squares = [parameter.square().sum() for parameter in model.parameters()]
        return loss(*learn) + decay * torch.stack(squares).sum()

    minimise(
        model,
        penalised,
        1,
        lambda: float(loss(*check)) if len(check[0]) else float("nan"),
        epochs=epochs,
        batch=0,
        learning_rate=1e-3,
        patience=30,
    )
