"""The buttons of the page: what they are called, what they ask for, and who can answer."""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Protocol

from salus_ros.core.errors import ConfigError
from salus_ros.labelling.work import parse_ending

LONGEST_TASK = 500


@dataclass(frozen=True, slots=True)
class Button:
    """One button.

    Attributes:
        text: What stands on it.
        title: What it does.
        asks: Names of the fields beside it whose values it sends.
    """

    text: str
    title: str
    asks: tuple[str, ...] = ()


BUTTONS: dict[str, Button] = {
    "start": Button("start", "begin an episode", ("task",)),
    "stop": Button("stop", "end the episode", ()),
    "discard": Button("discard", "end the episode, and do not keep it"),
    "label": Button("label", "say how the episode ended", ("outcome", "kind", "step")),
    "clip": Button("save clip", "save what was just seen, and what comes next, as a clip"),
    "hold": Button("hold", "hold the arm"),
    "release": Button("release", "let the policy move the arm again"),
    "reset": Button("reset alarm", "reset the gate after an alarm"),
    "new": Button("new episode", "begin another episode in the simulated world", ("task",)),
}
"""By the name that the page sends."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a button: whether it was done, and what was said."""

    done: bool
    text: str


class Desk(Protocol):
    """Who does what the buttons ask for."""

    def press(self, name: str, values: Mapping[str, Any]) -> Future[Answer]:
        """Have it done; the values are those of `read_press`."""


def read_press(name: str, body: object) -> dict[str, Any]:
    """Read what the page sends with a button.

    Args:
        name: One of `BUTTONS`.
        body: A JSON object; a field that the button does not ask for is refused.

    Returns:
        For `task` a text; for a label `outcome`, `kind` and `step` as the enums and number that
        are sent on.

    Raises:
        ConfigError: if something is not allowed.
    """
    if name not in BUTTONS:
        raise ConfigError(f"there is no button '{name}'; there are {', '.join(BUTTONS)}")
    asks = BUTTONS[name].asks
    if not isinstance(body, dict) or set(body) - set(asks):
        raise ConfigError(f"'{name}' takes an object with {', '.join(asks) or 'nothing'} in it")
    if name == "label":
        outcome, kind, step = (body.get(key) for key in asks)
        typed = isinstance(kind, str | None) and type(step) in (int, type(None))
        if not isinstance(outcome, str) or not typed:
            raise ConfigError("a label takes an outcome, a kind in words and a whole step")
        return dict(zip(asks, parse_ending(outcome, kind, step), strict=True))
    if "task" in asks:
        task = body.get("task", "")
        if not isinstance(task, str) or len(task) > LONGEST_TASK:
            raise ConfigError(f"a task is a text of at most {LONGEST_TASK} characters")
        return {"task": task}
    return {}
