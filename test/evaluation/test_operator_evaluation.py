"""The primary figures of a detector, against values by hand."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_samples

from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.evaluation.held import Alarm, Held
from salus_ros.evaluation.operator_evaluation import evaluate_as_operator
from salus_ros.evaluation.readout import Readout

NONE, DROP, COLLISION, TIMEOUT = (FailureType(kind) for kind in range(4))
MISPLACED = FailureType.MISPLACED_RELEASE
NAN = math.nan


def samples_of(*kinds, length=60, task="a", types=FAILURE_TYPES, **meta):
    """Episodes at 30 Hz that end so, each at its end."""
    spec = replace(LOW_DIM, failure_types=types)
    samples = make_samples(
        [
            make_episode(f"{task}{n}", length, kind, spec, seed=n, task=task, **meta)
            for n, kind in enumerate(kinds)
        ],
        spec,
    )
    records = tuple(replace(one, key=f"{task}{n}") for n, one in enumerate(samples.records))
    return replace(samples, records=records, time_limit=60)


def scores(samples, value=0.0):
    return np.full(len(samples.step), value)


def figures(score, *samples, **alarms):
    given = score if isinstance(score, list) else [Readout.single(score)]
    found = evaluate_as_operator(given, Held(samples, [20]), alarms)
    json.dumps(found, allow_nan=False)
    return found


def test_failures_foreseen_at_a_share_and_at_thresholds_set_beforehand():
    samples = samples_of(*[NONE] * 20, *[DROP] * 5, *[TIMEOUT] * 5)
    score = scores(samples).reshape(-1, 60)
    score[0, 3] = 0.9  # the one success that may alarm
    score[1, 3] = 0.5  # sets the threshold
    score[20:22, 10] = 0.6  # 50 steps, 1.67 s before a drop
    score[22, 57] = 0.9  # 0.1 s before one
    score[25:29, 40] = 0.8
    known = Alarm([score.ravel()], [0.7])
    found = figures(score.ravel(), samples, conformal=known)["foreseen"]
    assert found["failures"] == {"all": 10, "sudden": 5, "drop": 5, "timeout": 5}
    at_share, conformal = found["at_share"], found["conformal"]
    assert at_share["recall"] == {"all": 0.6, "sudden": 0.4, "drop": 0.4, "timeout": 0.8}
    assert at_share["alarmed"] == 0.05
    assert at_share["lead_median_s"] == pytest.approx(20 / 30)
    assert conformal["recall"] == {"all": 0.4, "sudden": 0.0, "drop": 0.0, "timeout": 0.8}
    assert conformal["alarmed"] == 0.05
    low, high = conformal["recall_interval"]["timeout"]
    assert 0.2 < low < 0.8 < high <= 1
    assert not conformal["never_sounds"]
    assert "declared" not in found


def test_an_alarm_that_cannot_sound_is_told_from_one_that_did_not():
    samples = samples_of(NONE, DROP)
    score, lost = scores(samples), scores(samples, -np.inf)
    given = {"a": Alarm([score], [math.inf]), "b": Alarm([lost], [0.0]), "c": Alarm([score], [1])}
    found = figures(score, samples, **given)["foreseen"]
    assert [found[name]["never_sounds"] for name in given] == [True, True, False]
    assert [found[name]["recall"]["all"] for name in given] == [0.0] * 3


def test_a_misplaced_release_is_told_apart_and_scored_by_the_type_it_counts_as():
    """With the published types its output is that of drops; of types that cover it, its own."""
    for types, column in ((FAILURE_TYPES, 0), ((COLLISION, MISPLACED, DROP), 1)):
        samples = samples_of(*[NONE] * 5, MISPLACED, DROP, COLLISION, types=types, length=90)
        by_type = np.zeros((len(samples.step), len(types)))
        misplaced = slice(5 * 90, 6 * 90)
        by_type[misplaced, column] = np.arange(90) == 75  # 0.5 s before
        nothing = scores(samples)
        found = figures([Readout(nothing, nothing, nothing, by_type)], samples)["events"]
        assert found["events"] == {
            "sudden": 3, "drop": 1, "collision": 1, "other": 0, "misplaced_release": 1,
        }  # fmt: skip
        own = found["by_own_output"]
        assert set(own) == {"drop", "collision", "misplaced_release"}
        assert own["misplaced_release"]["10"]["recall"] == {"misplaced_release": 1.0}
        assert own["drop"]["10"]["recall"] == {"drop": 0.0}
        assert found["by_rate"]["10"]["recall"]["sudden"] == 0.0
        assert found["by_rate"]["10"]["recall"]["other"] is None
    bare = samples_of(*[NONE] * 5, MISPLACED, types=(COLLISION,))
    nothing = scores(bare)
    readout = Readout(nothing, nothing, nothing, nothing[:, None])
    assert figures([readout], bare)["events"]["by_own_output"] == {}


def test_the_running_are_ranked_within_tasks_by_the_latest_score():
    """At step 15, a quarter of 60: an episode that was over by then is not there."""
    first = samples_of(NONE, DROP, TIMEOUT, task="a")
    second = samples_of(NONE, DROP, length=10, task="b")
    score = scores(first)
    score[[14, 60 + 15, 120 + 15]] = 0.9, 0.5, 0.2  # that of the success holds no longer
    early = scores(second, 1.0)
    found = figures([Readout.single(score), Readout.single(early)], first, second)["running"]
    failure, stuck = found["failure"]["25%"], found["no_progress"]["25%"]
    assert (failure["step"], failure["running"], failure["positives"]) == (15, 3, 2)
    assert failure["auroc_within_task"] == 1.0
    assert (stuck["positives"], stuck["auroc_within_task"]) == (1, 0.5)
    assert found["failure"]["step 20"]["auroc_within_task"] == 0.5  # all fell to 0
    assert found["failure"]["10%"]["running"] == 5
    assert failure["auroc_within_task_interval"] == [None, None]  # of too few


def test_each_episode_is_ranked_at_a_share_of_its_own_time_limit():
    samples = samples_of(NONE, DROP, TIMEOUT, NONE, DROP)
    records = [
        replace(one, time_limit=limit, meta=replace(one.meta, task=str(limit)))
        for one, limit in zip(samples.records, (20, 20, 20, 80, 80), strict=True)
    ]
    samples = replace(samples, records=tuple(records))
    score = scores(samples).reshape(-1, 60)
    score[[1, 2], 10] = 0.5, 0.5  # right at half of 20 steps
    score[4, 40] = 0.5  # and at half of 80
    running = figures(score.ravel(), samples)["running"]["failure"]
    assert (running["50%"]["step"], running["50%"]["running"]) == (None, 5)
    assert running["50%"]["auroc_within_task"] == 1.0
    assert running["75%"]["running"] == 3  # the others have not come to step 60
    assert running["step 20"]["step"] == 20
    assert running["step 20"]["auroc_within_task"] == 0.5


def test_pairs_are_added_up_over_tasks_and_splits_and_not_across():
    low = samples_of(NONE, NONE, DROP, task="a")
    high = samples_of(NONE, DROP, DROP, task="b")
    ranks = (1, 3, 2), (20, 10, 30)
    given = [Readout.single(np.repeat(np.asarray(one, float), 60)) for one in ranks]
    found = figures(given, low, high)["running"]["failure"]["50%"]
    assert found["auroc_within_task"] == (1 + 1) / (2 + 2)


def test_what_is_not_judged_is_counted_and_not_ranked():
    samples = samples_of(NONE, NONE, DROP, DROP)
    score = np.repeat([0.5, NAN, 0.7, NAN], 60)
    score[60 + 59] = 0.1
    found = figures(score, samples)
    assert (found["steps"], found["unjudged"]) == (240, 119)
    quarter = found["running"]["failure"]["25%"]
    assert (quarter["running"], quarter["unjudged"]) == (4, 2)
    assert quarter["auroc_within_task"] == 1.0
    assert found["foreseen"]["unjudged"] == {"failures": 1, "successes": 0}
    assert found["foreseen"]["at_share"]["recall"]["all"] == 0.5
    silent = figures(np.full(240, NAN), samples)
    assert silent["unjudged"] == 240
    assert silent["foreseen"]["at_share"]["recall"]["all"] is None
    assert silent["events"]["by_rate"]["10"]["recall"]["sudden"] == 0
    assert silent["events"]["by_rate"]["10"]["false_alarms_per_hour"] is None
    assert silent["running"]["failure"]["25%"]["auroc_within_task"] is None


@pytest.mark.parametrize("kinds", [(NONE, NONE), (DROP, DROP)])
def test_one_outcome_defines_no_more_than_it_can(kinds):
    samples = samples_of(*kinds)
    found = figures(scores(samples, 0.5), samples)
    recall = found["foreseen"]["at_share"]["recall"]
    assert recall["all"] is None
    assert found["foreseen"]["at_share"]["alarmed"] == (0.0 if kinds[0] == NONE else None)
    assert found["running"]["failure"]["50%"]["auroc_within_task"] is None


def test_an_episode_that_fails_within_the_lead_is_missed_and_named():
    samples = make_samples(
        [make_episode("s", 60), make_episode("d", 60, DROP, failure_step=5)], LOW_DIM
    )
    found = figures(scores(samples, 1.0), samples)
    assert found["foreseen"]["too_early"] == 1
    assert found["foreseen"]["at_share"]["recall"]["all"] == 0.0
    assert found["steps"] == 65


def test_the_same_episode_in_two_splits_counts_once_among_the_failures():
    samples = samples_of(*[NONE] * 3, *[DROP] * 3)
    score = scores(samples)
    found = figures([Readout.single(score)] * 2, samples, samples)
    assert found["foreseen"]["failures"]["drop"] == 3
    assert found["running"]["failure"]["25%"]["running"] == 6
    assert found["foreseen"]["at_share"]["recall_interval"]["drop"] == [None, None]
    assert found["events"]["by_rate"]["60"]["hours"] == pytest.approx(12 * 60 / 30 / 3600)


def test_probabilities_of_the_whole_episode_have_a_calibration_error():
    samples = samples_of(NONE, DROP)
    readout = [Readout.single(scores(samples, 7.0))]
    said = {"failure": [scores(samples, 0.5)]}
    found = evaluate_as_operator(readout, Held([samples]), {}, said)
    assert found["running"]["failure"]["50%"]["calibration_error"] == 0.0
    assert "calibration_error" not in found["running"]["no_progress"]["50%"]
    assert "calibration_error" not in figures(readout, samples)["running"]["failure"]["50%"]
