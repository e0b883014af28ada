"""Figures of a trial, counted by hand."""

import numpy as np
import pytest

from salus_ros.collection.trials.course import Course, Recorded
from salus_ros.collection.trials.figures import trial_figures
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta

S, D, T = FailureType.NONE, FailureType.DROP, FailureType.TIMEOUT


def ending(kind):
    return (Outcome.SUCCESS if kind is S else Outcome.FAILURE), kind


def recorded(kind, steps=100):
    meta = EpisodeMeta("0", "task", *ending(kind))
    return Recorded(meta, np.zeros((steps, 7)), np.zeros((steps, 7)), [])


def course(kind, start=None, held="", refusals=()):
    done = [] if start is None else [{"start": start}]
    return Course(*ending(kind), "", 150, done, list(refusals), held, -1, np.zeros((0, 7)))


@pytest.fixture(scope="module")
def figures():
    none = [recorded(kind) for kind in (S, S, S, D, T, T)]
    return trial_figures(
        none,
        {
            "scripted": [
                course(S),
                course(T, 20),
                course(S, 30),
                course(S, 40),
                course(S, 50),
                course(T, 60, "scripted: no cube"),
            ],
            "requery@alarm": [course(k) for k in (S, S, S, D, T, S)],
            "scripted@random": [
                course(k, refusals=["scripted: late"]) for k in (S, S, S, D, S, T)
            ],
        },
    )


def test_none_is_what_was_recorded(figures):
    assert figures["none"]["success_rate"] == 0.5
    assert figures["none"]["endings"] == {"success": 3, "timeout": 2, "drop": 1}
    assert figures["none"]["mean_steps"] == 100


def test_an_arm_is_counted_against_it(figures):
    arm = figures["arms"]["scripted"]
    assert arm["successes"] == 4
    assert (arm["saved"], arm["spoilt"]) == (2, 1)
    assert arm["taken"] == {"episodes": 5, "failing": 3, "succeeding": 2}
    assert arm["saved_of_taken"] == pytest.approx(2 / 3)
    assert arm["spoilt_rate"] == pytest.approx(1 / 3)
    assert arm["by_kind"] == {
        "drop": {"episodes": 1, "taken": 1, "saved": 1},
        "timeout": {"episodes": 2, "taken": 2, "saved": 1},
    }
    assert (arm["interventions"], arm["median_start"]) == (5, 40.0)
    assert arm["held"] == {"scripted: no cube": 1}
    assert figures["arms"]["scripted@random"]["refused"] == {"scripted: late": 6}


def test_it_is_judged_by_requery_and_by_the_random_trigger_too(figures):
    against = figures["arms"]["scripted"]["against"]
    assert list(against) == ["none", "requery@alarm", "scripted@random"]
    assert against["none"]["difference"] == pytest.approx(1 / 6)
    assert (against["none"]["gained"], against["none"]["lost"]) == (2, 1)
    assert against["none"]["mcnemar_p"] == 1.0
    assert list(figures["arms"]["requery@alarm"]["against"]) == ["none"]
    assert list(figures["arms"]["scripted@random"]["against"]) == ["none"]
