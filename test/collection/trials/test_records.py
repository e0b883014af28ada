"""What is done of a trial is kept, and gone on with."""

import numpy as np
import pytest

from salus_ros.collection.trials.course import Course
from salus_ros.collection.trials.records import Records, Task
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome

COURSE = Course(
    outcome=Outcome.FAILURE,
    failure_type=FailureType.DROP,
    cause="drop",
    steps=50,
    interventions=[{"start": 3, "behaviour": "hold"}],
    refusals=["home: no"],
    held="",
    diverged=3,
    actions=np.random.default_rng(0).normal(size=(47, 7)).astype(np.float32),
)
TASKS = [Task(1, "hold", -1), Task(1, "hold@clock", 40)]


def written(path, tasks=TASKS, settings=None):
    records = Records(path, settings or {"alpha": 0.2})
    for task in tasks:
        records.add(task, COURSE)
    records.close()
    return records.courses


def test_courses_are_read_as_they_were_written(tmp_path):
    written(tmp_path / "a.jsonl")
    found = written(tmp_path / "a.jsonl", [])
    assert list(found) == TASKS
    for course in found.values():
        np.testing.assert_array_equal(course.actions, COURSE.actions)
        for name in ("outcome", "failure_type", "interventions", "refusals", "held", "diverged"):
            assert getattr(course, name) == getattr(COURSE, name)


def test_a_line_that_a_kill_cut_off_is_done_again(tmp_path):
    path = tmp_path / "a.jsonl"
    written(path)
    path.write_text(path.read_text()[:-100])
    assert list(written(path, [])) == TASKS[:1]
    written(path, TASKS[1:])
    assert list(written(path, [])) == TASKS


def test_other_options_are_refused_by_name(tmp_path):
    written(tmp_path / "a.jsonl")
    with pytest.raises(ConfigError, match=r"alpha: 0\.2, asked 0\.1"):
        written(tmp_path / "a.jsonl", [], {"alpha": 0.1})
