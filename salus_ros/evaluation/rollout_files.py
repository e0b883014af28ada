"""The log format of ActProbe's authors: one rollout a line, in JSON, plain or gzipped."""

import gzip
import hashlib
import json
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError

PATTERNS = ("*.jsonl", "*.jsonl.gz")

PICKLES = ("*.pkl", "*.pickle", "*.pt", "*.pth", "*.joblib")
"""Files that run what their author likes when they are read; they are refused."""

LONGEST_LIST = 16
"""Longest list in a step of which each number becomes a value of its own."""

LARGEST = float(np.finfo(np.float32).max)
"""A larger number is none that a signal can have."""

NO_VALUES = ("t", "is_replan")
"""What a step says of itself: its number, and whether the policy planned anew."""

FORM = (
    "an object with success (true or false) and steps (a list of objects); task_id, "
    "task_description, episode_id and rate_hz where they are known"
)


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One rollout of T steps.

    Attributes:
        key: Hash of its steps; the same for the same rollout, however it is written.
        file: The log it is from.
        line: Number of its line there, from 1.
        task: What it was to do; the name of the file where it does not say.
        id: Task and number of the episode.
        success: None where it does not say.
        rate_hz: Steps per second; None where it does not say.
        values: Float32 (T,) by name, NaN for what is null, absent or no number.
        fresh: Bool (T,): the policy planned anew.
    """

    key: str
    file: Path
    line: int
    task: str
    id: str
    success: bool | None
    rate_hz: float | None
    values: Mapping[str, NDArray[np.float32]]
    fresh: NDArray[np.bool_]

    @property
    def place(self) -> str:
        """Where it stands."""
        return f"'{self.file}' line {self.line}"


@dataclass(slots=True)
class Notes:
    """What was left out or taken for missing, to be said; nothing of it is silent.

    Attributes:
        said: Sentences.
        absent: By name of a value, the number of steps without it.
        odd: By name of a value, the number of steps where it is no number.
        example: By the same name, one of them.
    """

    said: list[str] = field(default_factory=list)
    absent: Counter[str] = field(default_factory=Counter)
    odd: Counter[str] = field(default_factory=Counter)
    example: dict[str, str] = field(default_factory=dict)

    def lines(self, names: Sequence[str], steps: int) -> tuple[str, ...]:
        """All there is to say, given the names that are values, and how many steps there are."""
        lines = list(self.said)
        for name, count in self.absent.items():
            if name in names:
                lines.append(f"{name} is absent in {count} of {steps} steps and missing there")
        for name, count in self.odd.items():
            instead = "missing there" if name in names else "left out"
            lines.append(
                f"{name} is no number in {count} of {steps} steps ({self.example[name]}) and "
                f"{instead}"
            )
        return tuple(lines)


def find_logs(paths: Sequence[str | Path], notes: Notes) -> list[Path]:
    """Log files of folders and files, each once; pickles beside them are noted.

    Raises:
        ConfigError: if there is none; pickles are refused by name.
    """
    found: dict[Path, None] = {}
    for path in map(Path, paths):
        files = _matching(path, PATTERNS)
        pickles = _matching(path, PICKLES)
        if pickles and not files:
            raise ConfigError(
                f"'{pickles[0]}' is a pickle: to read it is to run what its author put there, so "
                "it is refused. Let whoever trusts it write it as JSON, one rollout a line: "
                f"{FORM}"
            )
        if not files:
            raise ConfigError(
                f"'{path}' has no {' or '.join(PATTERNS)}; give logs, or folders of them, "
                "and no episode store beside them"
            )
        if pickles:
            notes.said.append(f"{len(pickles)} pickles as '{pickles[0]}' are not read")
        found |= dict.fromkeys(files)
    return list(found)


def holds_logs(path: str | Path) -> bool:
    """Tell whether a path is a log, or a folder of logs; pickles count, to be refused by name."""
    return bool(_matching(Path(path), (*PATTERNS, *PICKLES)))


def _matching(path: Path, patterns: Sequence[str]) -> list[Path]:
    if path.is_dir():
        return sorted(file for pattern in patterns for file in path.glob(pattern))
    return [path] if path.is_file() and any(map(path.match, patterns)) else []


def read_rollouts(file: Path, notes: Notes) -> Iterator[Rollout]:
    """Rollouts of a log.

    A last line that breaks off, as a writer leaves it that is stopped, and a rollout without a
    step are left out and named.

    Raises:
        ConfigError: if the file cannot be read, or another line is no rollout.
    """
    number = 0
    for number, line, ended in _lines(file):
        place = f"'{file}' line {number}"
        try:
            given = _checked(line)
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            if isinstance(error, json.JSONDecodeError | UnicodeDecodeError) and not ended:
                notes.said.append(f"{place} breaks off and is left out")
                continue
            raise ConfigError(
                f"{place} is no rollout ({type(error).__name__}: {error}); expected is {FORM}"
            ) from error
        steps = given["steps"]
        if not steps:
            notes.said.append(f"{place} has no step and is left out")
            continue
        name = file.name.removesuffix(".gz").removesuffix(".jsonl")
        task = given.get("task_id")
        in_words = name if task is None else f"task {task}"
        episode = given.get("episode_id")
        yield Rollout(
            key=hashlib.sha256(json.dumps(steps, sort_keys=True).encode()).hexdigest()[:16],
            file=file,
            line=number,
            task=str(given.get("task_description") or in_words),
            id=f"{name if task is None else task}/{number if episode is None else episode}",
            success=None if given.get("success") is None else bool(given["success"]),
            rate_hz=None if given.get("rate_hz") is None else float(given["rate_hz"]),
            values=_values(steps, place, notes),
            fresh=np.array([step.get("is_replan") is not False for step in steps], np.bool_),
        )
    if number == 0:
        notes.said.append(f"'{file}' holds no rollout")


def _checked(line: bytes) -> dict[str, Any]:
    """A line with what every rollout has; what is wrong with it is raised."""
    given: dict[str, Any] = json.loads(line)
    if not isinstance(given, dict):
        raise TypeError("it is no object")
    if not isinstance(given["steps"], list) or not all(
        isinstance(s, dict) for s in given["steps"]
    ):
        raise TypeError("steps is no list of objects")
    if given.get("success") not in (None, True, False):
        raise ValueError(f"success is {given['success']!r}")
    if given.get("rate_hz") is not None and not 0 < float(given["rate_hz"]) < math.inf:
        raise ValueError(f"rate_hz is {given['rate_hz']!r}")
    numbers = [step["t"] for step in given["steps"] if step.get("t") is not None]
    if any(new <= old for old, new in pairwise(numbers)):
        raise ValueError("its steps are not in the order of their t")
    return given


def _lines(file: Path) -> Iterator[tuple[int, bytes, bool]]:
    """Lines that are not empty: number, text, and whether the line has an end."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield number, line, line.endswith(b"\n")
    except (OSError, EOFError, zlib.error) as error:
        raise ConfigError(f"'{file}' cannot be read: {error}") from error


