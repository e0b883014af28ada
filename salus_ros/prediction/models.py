"""The failure predictors: the features of each step in, one logit per horizon and type out.

Every model reads a sequence causally: its answer at a step depends on that step and on earlier
ones alone. `forward` takes whole sequences, `salus_ros.prediction.steps` one step and what is
remembered; both compute the same.
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812 -- its usual name
from torch import Tensor, nn

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.config import TrainingConfig

SEQUENCES_AT_ONCE = 64


class FailureModel(nn.Module):
    """A causal model of B sequences of features.

    Attributes:
        reach: How many steps back the answer can depend on; 0 for the present step alone.
    """

    reach: int = 0

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, T, outputs) of standardised features float32 (B, T, inputs)."""
        raise NotImplementedError


class FailureMLP(FailureModel):
    """Perceptron with a layer normalisation (scale and shift) after every hidden layer.

    Per hidden layer: linear, layer normalisation, ReLU, dropout. With 12 inputs, hidden widths
    64, 128, 128, 64 and 16 outputs it has 35,728 parameters. Layer rather than batch
    normalisation, so that a step is predicted alike alone and in a batch. It has no memory.
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
        """Return logits (..., outputs) of standardised features float32 (..., inputs)."""
        for linear, norm in zip(self.linears, self.norms, strict=True):
            features = F.relu(norm(linear(features)))  # (..., width)
            features = F.dropout(features, self.dropout, self.training)
        logits: Tensor = self.head(features)
        return logits


class FailureTCN(FailureModel):
    """Temporal convolutional network: dilated causal convolutions with residual connections.

    After Bai, Kolter & Koltun 2018 (arXiv 1803.01271), with a layer normalisation before each
    convolution. Kernel 3 and dilations 1, 2, 4, ... reach 2 * (2^layers - 1) steps back: 62 with
    five layers, 2.1 s at 30 Hz. What is older cannot count, so it is no clock of the episode.

    Args:
        inputs: Features of a step.
        hidden: Channels of each layer, all equal.
        outputs: Logits.
        dropout: Probability after each layer.
    """

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if len(set(hidden)) > 1:
            raise ConfigError(f"hidden is {list(hidden)}; a tcn has layers of one width")
        width = hidden[0]
        self.encoder = nn.Linear(inputs, width)
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in hidden)
        self.linears = nn.ModuleList(nn.Linear(3 * width, width) for _ in hidden)
        self.head = nn.Linear(width, outputs)
        self.dropout = dropout
        self.dilations = [2**layer for layer in range(len(hidden))]
        self.reach = 2 * sum(self.dilations)
        self.width = width

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, T, outputs) of standardised features float32 (B, T, inputs)."""
        x = self.encoder(F.dropout(features, self.dropout / 2, self.training))  # (B, T, width)
        for dilation, norm, linear in zip(self.dilations, self.norms, self.linears, strict=True):
            steps = x.shape[1]
            past = F.pad(norm(x), (0, 0, 2 * dilation, 0))  # (B, T + 2 d, width)
            taps = [past[:, k * dilation : k * dilation + steps] for k in range(3)]
            y = F.relu(linear(torch.cat(taps, dim=2)))
            x = x + F.dropout(y, self.dropout, self.training)
        logits: Tensor = self.head(F.relu(x))
        return logits


class FailureGRU(FailureModel):
    """Gated recurrent unit (Cho et al. 2014) on an encoded step; it remembers without limit.

    Args:
        inputs: Features of a step.
        hidden: Width of the encoder and the recurrent layer, one value.
        outputs: Logits.
        dropout: Probability before and after the recurrent layer.
    """

    reach = 60
    """A gap longer than two seconds is shortened to that."""

    def __init__(
        self, inputs: int, hidden: Sequence[int], outputs: int, dropout: float = 0.0
    ) -> None:
        super().__init__()
        if len(hidden) != 1:
            raise ConfigError(f"hidden is {list(hidden)}; a gru has one layer")
        self.encoder = nn.Linear(inputs, hidden[0])
        self.recurrent = nn.GRU(hidden[0], hidden[0], batch_first=True)
        self.head = nn.Linear(hidden[0], outputs)
        self.dropout = dropout

    def forward(self, features: Tensor) -> Tensor:
        """Return logits (B, T, outputs) of standardised features float32 (B, T, inputs)."""
        x = F.dropout(F.relu(self.encoder(features)), self.dropout, self.training)
        x, _ = self.recurrent(x)
        logits: Tensor = self.head(F.dropout(x, self.dropout, self.training))
        return logits


_KINDS: dict[str, type[FailureMLP | FailureTCN | FailureGRU]] = {
    "mlp": FailureMLP,
    "tcn": FailureTCN,
    "gru": FailureGRU,
}


def build_model(config: TrainingConfig, inputs: int, outputs: int) -> FailureModel:
    """Return the network that a configuration describes, with random weights.

    Raises:
        ConfigError: if its hidden widths do not suit its kind.
    """
    return _KINDS[config.model](inputs, config.hidden, outputs, config.dropout)


def run_sequences(model: FailureModel, features: Tensor, lengths: Sequence[int]) -> Tensor:
    """Answer for the steps of several sequences, each from its first.

    Args:
        model: The network.
        features: Float32 (N, F), the steps of one sequence after the other.
        lengths: Steps of each sequence, N in all.

    Returns:
        Logits (N, outputs).
    """
    if isinstance(model, FailureMLP):
        logits: Tensor = model(features)
        return logits
    answers = []
    parts = torch.split(features, list(lengths))
    for start in range(0, len(parts), SEQUENCES_AT_ONCE):
        some = parts[start : start + SEQUENCES_AT_ONCE]
        logits = model(nn.utils.rnn.pad_sequence(list(some), batch_first=True))  # (b, T, O)
        answers += [row[: len(part)] for row, part in zip(logits, some, strict=True)]
    return torch.cat(answers)


def parameter_count(model: nn.Module) -> int:
    """Return the number of trained values of a model."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.no_grad()
def all_finite(model: nn.Module) -> bool:
    """Whether no parameter is NaN or infinite."""
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())
