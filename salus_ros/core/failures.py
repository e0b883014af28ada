"""Outcomes of an episode and the kinds of failure, with the numbers used in messages."""

from enum import IntEnum


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


FAILURE_TYPES: tuple[FailureType, ...] = (
    FailureType.DROP,
    FailureType.COLLISION,
    FailureType.TIMEOUT,
    FailureType.OTHER,
)
"""The types a predictor has an output for, in output order; `NONE` is their absence."""
