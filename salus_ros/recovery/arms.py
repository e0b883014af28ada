"""Which behaviour takes the arm when, as it is written in options: `scripted@alarm`.

`BEHAVIOUR@TRIGGER`, where `@alarm` may be left out; after `@alarm:` the kinds of failure that it
is for, joined by `/`; several such rules joined by `+`, in order of preference; `shadow` alone, or
`shadow:` before them, where nothing is done and only said.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import ALL_FAILURE_TYPES, FailureType
from salus_ros.recovery.behaviour import Behaviour
from salus_ros.recovery.supervisor import Rule
from salus_ros.recovery.triggers import (
    AlarmTrigger,
    EitherTrigger,
    StepTrigger,
    StuckTrigger,
    Trigger,
)

NONE, SHADOW = "none", "shadow"

SEEN = ("alarm", "stuck", "either")
"""Triggers that a robot can have."""

PLANNED = ("random", "clock", "oracle")
"""Triggers of a trial, which knows the episode without intervention."""

SHADOWED = "scripted@alarm"
"""What `shadow` would have done."""


@dataclass(frozen=True, slots=True)
class StuckRule:
    """The tool has stayed within a cube of this edge for so many steps."""

    size_m: float = 0.06
    steps: int = 30

    def __post_init__(self) -> None:
        if not (self.size_m > 0.0 and self.steps >= 1):
            raise ConfigError(
                f"the stuck rule is {self.size_m} m for {self.steps} steps; both must be above 0"
            )


@dataclass(frozen=True, slots=True)
class Choice:
    """One rule in words.

    Attributes:
        behaviour: Name of the behaviour.
        trigger: One of `SEEN` or `PLANNED`.
        kinds: Kinds of failure that it is for; empty for all.
    """

    behaviour: str
    trigger: str
    kinds: tuple[FailureType, ...] = ()

    @property
    def cause(self) -> str:
        """The trigger as it is written."""
        kinds = "/".join(kind.label for kind in self.kinds)
        return f"{self.trigger}:{kinds}" if kinds else self.trigger


@dataclass(frozen=True, slots=True)
class Arm:
    """One way of dealing with what is foreseen.

    Attributes:
        name: As it is written.
        choices: Its rules, in order of preference; none where the policy is left alone.
        shadow: Nothing is done, only said.
    """

    name: str
    choices: tuple[Choice, ...]
    shadow: bool = False

    @classmethod
    def parse(cls, text: str) -> "Arm":
        """Read what is written.

        Raises:
            ConfigError: if it is not of the form above.
        """
        if text == NONE:
            return cls(NONE, ())
        shadow = text.split(":")[0] == SHADOW
        written = text.partition(":")[2] or SHADOWED if shadow else text
        return cls(text, tuple(_choice(part, text) for part in written.split("+")), shadow)

    @property
    def planned(self) -> str:
        """Its trigger of `PLANNED`; empty where it has none."""
        return next((one.trigger for one in self.choices if one.trigger in PLANNED), "")


def make_rules(
    arm: Arm, behaviours: Mapping[str, Behaviour], stuck: StuckRule, step: int
) -> list[Rule]:
    """The rules of an arm for one episode.

    Args:
        arm: The arm.
        behaviours: By name; each serves one episode at a time.
        stuck: What counts as stuck.
        step: When a planned trigger fires; -1 for never.
    """
    return [
        Rule(behaviours[one.behaviour], _trigger(one, stuck, step), one.cause)
        for one in arm.choices
    ]


def _trigger(choice: Choice, stuck: StuckRule, step: int) -> Trigger:
    match choice.trigger:
        case "alarm":
            return AlarmTrigger(choice.kinds)
        case "stuck":
            return StuckTrigger(stuck.size_m, stuck.steps)
        case "either":
            return EitherTrigger([AlarmTrigger(), StuckTrigger(stuck.size_m, stuck.steps)])
        case _:
            return StepTrigger(step)


def _choice(part: str, text: str) -> Choice:
    behaviour, _, trigger = part.partition("@")
    trigger, _, listed = (trigger or "alarm").partition(":")
    labels = [label for label in listed.split("/") if label]
    known = {kind.label: kind for kind in ALL_FAILURE_TYPES}
    wrong = [label for label in labels if label not in known]
    if not behaviour or trigger not in (*SEEN, *PLANNED) or wrong:
        raise ConfigError(
            f"'{text}' is no arm: give {NONE}, {SHADOW} or BEHAVIOUR@TRIGGER, with a trigger of "
            f"{', '.join((*SEEN, *PLANNED))}, and after alarm: kinds of {', '.join(known)}; join "
            "several by +"
        )
    if labels and trigger != "alarm":
        raise ConfigError(f"'{text}': only an alarm has a kind; write {behaviour}@alarm:{listed}")
    return Choice(behaviour, trigger, tuple(known[label] for label in labels))
