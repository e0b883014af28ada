"""Settings of a training run."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Self

from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import SIGNALS
from salus_ros.prediction.features import INPUTS

MODELS = ("mlp", "tcn", "gru")
SCHEDULES = ("plateau", "cosine", "constant")
LOSSES = ("bce", "focal")
PRECISIONS = ("float32", "mixed")
SELECTIONS = ("f1", "average_precision", "loss")

_TUPLES = ("hidden", "inputs", "leave_out")


def _option(default: Any, text: str) -> Any:
    return field(default=default, metadata={"help": text})


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """Settings of a training run; the defaults are those of the proof of concept.

    Every field has its description in its metadata, which the command shows too.
    """

    model: str = _option("mlp", "Kind of network: mlp, tcn or gru.")
    inputs: tuple[str, ...] = _option(
        ("signals",),
        "What it reads: signals, validity, embedding, clock (time since the start, and left).",
    )
    leave_out: tuple[str, ...] = _option(
        (), "Signals, or kinds of them (attention, uncertainty, hidden_state), not to read."
    )
    eventual: bool = _option(
        False, "Predict also whether the episode will fail at all, at any distance."
    )
    hidden: tuple[int, ...] = _option((64, 128, 128, 64), "Widths of the hidden layers.")
    dropout: float = _option(0.2, "Dropout probability, in [0, 1).")
    epochs: int = _option(50, "Passes over the training episodes.")
    batch_size: int = _option(
        256, "Steps per gradient step; a tcn or gru takes whole episodes of that many."
    )
    learning_rate: float = _option(1e-3, "Initial rate of Adam.")
    weight_decay: float = _option(1e-5, "L2 weight of Adam.")
    schedule: str = _option("plateau", "Learning rate: plateau, cosine or constant.")
    scheduler_factor: float = _option(0.5, "plateau: factor when the validation loss stalls.")
    scheduler_patience: int = _option(5, "plateau: stalled epochs before the rate drops.")
    early_stopping: int = _option(0, "Stop after this many epochs without a better one; 0: never.")
    select_by: str = _option(
        "f1", "Validation figure that chooses the epoch: f1 (at 0.5), average_precision or loss."
    )
    loss: str = _option("bce", "bce (binary cross-entropy) or focal.")
    pos_weight: float = _option(3.0, "Weight of a positive label in the loss.")
    focal_gamma: float = _option(2.0, "focal: exponent.")
    oversample: float = _option(1.0, "How much oftener what fails is drawn; 1: as it comes.")
    jitter_steps: int = _option(0, "Labels are moved against the signals by up to this.")
    signal_noise: float = _option(0.0, "Gaussian noise on standardised inputs, in deviations.")
    precision: str = _option("float32", "float32, or mixed: bfloat16 where CUDA can.")
    train_fraction: float = _option(0.8, "Share of the episodes to train on.")
    validation_fraction: float = _option(
        0.1, "Share that chooses epoch and thresholds; the rest is for testing."
    )
    seed: int = _option(0, "Seed of split, weights and batches.")

    def __post_init__(self) -> None:
        """Check every value against its range.

        Raises:
            ConfigError: naming the first value that is outside.
        """
        known = {spec.name for spec in SIGNALS} | {spec.kind.name.lower() for spec in SIGNALS}
        rules = {
            "model": (self.model in MODELS, _one_of(MODELS)),
            "inputs": (
                bool(self.inputs) and set(self.inputs) <= set(INPUTS),
                f"one or more of {', '.join(INPUTS)}",
            ),
            "leave_out": (set(self.leave_out) <= known, f"any of {', '.join(sorted(known))}"),
            "hidden": (
                bool(self.hidden) and min(self.hidden) >= 1,
                "one width or more, each >= 1",
            ),
            "dropout": (0 <= self.dropout < 1, "in [0, 1)"),
            "epochs": (self.epochs >= 1, "at least 1"),
            "batch_size": (self.batch_size >= 1, "at least 1"),
            "learning_rate": (self.learning_rate > 0, "above 0"),
            "weight_decay": (self.weight_decay >= 0, "at least 0"),
            "schedule": (self.schedule in SCHEDULES, _one_of(SCHEDULES)),
            "scheduler_factor": (0 < self.scheduler_factor < 1, "between 0 and 1"),
            "scheduler_patience": (self.scheduler_patience >= 0, "at least 0"),
            "early_stopping": (self.early_stopping >= 0, "at least 0"),
            "select_by": (self.select_by in SELECTIONS, _one_of(SELECTIONS)),
            "loss": (self.loss in LOSSES, _one_of(LOSSES)),
            "pos_weight": (self.pos_weight > 0, "above 0"),
            "focal_gamma": (self.focal_gamma >= 0, "at least 0"),
            "oversample": (self.oversample >= 1, "at least 1"),
            "jitter_steps": (self.jitter_steps >= 0, "at least 0"),
            "signal_noise": (self.signal_noise >= 0, "at least 0"),
            "precision": (self.precision in PRECISIONS, _one_of(PRECISIONS)),
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

    @property
    def sequential(self) -> bool:
        """Whether the network reads whole episodes, not single steps."""
        return self.model != "mlp"

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return asdict(self) | {name: list(getattr(self, name)) for name in _TUPLES}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings back.

        Raises:
            ConfigError: if a name is unknown or a value out of range.
        """
        unknown = set(values) - {one.name for one in fields(cls)}
        if unknown:
            raise ConfigError(f"unknown training settings {sorted(unknown)}")
        given = {name: tuple(values[name]) for name in _TUPLES if name in values}
        return cls(**{**values, **given})


def _one_of(names: Any) -> str:
    return f"one of {', '.join(names)}"


_PROOF = TrainingConfig()
_SEQUENCE = replace(
    _PROOF,
    inputs=("signals", "validity", "embedding"),
    eventual=True,
    epochs=20,
    batch_size=1600,
    learning_rate=2e-3,
    weight_decay=1e-4,
    schedule="cosine",
    select_by="average_precision",
    pos_weight=1.0,
)

PRESETS: dict[str, TrainingConfig] = {
    "tcn": replace(_SEQUENCE, model="tcn", hidden=(64,) * 5, epochs=14),
    "gru": replace(_SEQUENCE, model="gru", hidden=(96,)),
    "mlp": _PROOF,
    "mlp-large": replace(
        _PROOF,
        hidden=(128, 256, 256, 128, 64),
        batch_size=512,
        epochs=150,
        early_stopping=20,
        precision="mixed",
    ),
}
"""Settings by the name that `salus train --model` takes; the first is the default.

`mlp` is the proof of concept's predictor and training, `mlp-large` its larger one.
"""
