"""Outcomes of an episode and the kinds of failure, with the numbers used in messages."""

from collections.abc import Sequence
from enum import IntEnum

from salus_ros.core.errors import ConfigError


class Outcome(IntEnum):
    """How an episode ended; `UNKNOWN` until it has ended or a person has labelled it."""

    UNKNOWN = 0
    SUCCESS = 1
    FAILURE = 2


class FailureType(IntEnum):
    """Kind of failure. The values equal the constants of the `salus_msgs` messages."""

    NONE = 0
    DROP = 1
    COLLISION = 2
    TIMEOUT = 3
    OTHER = 4
    MISPLACED_RELEASE = 5

    @property
    def label(self) -> str:
        """Lower-case name, as used in files, tables and configuration."""
        return self.name.lower()

    @classmethod
    def from_label(cls, label: str) -> "FailureType":
        """Return the type called `label`.

        Raises:
            ValueError: if no type has that name; the message lists the valid names.
        """
        try:
            return cls[label.upper()]
        except KeyError:
            names = ", ".join(kind.label for kind in cls)
            raise ValueError(f"unknown failure type {label!r}; known types: {names}") from None

    @property
    def lineage(self) -> tuple["FailureType", ...]:
        """Itself, the type that it is a kind of, and so on, the coarsest last."""
        parent = _PARENTS.get(self)
        return (self,) if parent is None else (self, *parent.lineage)

    def refined(self, cause: str) -> "FailureType":
        """The type that a cause names, where that is a kind of this one; else this one.

        Args:
            cause: Why it failed in the world's own words, such as "misplaced release".
        """
        named = FailureType.__members__.get(cause.upper().replace(" ", "_"), self)
        return named if self in named.lineage else self


_PARENTS = {FailureType.MISPLACED_RELEASE: FailureType.DROP}
"""Types that are kinds of another."""

ALL_FAILURE_TYPES = tuple(kind for kind in FailureType if kind != FailureType.NONE)
"""Every type that a failure can have; some are kinds of others."""

FAILURE_TYPES: tuple[FailureType, ...] = (
    FailureType.DROP,
    FailureType.COLLISION,
    FailureType.TIMEOUT,
    FailureType.OTHER,
)
"""The types a predictor has an output for unless others are asked for, in output order; `NONE` is
their absence."""


def counted_as(kind: FailureType, types: Sequence[FailureType]) -> FailureType:
    """What a failure counts as where these types are told apart.

    Args:
        kind: The finest type that is known of it.
        types: The types.

    Returns:
        The finest of `types` that covers it. Where none does, the coarsest type that it is a kind
        of, which is then not among `types`: the episode failed, and is a positive of none.
    """
    return next((one for one in kind.lineage if one in types), kind.lineage[-1])


def kinds_of(*types: FailureType) -> tuple[FailureType, ...]:
    """These types and all that are kinds of them."""
    return tuple(kind for kind in FailureType if any(one in kind.lineage for one in types))


def failure_types(labels: Sequence[str]) -> tuple[FailureType, ...]:
    """Read a list of failure types to be told apart, in output order.

    Raises:
        ConfigError: if it is empty, names one twice or one that there is not.
    """
    known = {kind.label: kind for kind in ALL_FAILURE_TYPES}
    if not labels or len(set(labels)) < len(labels) or not set(labels) <= set(known):
        raise ConfigError(
            f"failure types are {', '.join(labels) or 'none'}; allowed is each of "
            f"{', '.join(known)} once, and one at least"
        )
    return tuple(known[label] for label in labels)


def events_of(types: Sequence[FailureType]) -> list[int]:
    """Places of the types that are events: all but the timeout, which a clock foresees."""
    return [place for place, kind in enumerate(types) if FailureType.TIMEOUT not in kind.lineage]
