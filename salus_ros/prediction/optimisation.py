"""Adam with a learning rate that drops at a plateau, on torch's functional Adam.

`torch.optim.Adam` and `ReduceLROnPlateau` compute the same (a test holds them together), but the
first use of a torch optimiser imports torch's compiler: five seconds, longer than the training.
"""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.optim.adam import adam

from salus_ros.prediction.config import TrainingConfig

RELATIVE_IMPROVEMENT = 1e-4
"""A loss below (1 - this) times the best one is an improvement; torch's default."""


class PlateauAdam:
    """Adam whose rate is multiplied by a factor when the loss has stopped falling."""

    def __init__(self, parameters: Iterable[Tensor], config: TrainingConfig) -> None:
        self.learning_rate = config.learning_rate
        self._config = config
        self._parameters = list(parameters)
        self._means = [torch.zeros_like(p) for p in self._parameters]
        self._squares = [torch.zeros_like(p) for p in self._parameters]
        self._steps = [torch.zeros((), device=p.device) for p in self._parameters]
        self._best_loss = math.inf
        self._bad_epochs = 0

    def step(self, loss: Tensor) -> None:
        """Take one step down the gradient of a loss."""
        gradients = torch.autograd.grad(loss, self._parameters)
        with torch.no_grad():
            adam(
                self._parameters,
                list(gradients),
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
        """Lower the rate when the loss has not improved for more than `patience` epochs."""
        if loss < self._best_loss * (1.0 - RELATIVE_IMPROVEMENT):
            self._best_loss, self._bad_epochs = loss, 0
        else:
            self._bad_epochs += 1
        if self._bad_epochs > self._config.scheduler_patience:
            self.learning_rate *= self._config.scheduler_factor
            self._bad_epochs = 0
