"""Settings of a training run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from salus_ros.core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings of a training run; the defaults are those of the proof of concept.

    Attributes:
        epochs: Passes over the training split, at least 1.
        batch_size: Steps per gradient step, at least 1.
        learning_rate: Initial rate of Adam, above 0.
        weight_decay: L2 weight of Adam, at least 0.
        pos_weight: Weight of a positive label in the binary cross-entropy, above 0.
        scheduler_factor: Factor on the rate at a plateau of the validation loss, in (0, 1).
        scheduler_patience: Epochs without improvement before that, at least 0.
        dropout: Probability after each hidden layer, in [0, 1).
        hidden: Widths of the hidden layers.
        train_fraction: Share of the episodes that is trained on, in (0, 1).
        validation_fraction: Share that chooses the epoch and the thresholds, in (0, 1); the rest
            is the test split.
        seed: Seed of the split, the weights, the order of the batches and the dropout.
    """

    epochs: int = 50
    batch_size: int = 256
    learning_rate: float = 1e-3
    weight_decay: float = 1e-5
    pos_weight: float = 3.0
    scheduler_factor: float = 0.5
    scheduler_patience: int = 5
    dropout: float = 0.2
    hidden: tuple[int, ...] = (64, 128, 128, 64)
    train_fraction: float = 0.8
    validation_fraction: float = 0.1
    seed: int = 0

    def __post_init__(self) -> None:
        """Check every value against its range.

        Raises:
            ConfigError: naming the first value that is outside.
        """
        rules = {
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "pos_weight": (self.pos_weight > 0, "above 0"),
            "scheduler_factor": (0 < self.scheduler_factor < 1, "between 0 and 1"),
            "scheduler_patience": (self.scheduler_patience >= 0, "at least 0"),
            "dropout": (0 <= self.dropout < 1, "in [0, 1)"),
            "hidden": (
                bool(self.hidden) and min(self.hidden) >= 1,
                "one width or more, each >= 1",
            ),
            "train_fraction": (0 < self.train_fraction < 1, "between 0 and 1"),
            "validation_fraction": (
                self.validation_fraction > 0
                and self.train_fraction + self.validation_fraction < 1,
                "above 0, and below 1 together with train_fraction",
            ),
            "seed": (self.seed >= 0, "at least 0"),
        }
        for name, (fine, allowed) in rules.items():
            if not fine:
                raise ConfigError(f"{name} is {getattr(self, name)}; allowed is {allowed}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self) | {"hidden": list(self.hidden)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings back.

        Raises:
            ConfigError: if a name is unknown or a value out of range.
        """
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown training settings {sorted(unknown)}")
        return cls(**{**values, "hidden": tuple(values.get("hidden", cls().hidden))})
