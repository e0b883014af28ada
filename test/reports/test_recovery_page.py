"""The page of a trial, and its tables."""

from io import StringIO

import numpy as np
import pytest
from rich.console import Console

from salus_ros.collection.trials.course import Course, Recorded
from salus_ros.collection.trials.figures import trial_figures
from salus_ros.collection.trials.trial import TrialResult
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.reports.pages.recovery import pairs, write_trial_page
from salus_ros.reports.tables.recovery import trial_tables

TASK = "put the red cube in the bin"


def recorded(seed, kind):
    outcome = Outcome.FAILURE if kind else Outcome.SUCCESS
    meta = EpisodeMeta(f"e{seed}", TASK, outcome, kind, seed=seed)
    return Recorded(meta, np.zeros((12, 7), np.float32), np.zeros((12, 7), np.float32), [])


def course(kind, diverged=-1, held=""):
    outcome = Outcome.FAILURE if kind else Outcome.SUCCESS
    done = [{"start": 4, "end": 9, "behaviour": "home", "cause": "alarm", "ended": "done"}]
    actions = np.zeros((8, 7), np.float32) if diverged >= 0 else np.zeros((0, 7), np.float32)
    taken = done if diverged >= 0 else []
    return Course(outcome, kind, "", 12, taken, [], held, diverged, actions)


@pytest.fixture(scope="module")
def result():
    none = [recorded(1, FailureType.TIMEOUT), recorded(2, FailureType.NONE)]
    none.append(recorded(3, FailureType.DROP))
    courses = {
        "home": [
            course(FailureType.NONE, 4),
            course(FailureType.DROP, 4),
            course(FailureType.DROP, 4, "home: <b>lost</b>"),
        ],
        "hold": [course(one.meta.failure_type) for one in none],
    }
    known = {
        "world": "salus/PickPlace-v0",
        "policy": "tiny",
        "predictor": "abc",
        "alpha": 0.2,
        "first_seed": 1,
        "episodes": 3,
    }
    return TrialResult(known | trial_figures(none, courses), none, courses)


def test_the_page_shows_what_was_saved_and_what_was_spoilt(result, tmp_path):
    page = write_trial_page(result, tmp_path / "page")
    text = page.read_text()
    assert "Saved: seed 1, put the red cube in the bin; home by alarm at step 4: done" in text
    assert "Spoilt: seed 2" in text
    assert "seed 3" not in text
    strips = sorted(file.name for file in (tmp_path / "page").glob("*.png"))
    assert strips == ["home_saved_1.png", "home_spoilt_2.png"]
    assert text.count("data:image/png") == 2


def test_pairs_are_of_episodes_that_end_otherwise(result):
    assert [r.meta.seed for r, _ in pairs(result, "home", saved=True)] == [1]
    assert [r.meta.seed for r, _ in pairs(result, "home", saved=False)] == [2]
    assert not pairs(result, "hold", saved=True)


def test_the_tables_say_what_each_arm_gains(result):
    console = Console(file=StringIO(), width=160)
    for table in trial_tables(result.figures):
        console.print(table)
    text = console.file.getvalue()
    (row,) = [line for line in text.splitlines() if "home" in line and "2 + 1" in line]
    assert "33.3%" in row
    assert "+0.0" in row
    assert "1 / 1 / 1" in text
    assert "lost" in text
    first = next(iter(trial_tables(result.figures | {"doubt": "of another policy"})))
    assert first == "of another policy"
