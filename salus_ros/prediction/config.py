"""Settings of a training run."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import (
    ConfigDict,
    Field,
    ModelWrapValidatorHandler,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic.dataclasses import dataclass

from salus_ros.core.errors import ConfigError
from salus_ros.core.schema import SIGNALS
from salus_ros.core.settings import from_plain, to_plain

BUILT_IN_LIMIT_STEPS = 200
"""Time limit of checkpoints of an older version, in which none was declared."""

_LEAVABLE = {spec.name for spec in SIGNALS} | {spec.kind.name.lower() for spec in SIGNALS}

Input = Literal[
    "signals",
    "validity",
    "embedding",
    "expert",
    "visual",
    "plan",
    "joints",
    "lookahead",
    "further",
    "clock",
]
"""What a model can read of a step, in the order of its features; see `features.INPUTS`."""


_RULES = ConfigDict(strict=True, allow_inf_nan=False, extra="forbid", validate_default=True)


@dataclass(frozen=True, slots=True, config=_RULES)
class TrainingConfig:
    """Settings of a training run; but for its split, the defaults are the proof of concept's.

    Every field has its description and its range in its `Field`, which the command shows too.

    Raises:
        ConfigError: naming the first value that is outside of what is allowed.
    """

    model: Annotated[
        Literal["mlp", "tcn", "gru"], Field(description="Kind of network: mlp, tcn or gru.")
    ] = "mlp"
    inputs: Annotated[
        tuple[Input, ...],
        Field(
            min_length=1,
            description="What it reads: signals, validity (which of them exist), embedding and "
            "expert (hidden states), visual (what the policy sees), plan, joints, lookahead (what "
            "the arm would meet if it did as planned), clock (time since the start, and left).",
        ),
    ] = ("signals",)
    time_limit_steps: Annotated[
        int,
        Field(
            ge=0,
            description="Steps after which an episode counts as failed, where there is such a "
            "limit; given, the clock is an input.",
        ),
    ] = 0
    leave_out: Annotated[
        tuple[str, ...],
        Field(
            description="Signals, or kinds of them (attention, uncertainty, hidden_state), not to "
            "read."
        ),
    ] = ()
    eventual: Annotated[
        bool,
        Field(
            description="Predict also whether the episode will fail at all, and whether by no "
            "progress (its time limit), at any distance."
        ),
    ] = False
    hidden: Annotated[
        tuple[Annotated[int, Field(ge=1)], ...],
        Field(min_length=1, description="Widths of the hidden layers."),
    ] = (64, 128, 128, 64)
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout probability, in [0, 1).")] = (
        0.2
    )
    epochs: Annotated[int, Field(ge=1, description="Passes over the training episodes.")] = 50
    batch_size: Annotated[
        int,
        Field(
            ge=1,
            description="Steps per gradient step; a tcn or gru takes whole episodes of that many.",
        ),
    ] = 256
    learning_rate: Annotated[float, Field(gt=0, description="Initial rate of Adam.")] = 1e-3
    weight_decay: Annotated[float, Field(ge=0, description="L2 weight of Adam.")] = 1e-5
    schedule: Annotated[
        Literal["plateau", "cosine", "constant"],
        Field(description="Learning rate: plateau, cosine or constant."),
    ] = "plateau"
    scheduler_factor: Annotated[
        float, Field(gt=0, lt=1, description="plateau: factor when the validation loss stalls.")
    ] = 0.5
    scheduler_patience: Annotated[
        int, Field(ge=0, description="plateau: stalled epochs before the rate drops.")
    ] = 5
    early_stopping: Annotated[
        int, Field(ge=0, description="Stop after this many epochs without a better one; 0: never.")
    ] = 0
    select_by: Annotated[
        Literal["f1", "average_precision", "loss"],
        Field(
            description="Validation figure that chooses the epoch: f1 (at 0.5), "
            "average_precision or loss."
        ),
    ] = "f1"
    loss: Annotated[
        Literal["bce", "focal"], Field(description="bce (binary cross-entropy) or focal.")
    ] = "bce"
    pos_weight: Annotated[
        float, Field(gt=0, description="Weight of a positive label in the loss.")
    ] = 3.0
    focal_gamma: Annotated[float, Field(ge=0, description="focal: exponent.")] = 2.0
    oversample: Annotated[
        float, Field(ge=1, description="How much oftener what fails is drawn; 1: as it comes.")
    ] = 1.0
    auxiliary: Annotated[
        float,
        Field(
            ge=0,
            description="Weight of a second task in training: to tell what only a world knows, "
            "poses and forces; 0: none.",
        ),
    ] = 0.0
    jitter_steps: Annotated[
        int, Field(ge=0, description="Labels are moved against the signals by up to this.")
    ] = 0
    signal_noise: Annotated[
        float, Field(ge=0, description="Gaussian noise on standardised inputs, in deviations.")
    ] = 0.0
    input_dropout: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Probability that an input beside signals, validity and clock is missing "
            "throughout an episode in training, so that none is relied on alone.",
        ),
    ] = 0.0
    precision: Annotated[
        Literal["float32", "mixed"],
        Field(description="float32, or mixed: bfloat16 where CUDA can."),
    ] = "float32"
    train_fraction: Annotated[
        float, Field(gt=0, lt=1, description="Share of the episodes to train on.")
    ] = 0.65
    validation_fraction: Annotated[
        float, Field(gt=0, lt=1, description="Share that chooses epoch and thresholds.")
    ] = 0.1
    calibration_fraction: Annotated[
        float,
        Field(
            ge=0,
            lt=1,
            description="Share that is kept for `salus calibrate`; the rest is for testing.",
        ),
    ] = 0.15
    seed: Annotated[int, Field(ge=0, description="Seed of split, weights and batches.")] = 0

    @field_validator("leave_out")
    @classmethod
    def _known(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not set(names) <= _LEAVABLE:
            raise ValueError(f"allowed is any of {', '.join(sorted(_LEAVABLE))}")
        return names

    @field_validator("calibration_fraction")
    @classmethod
    def _something_to_test_on(cls, share: float, info: ValidationInfo) -> float:
        others = [info.data.get(f"{part}_fraction", 0.0) for part in ("train", "validation")]
        if sum(others) + share >= 1:
            raise ValueError(
                "allowed is what leaves something to test on: below 1 together with "
                f"train_fraction {others[0]:g} and validation_fraction {others[1]:g}"
            )
        return share

    @model_validator(mode="wrap")
    @classmethod
    def _refused_by_name(cls, values: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler(values)
        except ValidationError as error:
            first = error.errors()[0]
            name = ".".join(str(part) for part in first["loc"][:1])
            why = first["msg"].removeprefix("Value error, ")
            why = why.replace("Input should be", "allowed is").replace("Input should", "it should")
            raise ConfigError(f"{name} is {first['input']!r}; {why}") from None

    @property
    def sequential(self) -> bool:
        """Whether the network reads whole episodes, not single steps."""
        return self.model != "mlp"

    def with_time_limit(self, steps: int) -> Self:
        """The same with a clock among the inputs, which tells how close the limit is."""
        inputs = self.inputs if "clock" in self.inputs else (*self.inputs, "clock")
        return replace(self, inputs=inputs, time_limit_steps=steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain JSON values."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings back, also those of versions that had fewer.

        Raises:
            ConfigError: if a name is unknown or a value out of range.
        """
        given = from_plain(cls, values, "unknown training settings")
        if "calibration_fraction" not in given:  # older: none was kept
            given["calibration_fraction"] = 0.0
        if "clock" in given.get("inputs", ()) and "time_limit_steps" not in given:
            given["time_limit_steps"] = BUILT_IN_LIMIT_STEPS
        return cls(**given)


_SCHEMA = TypeAdapter(TrainingConfig).json_schema()


def describe(name: str) -> str:
    """Description of a setting.

    Args:
        name: Name of a field of `TrainingConfig`.
    """
    return str(_SCHEMA["properties"][name]["description"])


_PROOF = TrainingConfig()
_SEQUENCE = replace(
    _PROOF,
    inputs=("signals", "validity", "embedding", "joints", "lookahead"),
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
