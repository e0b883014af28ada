"""What the launch file decides: which arguments can work, and in which order nodes end.

Without `launch`, which is not on PyPI; with nothing either that a Python which runs `ros2 launch`
may lack.
"""

import difflib
import json
import signal
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryDirectory
from typing import Any

import yaml

from salus_ros.core.errors import ConfigError
from salus_ros.nodes.arguments import SOURCES
from salus_ros.worlds import metaworld


class Ending:
    """Ends processes in order once one of them has: a stage when the one before has ended."""

    def __init__(self, stages: Sequence[Sequence[str]], last: str) -> None:
        """Take the processes that run.

        Args:
            stages: Their names; those of a stage end together.
            last: The one whose good end is the end of the work.
        """
        self._running = [list(stage) for stage in stages]
        self._last = last
        self._told: set[str] = set()
        self._begun = False
        self.failure = ""
        """What went wrong, in words; empty: nothing."""

    @property
    def over(self) -> bool:
        """Whether all have ended."""
        return not any(self._running)

    def ended(self, name: str, code: int) -> tuple[str, list[str]]:
        """Take note that a process has ended.

        Args:
            name: Which.
            code: Its exit code; the negative number of the signal that killed it.

        Returns:
            What is to be said, empty for nothing; and who is to be told to end now.
        """
        for stage in self._running:
            if name in stage:
                stage.remove(name)
        said = f"{name} {_reason(code)}"
        if code and not self.failure:
            self.failure = said
        expected = name in self._told or (name == self._last and not code)
        told = [one for one in next(filter(None, self._running), []) if one not in self._told]
        self._told.update(told)
        if expected and not code:
            return "", told
        rest = "" if self._begun or self.over else "; the others are ended in order"
        self._begun = True
        return said + rest, told


def _reason(code: int) -> str:
    if code < 0:
        return f"was killed by {signal.Signals(-code).name}"
    why = {0: "", 2: ": its last line says what to change"}
    return f"ended with exit code {code}" + why.get(code, ": its last lines say why")


def with_source(arguments: Mapping[str, str]) -> dict[str, str]:
    """Fill in the world that a source stands for, and what is known of one where left empty."""
    world = SOURCES.get(arguments["source"], arguments["env_id"])
    filled = dict(arguments) | {"env_id": world}
    if world not in metaworld.WORLDS or arguments["source"] == "none":
        return filled
    known = {
        "cameras": ",".join(metaworld.WORLDS[world]["cameras"]),
        "state_joints": ",".join(metaworld.HAND),
        "rate": str(metaworld.RATE_HZ),
    }
    return _filled(filled, known)


def with_robot(arguments: Mapping[str, str], shipped: Path) -> dict[str, str]:
    """Fill in what a robot's profile knows, where an argument was left empty.

    Args:
        arguments: All arguments by name.
        shipped: Folder of the profiles that ship.

    Returns:
        The arguments, `robot` as the profile's file.

    Raises:
        ConfigError: if there is no such profile, or it does not name cameras and joints.
    """
    robot = arguments["robot"]
    if not robot:
        return dict(arguments)
    own = "/" in robot or robot.endswith(".yaml")
    path = Path(robot) if own else shipped / f"{robot}.yaml"
    if not path.exists():
        names = ", ".join(sorted(file.stem for file in shipped.glob("*.yaml")))
        raise ConfigError(f"robot:={robot}: allowed are {names}, or the file of a profile")
    try:
        profile = yaml.safe_load(path.read_text())
        known = {
            "cameras": ",".join(profile["cameras"]),
            "state_joints": ",".join(joint["name"] for joint in profile["joints"]),
            "rate": str(profile["rate_hz"]),
        }
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigError(
            f"robot:={robot}: '{path}' is no profile of a robot, which names cameras, joints and "
            f"rate_hz; config/robots has some ({type(error).__name__}: {error})"
        ) from error
    return _filled(arguments, known) | {"robot": str(path)}


def _filled(arguments: Mapping[str, str], known: Mapping[str, str]) -> dict[str, str]:
    """The arguments, with what is known where one was left empty."""
    return dict(arguments) | {name: arguments[name] or value for name, value in known.items()}


def parameter_file(parameters: Mapping[str, Any]) -> str:
    """A file with parameters of a node; it is there as long as this process.

    Launch writes texts without quotes, and rcl takes a joint or camera that is called y or n for a
    truth value.
    """
    with NamedTemporaryFile("w", dir=_folder().name, suffix=".yaml", delete=False) as file:
        json.dump({"/**": {"ros__parameters": dict(parameters)}}, file)
    return file.name


@cache
def _folder() -> TemporaryDirectory[str]:
    return TemporaryDirectory(prefix="salus_launch_")


def misspelt(given: Iterable[str], known: Sequence[str]) -> list[str]:
    """Warnings of arguments that are none but look like one; launch takes them in silence."""
    warnings = []
    for name in given:
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.75)
        if name not in known and near:
            said = f"'{name}' is no argument and changes nothing; did you mean '{near[0]}'?"
            warnings.append(f"WARNING: {said}")
    return warnings
