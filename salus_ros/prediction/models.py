"""The failure predictor: twelve signals in, one logit per horizon and failure type out."""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn


class FailureMLP(nn.Module):
    """Perceptron with a layer normalisation (scale and shift) after every hidden layer.

    Per hidden layer: linear, layer normalisation, ReLU, dropout. With 12 inputs, hidden widths
    64, 128, 128, 64 and 16 outputs it has 35,728 parameters. Layer rather than batch
    normalisation, so that a step is predicted alike alone and in a batch.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        widths = (inputs, *hidden)
        self.linears = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for width in hidden)
        self.head = nn.Linear(widths[-1], outputs)
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """Return logits.

        Args:
            features: Float32 (B, inputs), standardised.

        Returns:
            Float32 (B, outputs).
        """
        # Functions instead of module calls: for a single live step those cost more than the
        # arithmetic (36 us against 90 us).
        for linear, norm in zip(self.linears, self.norms, strict=True):
            assert isinstance(linear, nn.Linear)
            assert isinstance(norm, nn.LayerNorm)
            features = F.linear(features, linear.weight, linear.bias)  # (B, width)
            features = F.layer_norm(features, list(norm.normalized_shape), norm.weight, norm.bias)
            features = F.relu(features)
            if self.training:
                features = F.dropout(features, self.dropout)
        return F.linear(features, self.head.weight, self.head.bias)


def parameter_count(model: nn.Module) -> int:
    """Return the number of trained values of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def all_finite(model: nn.Module) -> bool:
    """Whether no parameter is NaN or infinite."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
