"""The network that embeds a key."""

from collections.abc import Sequence

from torch import nn


def build_network(inputs: int, hidden: Sequence[int], dimension: int) -> nn.Sequential:
    """A perceptron (B, F) -> (B, D).

    Args:
        inputs: F.
        hidden: Widths of the hidden layers.
        dimension: D.
    """
    layers: list[nn.Module] = []
    for width in hidden:
        layers += [nn.Linear(inputs, width), nn.LayerNorm(width), nn.ReLU()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, dimension))
