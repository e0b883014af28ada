"""Settings of a manifold."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from salus_ros.core.errors import ConfigError
from salus_ros.core.settings import from_plain, to_plain

CARD = ("state", "action")
"""What the key of the design card consists of."""

INPUTS: tuple[str, ...] = (*CARD, "embedding", "expert", "visual")
"""What a key can consist of; those of `prediction.extras` see the object."""


@dataclass(frozen=True, slots=True)
class ManifoldSettings:
    """How a manifold is learnt.

    Attributes:
        inputs: Which of `INPUTS` its key consists of.
        dimension: Of the embedding.
        hidden: Widths of the hidden layers.
        batches: Gradient steps.
        batch_size: Triplets of either kind in each.
        learning_rate: Of Adam at the beginning; it falls to 0 by a cosine.
        margin: By which a negative is to be further than the positive.
        last_steps: Steps before a failure that are negatives.
        near_steps: Steps of a success this near to each other are positives.
        candidates: Of so many steps before failures the nearest is the negative.
        validation_fraction: Share of the episodes that chooses the weights and says how far a
            success may be.
        test_fraction: Share that is kept for `salus manifold evaluate`.
        seed: Of split, weights and triplets.
    """

    inputs: tuple[str, ...] = CARD
    dimension: int = 8
    hidden: tuple[int, ...] = (64, 64)
    batches: int = 1500
    batch_size: int = 256
    learning_rate: float = 1e-3
    margin: float = 1.0
    last_steps: int = 30
    near_steps: int = 6
    candidates: int = 8
    validation_fraction: float = 0.1
    test_fraction: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        unknown = [name for name in self.inputs if name not in INPUTS]
        if unknown or not self.inputs or len(set(self.inputs)) < len(self.inputs):
            raise ConfigError(
                f"the inputs of a manifold are {', '.join(self.inputs) or 'none'}; give some of "
                f"{', '.join(INPUTS)}, each once"
            )
        for name in ("dimension", "batches", "batch_size", "last_steps", "near_steps"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        for name in ("learning_rate", "margin"):
            if not getattr(self, name) > 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be above 0")
        if min(self.hidden, default=1) < 1 or self.candidates < 1 or self.seed < 0:
            raise ConfigError(
                f"hidden is {self.hidden}, candidates {self.candidates}, seed {self.seed}; "
                "allowed are widths and candidates of 1 or more, and a seed of 0 or more"
            )
        held = self.validation_fraction, self.test_fraction
        if min(held) <= 0 or sum(held) >= 1:
            raise ConfigError(
                f"validation_fraction and test_fraction are {held[0]:g} and {held[1]:g}; both "
                "must be above 0, and something left to train on"
            )

    def to_dict(self) -> dict[str, Any]:
        """The settings as plain JSON values."""
        return to_plain(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read settings back.

        Raises:
            ConfigError: if a name is unknown or a value out of range.
        """
        return cls(**from_plain(cls, values, "unknown settings of a manifold:"))
