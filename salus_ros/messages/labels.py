"""How a person judges an episode, as asked of a service."""

from enum import IntEnum
from typing import Any

from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FailureType, Outcome


def read_label(request: Any) -> tuple[Outcome, FailureType, int, float]:
    """Read a LabelEpisode request.

    Returns:
        Outcome, failure type, step of the failure (-1: not given) and its time in s (0: not
        given).

    Raises:
        ObservationError: if the outcome or the type is none, naming those there are.
    """
    return (
        named(Outcome, request.outcome, "outcome"),
        named(FailureType, request.failure_type, "failure_type"),
        int(request.failure_step),
        float(request.failure_time),
    )


def named[E: IntEnum](kind: type[E], value: int, what: str) -> E:
    """The member of a value that came in a message.

    Raises:
        ObservationError: if there is none, naming those there are.
    """
    try:
        return kind(value)
    except ValueError:
        allowed = ", ".join(f"{one.value} ({one.name.lower()})" for one in kind)
        raise ObservationError(f"{what} is {value}; allowed are {allowed}") from None
