"""Adam with a schedule of its learning rate, on torch's functional Adam.

`torch.optim.Adam` and its schedulers compute the same (a test holds them together), but the
first use of a torch optimiser imports torch's compiler: five seconds, longer than the training.
"""

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.adam import adam

from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.distributed import averaged

RELATIVE_IMPROVEMENT = 1e-4
"""A loss below (1 - this) times the best one is an improvement; torch's default."""

MAX_NORM = 1.0
"""Gradients of a network with memory are scaled to at most this norm."""


class ScheduledAdam:
    """Adam; its rate is constant, falls along a cosine to 0, or drops when the loss stalls."""

    def __init__(self, parameters: Iterable[Tensor], config: TrainingConfig) -> None:
        self.learning_rate = config.learning_rate
        self._config = config
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]
        self._best_loss = math.inf
        self._bad_epochs = 0
        self._epochs = 0

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of a loss, averaged over all processes."""
        gradients = averaged(torch.autograd.grad(loss, self._parameters))
        if self._config.sequential:
            norm = torch.linalg.vector_norm(
                torch.stack([torch.linalg.vector_norm(g) for g in gradients])
            )
            scale = (MAX_NORM / (norm + 1e-6)).clamp(max=1.0)
            gradients = [g * scale for g in gradients]
        with torch.no_grad():
            adam(
                self._parameters,
                gradients,
                self._means,
                self._squares,
                [],
                self._steps,
                fused=True,
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.learning_rate,
                weight_decay=self._config.weight_decay,
                eps=1e-8,
                maximize=False,
            )

    def end_epoch(self, loss: float) -> None:
        """Set the rate of the next epoch, given this one's validation loss."""
        config = self._config
        self._epochs += 1
        if config.schedule == "cosine":
            done = self._epochs / config.epochs
            self.learning_rate = 0.5 * config.learning_rate * (1 + math.cos(math.pi * done))
        if config.schedule != "plateau":
            return
        if loss < self._best_loss * (1.0 - RELATIVE_IMPROVEMENT):
            self._best_loss, self._bad_epochs = loss, 0
        else:
            self._bad_epochs += 1
        if self._bad_epochs > config.scheduler_patience:
            self.learning_rate *= config.scheduler_factor
            self._bad_epochs = 0

    def state_dict(self) -> dict[str, Any]:
        """Everything that the next step depends on, beside the parameters."""
        return {
            "tensors": [*self._means, *self._squares, *self._steps],
            "values": [self.learning_rate, self._best_loss, self._bad_epochs, self._epochs],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what `state_dict` gave."""
        tensors = [*self._means, *self._squares, *self._steps]
        for mine, given in zip(tensors, state["tensors"], strict=True):
            mine.copy_(given)
        self.learning_rate, self._best_loss, self._bad_epochs, self._epochs = state["values"]
