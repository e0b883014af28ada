"""What has been done of a trial, kept in a file as it is done, a line for each episode and arm."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros.collection.trials.course import Course
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.panda import ACTION_DIM


@dataclass(frozen=True, slots=True)
class Task:
    """One course to be done.

    Attributes:
        seed: Of the episode.
        arm: Name of the arm.
        at: When its planned trigger fires; -1 for never.
    """

    seed: int
    arm: str
    at: int


class Records:
    """The courses done.

    Attributes:
        courses: By task.

    Args:
        path: The file, gone on with where it is there.
        settings: JSON values that decide what is done.

    Raises:
        ConfigError: if the file was begun with other settings.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]) -> None:
        self.courses: dict[Task, Course] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+")
        self._file.seek(0)
        text, asked = self._file.read(), json.dumps(settings)
        head, *lines = text.splitlines() or [asked]
        if head != asked:
            differs = _differing(head, settings)
            raise ConfigError(
                f"'{path}' was begun with other options ({differs}); give the same ones, or "
                "another --out"
            )
        if not text:
            self._write(settings)
        elif not text.endswith("\n"):  # cut off by a kill
            self._file.write("\n")
        for line in lines:
            try:
                values = json.loads(line)
            except ValueError:
                continue
            task = Task(**values.pop("task"))
            self.courses[task] = _course(values)

    def add(self, task: Task, course: Course) -> None:
        """Keep a course."""
        self.courses[task] = course
        self._write(
            {
                "task": {"seed": task.seed, "arm": task.arm, "at": task.at},
                "outcome": course.outcome.name.lower(),
                "failure_type": course.failure_type.label,
                "cause": course.cause,
                "steps": course.steps,
                "interventions": course.interventions,
                "refusals": course.refusals,
                "held": course.held,
                "diverged": course.diverged,
                "actions": base64.b64encode(course.actions.tobytes()).decode(),
            }
        )

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _write(self, values: Any) -> None:
        self._file.write(json.dumps(values) + "\n")
        self._file.flush()


def _course(values: dict[str, Any]) -> Course:
    flat = np.frombuffer(base64.b64decode(values.pop("actions")), np.float32)
    return Course(
        outcome=Outcome[values.pop("outcome").upper()],
        failure_type=FailureType.from_label(values.pop("failure_type")),
        actions=flat.reshape(-1, ACTION_DIM),
        **values,
    )


def _differing(head: str, asked: Mapping[str, Any]) -> str:
    try:
        begun = json.loads(head)
        return "; ".join(
            f"{name}: {begun.get(name)}, asked {asked[name]}"
            for name in asked
            if begun.get(name) != asked[name]
        )
    except (ValueError, AttributeError):
        return f"{head:.200}"
