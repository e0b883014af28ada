"""Training of the small networks of detectors: seeded, on one thread, stopped early."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw from `seed` and compute on one thread inside, as before outside."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            yield
    finally:
        torch.set_num_threads(threads)


def minimise(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    count: int,
    check: Callable[[], float],
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    patience: int,
    weight_decay: float = 0.0,
) -> float:
    """Fit a network by Adam and keep the epoch with the lowest loss on what was held back.

    Args:
        model: The network; ends in evaluation mode with its best weights.
        loss: Loss of the members of a batch, given by their numbers, int64 (B,).
        count: Number of members.
        check: Loss of the held-back part; NaN where there is none, and the last epoch is kept.
        epochs: Most passes over all members.
        batch: Members of a gradient step; 0 for all.
        learning_rate: Of Adam.
        patience: Stop after this many epochs without a lower loss.
        weight_decay: Weight of the squared weights in the loss.

    Returns:
        The lowest loss of the held-back part, NaN without one.
    """
    optimiser = torch.optim.Adam(
        model.parameters(), learning_rate, weight_decay=weight_decay, fused=True
    )
    best, best_epoch, kept = float("nan"), 0, None
    for epoch in range(epochs):
        model.train()
        for members in torch.split(torch.randperm(count), batch or count):
            optimiser.zero_grad()
            torch.autograd.backward(loss(members))
            optimiser.step()
        model.eval()
        with torch.inference_mode():
            value = check()
        if np.isfinite(value) and not value >= best:
            best, best_epoch, kept = value, epoch, copy.deepcopy(model.state_dict())
        elif kept is not None and epoch - best_epoch >= patience:
            break
    if kept is not None:
        model.load_state_dict(kept)
    return best


def perceptron(widths: list[int], dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these widths, the input first, with ReLU (and dropout) between them."""
    layers: list[nn.Module] = []
    for place, (inputs, outputs) in enumerate(pairwise(widths)):
        if place:
            layers += [nn.ReLU(), *([nn.Dropout(dropout)] if dropout else [])]
        layers.append(nn.Linear(inputs, outputs))
    return nn.Sequential(*layers)


def class_weights(failed: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Weight (E,) of each episode: either class counts half, the mean is 1."""
    share = failed.mean()
    if share in (0.0, 1.0):
        return np.ones(len(failed), np.float32)
    weights: NDArray[np.float32] = np.where(failed, 0.5 / share, 0.5 / (1 - share)).astype("f4")
    return weights