def _values(
    steps: Sequence[Mapping[str, Any]], place: str, notes: Notes
) -> dict[str, NDArray[np.float32]]:
    """Numbers of the steps by name, float32 (T,) each; what is not there is NaN and noted."""
    values: dict[str, NDArray[np.float32]] = {}
    there: Counter[str] = Counter()
    for row, step in enumerate(steps):
        for name, value in _leaves(step):
            there[name] += 1
            if not (value is None or isinstance(value, int | float)):
                notes.odd[name] += 1
                notes.example.setdefault(name, f"{str(value)[:20]!r} in {place}, step {row}")
                continue
            if name not in values:
                values[name] = np.full(len(steps), np.nan, np.float32)
            if value is not None and abs(value) <= LARGEST:
                values[name][row] = value
    notes.absent += Counter({name: len(steps) - there[name] for name in values})
    return values


def _leaves(step: Mapping[str, Any], within: str = "") -> Iterator[tuple[str, Any]]:
    """Values of a step by name; what lies in an object or a short list has a dotted name."""
    for key, value in step.items():
        name = f"{within}{key}"
        if not within and key in NO_VALUES:
            continue
        if isinstance(value, dict):
            yield from _leaves(value, f"{name}.")
        elif isinstance(value, list) and len(value) <= LONGEST_LIST:
            yield from _leaves({str(n): one for n, one in enumerate(value)}, f"{name}.")
        else:
            yield name, value
