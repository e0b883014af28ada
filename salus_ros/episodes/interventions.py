"""Which steps of an episode something else than the policy acted at, and what that was.

As text, in the table of a store: `31-57 scripted@alarm timeout; 80-99 person@takeover`: first and
last step of each stretch, and its name, MECHANISM@TRIGGER and the kind of failure that was
foreseen, where one was. Empty: the policy alone acted, as far as anybody said.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import StoreError

LONGEST_NAME = 100

TAKEOVER = "person@takeover"
"""What acts while the action bridge leaves the arm to a person; the action is the policy's, which
was not done."""

_NAME = re.compile(r"[^\s;@]+@[^\s;]+( [^\s;]+)?")
_SPAN = re.compile(rf"(\d+)-(\d+) ({_NAME.pattern})")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of steps that one intervention acted at.

    Attributes:
        start: Its first step.
        stop: The step after its last one.
        name: MECHANISM@TRIGGER, and the kind after a space where one was foreseen.
    """

    start: int
    stop: int
    name: str

    @property
    def mechanism(self) -> str:
        """What acted; `held` where nothing did, and the arm was kept still."""
        return self.name.split("@")[0]

    @property
    def trigger(self) -> str:
        """What made it act."""
        return self.name.partition("@")[2].split(" ")[0]

    @property
    def kind(self) -> str:
        """The kind of failure that was foreseen, by its label; empty where none was."""
        return self.name.partition(" ")[2]


def is_name(text: str) -> bool:
    """Whether a text can name an intervention."""
    return len(text) <= LONGEST_NAME and _NAME.fullmatch(text) is not None


def parse(text: str) -> tuple[Span, ...]:
    """Read the text of an episode.

    Raises:
        StoreError: if it is not of the form above, or its stretches overlap or are in disorder.
    """
    spans = []
    for part in text.split("; ") if text else ():
        found = _SPAN.fullmatch(part)
        if found is None:
            raise StoreError(
                f"'{part}' is no intervention; allowed is FIRST-LAST MECHANISM@TRIGGER KIND, "
                "several joined by '; '"
            )
        spans.append(Span(int(found[1]), int(found[2]) + 1, found[3]))
    ends = [0, *(place for span in spans for place in (span.start, span.stop))]
    if any(a > b for a, b in pairwise(ends)):
        raise StoreError(f"the interventions '{text}' overlap or are not in order")
    return tuple(spans)


def written(spans: Iterable[Span]) -> str:
    """The text of an episode."""
    return "; ".join(f"{span.start}-{span.stop - 1} {span.name}" for span in spans)


def joined(spans: Sequence[Span], step: int, name: str) -> tuple[Span, ...]:
    """The stretches with one more step, which comes after theirs; an empty name adds nothing."""
    if not name:
        return tuple(spans)
    if spans and spans[-1].stop == step and spans[-1].name == name:
        return (*spans[:-1], replace(spans[-1], stop=step + 1))
    return (*spans, Span(step, step + 1, name))


def within(text: str, start: int, stop: int) -> str:
    """The text of a part of the episode, steps start to stop - 1, counted from its first."""
    cut = (
        replace(span, start=max(span.start, start) - start, stop=min(span.stop, stop) - start)
        for span in parse(text)
    )
    return written(span for span in cut if span.start < span.stop)


def by_step(text: str, length: int) -> NDArray[np.int16]:
    """Which intervention acts at each step.

    Args:
        text: Of the episode.
        length: Its steps T.

    Returns:
        Int16 (T,): 0 for the policy, n for the n-th of `parse`.
    """
    numbers: NDArray[np.int16] = np.zeros(length, np.int16)
    for number, span in enumerate(parse(text), 1):
        numbers[span.start : span.stop] = number
    return numbers


def names_by_step(text: str, length: int) -> list[str]:
    """The same by name: T names, empty for the policy."""
    names = ["", *(span.name for span in parse(text))]
    return [names[number] for number in by_step(text, length)]
