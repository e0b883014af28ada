"""The networks one step at a time: on numpy's arrays on a CPU, on torch's on another device.

A step of one robot is some fifty operations on a few hundred numbers. Each costs torch 4 us before
it begins and numpy 1, and the rest of a prediction is numpy's. Both libraries are called by names
that they share, so what is computed is written once; it is what `forward` of the same network
computes of the whole sequence.
"""

from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from salus_ros.prediction.models import FailureGRU, FailureMLP, FailureModel, FailureTCN

Array = Any
"""An array of numpy, or of torch on the model's device."""

Memory = tuple[tuple[Array, ...], ...]
"""What each layer remembers of B sequences, the oldest first; arrays (B, width)."""


class Steps(Protocol):
    """A network that is given one step after the other of B sequences."""

    def start(self, sequences: int) -> Memory:
        """The memory before the first step of each sequence."""

    def advance(self, features: Array, memory: Memory) -> tuple[Array, Memory]:
        """Take in one step, (B, inputs); its logits (B, outputs) and the new memory."""


class Library:
    """The library that computes a model's steps, and the model's parameters as its arrays.

    Attributes:
        xp: numpy or torch.

    Args:
        device: Where the model is.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.xp: Any = np if device.type == "cpu" else torch
        self._zero = self.array(torch.zeros(()))

    def array(self, values: torch.Tensor) -> Array:
        """Values as an array, without a copy where none is needed."""
        there = values.detach().to(self._device)
        return there.numpy() if self.xp is np else there

    def given(self, features: NDArray[np.float32]) -> Array:
        """Features as an array."""
        return features if self.xp is np else torch.from_numpy(features).to(self._device)

    def told(self, outputs: Array) -> NDArray[np.float32]:
        """Outputs as numpy's."""
        values: NDArray[np.float32] = outputs if self.xp is np else outputs.cpu().numpy()
        return values

    def linear(self, layer: nn.Linear) -> tuple[Array, Array]:
        """Weight (inputs, outputs) and bias."""
        return self.array(layer.weight).T, self.array(layer.bias)

    def norm(self, layer: nn.LayerNorm) -> tuple[Array, ...]:
        """What `normed` takes: a mean as a product (width, 1), scale, shift and epsilon."""
        (width,) = layer.normalized_shape
        mean = self.array(torch.full((width, 1), 1.0 / width))
        return mean, self.array(layer.weight), self.array(layer.bias), layer.eps

    def normed(self, x: Array, mean: Array, scale: Array, shift: Array, eps: float) -> Array:
        """Layer normalisation of (B, width); a product with a column is numpy's fastest mean."""
        centred = x - x @ mean
        return centred / self.xp.sqrt((centred * centred) @ mean + eps) * scale + shift

    def relu(self, x: Array) -> Array:
        """The larger of each value and 0; NaN stays."""
        return self.xp.maximum(x, self._zero)

    def sigmoid(self, x: Array) -> Array:
        """1 / (1 + exp(-x)), without its overflow."""
        return 0.5 * self.xp.tanh(0.5 * x) + 0.5

    def zeros(self, sequences: int, width: int) -> Array:
        """Of each sequence, (B, width)."""
        return self.array(torch.zeros(sequences, width))


class StepsMLP:
    """`FailureMLP` step by step; it remembers nothing."""

    def __init__(self, model: FailureMLP, library: Library) -> None:
        self._library = library
        layers = zip(model.linears, model.norms, strict=True)
        self._layers = [(library.linear(a), library.norm(b)) for a, b in layers]  # type: ignore[arg-type]
        self._head = library.linear(model.head)

    def start(self, sequences: int) -> Memory:
        """Nothing."""
        return ()

    def advance(self, features: Array, memory: Memory) -> tuple[Array, Memory]:
        """See `Steps`."""
        library = self._library
        for (weight, bias), norm in self._layers:
            features = library.relu(library.normed(features @ weight + bias, *norm))
        weight, bias = self._head
        return features @ weight + bias, memory


class StepsTCN:
    """`FailureTCN` step by step; each layer remembers its last 2 d steps."""

    def __init__(self, model: FailureTCN, library: Library) -> None:
        self._library, self._width = library, model.width
        self._encoder, self._head = library.linear(model.encoder), library.linear(model.head)
        layers = zip(model.dilations, model.norms, model.linears, strict=True)
        self._layers = [(d, library.norm(a), library.linear(b)) for d, a, b in layers]  # type: ignore[arg-type]

    def start(self, sequences: int) -> Memory:
        """Zeros, as the padding of `forward`."""
        nothing = self._library.zeros(sequences, self._width)
        return tuple((nothing,) * (2 * dilation) for dilation, _, _ in self._layers)

    def advance(self, features: Array, memory: Memory) -> tuple[Array, Memory]:
        """See `Steps`."""
        library = self._library
        weight, bias = self._encoder
        x = features @ weight + bias
        new = []
        for (dilation, norm, (weight, bias)), past in zip(self._layers, memory, strict=True):
            now = library.normed(x, *norm)
            taps = library.xp.concatenate((past[0], past[dilation], now), axis=1)
            x = x + library.relu(taps @ weight + bias)
            new.append((*past[1:], now))
        weight, bias = self._head
        return library.relu(x) @ weight + bias, tuple(new)


class StepsGRU:
    """`FailureGRU` step by step; it remembers its state."""

    def __init__(self, model: FailureGRU, library: Library) -> None:
        self._library, self._width = library, model.recurrent.hidden_size
        self._encoder, self._head = library.linear(model.encoder), library.linear(model.head)
        given, kept, *biases = (library.array(one) for one in model.recurrent.parameters())
        self._given, self._kept = (given.T, biases[0]), (kept.T, biases[1])

    def start(self, sequences: int) -> Memory:
        """Zeros."""
        return ((self._library.zeros(sequences, self._width),),)

    def advance(self, features: Array, memory: Memory) -> tuple[Array, Memory]:
        """See `Steps`; the gates are in torch's order, reset, update and new."""
        library, width = self._library, self._width
        ((state,),) = memory
        weight, bias = self._encoder
        x = library.relu(features @ weight + bias) @ self._given[0] + self._given[1]  # (B, 3 W)
        kept = state @ self._kept[0] + self._kept[1]
        gates = library.sigmoid(x[:, : 2 * width] + kept[:, : 2 * width])
        reset, update = gates[:, :width], gates[:, width:]
        new = library.xp.tanh(x[:, 2 * width :] + reset * kept[:, 2 * width :])
        state = (1.0 - update) * new + update * state
        weight, bias = self._head
        return state @ weight + bias, ((state,),)


def make_steps(model: FailureModel, library: Library) -> Steps:
    """The steps of a network, which read its parameters where they are."""
    if isinstance(model, FailureTCN):
        return StepsTCN(model, library)
    if isinstance(model, FailureGRU):
        return StepsGRU(model, library)
    assert isinstance(model, FailureMLP)
    return StepsMLP(model, library)
