import math

import numpy as np
import pytest
from synthetic_episodes import make_outcomes as make

from salus_ros.core.alarm import Alarm
from salus_ros.evaluation.episode_metrics import (
    Ranking,
    average_precision_replicates,
    draw_episodes,
    episode_scores,
    latest_scores,
    percentile_interval,
    raise_alarms,
)
from salus_ros.evaluation.metrics import auroc, average_precision

NAN = math.nan


EPISODES = make([4, 5, 3], [-1, 3, 3], tasks=[0, 0, 1])
SCORE = np.array([0.1, 0.6, NAN, 0.2, 0.3, 0.7, 0.1, 0.9, 0.9, NAN, NAN, NAN])


def test_cuts_do_not_depend_on_the_outcome():
    assert EPISODES.before().tolist() == [4, 3, 3]
    assert EPISODES.shortest().tolist() == [3, 3, 3]
    assert make([4, 9], [-1, -1], tasks=[0, 1]).shortest().tolist() == [4, 9]
    assert set(EPISODES.share_of_limit(0.25)) == {50}


def test_scores_look_at_nothing_after_the_cut_or_the_failure():
    np.testing.assert_equal(episode_scores(SCORE, EPISODES, np.array([9, 9, 9])), [0.6, 0.7, NAN])
    np.testing.assert_equal(episode_scores(SCORE, EPISODES, np.array([1, 1, 1])), [0.1, 0.3, NAN])
    np.testing.assert_equal(episode_scores(SCORE, EPISODES, np.zeros(3, int)), [NAN] * 3)


def test_the_latest_score_is_the_last_before_the_cut_and_the_failure():
    episodes = make([4, 5, 3], [-1, 3, -1])
    score = np.array([1, 4, 2, np.nan, 5, 6, 7, 8, 9, np.nan, np.nan, 3])
    latest = latest_scores(score, episodes, np.array([4, 5, 2]))
    assert np.array_equal(latest, [2, 7, np.nan], equal_nan=True)


def test_pooled_ranking_is_the_auroc():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, 60).astype(float)
    episodes = make([1] * 60, np.where(rng.random(60) < 0.4, 1, -1), tasks=rng.integers(0, 3, 60))
    pooled = Ranking(scores, episodes, within=False)
    assert pooled.auroc == pytest.approx(auroc(scores, episodes.failed))
    low, high = percentile_interval(pooled.replicates(draw_episodes(episodes.failed)))
    assert low < pooled.auroc < high


def test_within_tasks_a_task_that_fails_often_gives_nothing():
    tasks = np.repeat([0, 1], 50)
    failed = np.concatenate([np.arange(50) < 5, np.arange(50) < 45])
    episodes = make([1] * 100, np.where(failed, 1, -1), tasks=tasks)
    prior = tasks.astype(float)
    assert Ranking(prior, episodes, within=False).auroc == pytest.approx(0.9)
    assert Ranking(prior, episodes, within=True).auroc == 0.5


def test_replicates_of_two_scores_draw_the_same_episodes():
    episodes = make([1] * 40, [1, -1] * 20)
    scores = np.random.default_rng(0).random(40)
    drawn = draw_episodes(episodes.failed)
    one = Ranking(scores, episodes, within=True).replicates(drawn)
    other = Ranking(scores * 2 + 1, episodes, within=True).replicates(drawn)
    np.testing.assert_array_equal(one, other)


def test_what_was_not_judged_is_in_no_pair_and_no_pair_is_nan():
    episodes = make([1] * 4, [1, -1, 1, -1])
    scores = np.array([NAN, 0.0, 1.0, NAN])
    assert Ranking(scores, episodes, within=True).auroc == 1.0
    drawn = np.array([[1, 1, 1, 1], [2, 3, 0, 1], [0, 2, 3, 0]], float)
    won, pairs = Ranking(scores, episodes, within=True).counts(drawn)
    assert (won.tolist(), pairs.tolist()) == ([1, 0, 6], [1, 0, 6])
    failed = np.array([True, False, True, False])
    precision = average_precision_replicates(np.array([NAN, 2.0, 1.0, NAN]), failed, drawn)
    np.testing.assert_array_equal(precision, [0.5, NAN, 0.6])
    assert np.isnan(average_precision_replicates(np.full(4, NAN), failed, drawn)).all()
    alone = make([1, 1], [-1, -1])
    assert math.isnan(Ranking(np.zeros(2), alone, within=True).auroc)
    drawn = draw_episodes(alone.failed)
    assert np.isnan(Ranking(np.zeros(2), alone, within=True).replicates(drawn)).all()
    assert math.isnan(percentile_interval(np.full(3, NAN))[0])


def test_infinite_scores_are_ranked():
    episodes = make([1] * 3, [1, -1, 1])
    scores = np.array([np.inf, 0.0, -np.inf])
    assert Ranking(scores, episodes, within=False).auroc == 0.5


def test_alarms_by_hand():
    score = np.array([0, 1, 0, 1, 0, 1, 0, 1, 1, 0, 0, 0], float)
    alarms = raise_alarms(score, EPISODES, 0.5)
    assert alarms.first.tolist() == [1, 1, -1]
    assert alarms.onsets.tolist() == [2, 1, 0]
    np.testing.assert_allclose(alarms.lead_s, [NAN, 0.2, NAN])
    assert alarms.detection_rate() == 0.5
    share, (low, high), per_hour = alarms.false_alarms()
    assert share == 1.0
    assert low < 1.0 <= high + 1e-9
    assert per_hour == pytest.approx(2 / (0.4 / 3600))
    assert alarms.lead_quantiles([0.5]) == pytest.approx([0.2])
    assert math.isnan(alarms.lead_quantiles([0.5], 3)[0])
    assert math.isnan(alarms.detection_rate(3))


def test_an_alarm_does_not_run_on_into_the_next_episode():
    episodes = make([2, 2], [-1, -1])
    alarms = raise_alarms(np.array([0.0, 1.0, 1.0, 0.0]), episodes, 0.5)
    assert alarms.onsets.tolist() == [1, 1]
    assert alarms.first.tolist() == [1, 0]


def test_thresholds_may_differ_by_episode_and_infinity_never_alarms():
    episodes = make([1, 1], [-1, -1])
    alarms = raise_alarms(np.array([0.6, 0.6]), episodes, np.array([0.5, math.inf]))
    assert alarms.first.tolist() == [0, -1]
    assert raise_alarms(np.array([NAN, 1.0]), episodes, 0.5).first.tolist() == [-1, 0]


def test_alarms_are_those_of_the_live_alarm():
    rng = np.random.default_rng(1)
    score = np.where(rng.random(600) < 0.1, NAN, rng.random(600))
    episodes = make([20] * 30, [-1] * 30)
    alarms = raise_alarms(score, episodes, 0.7, 0.3)
    for number, risks in enumerate(score.reshape(30, 20)):
        alarm = Alarm()
        states = [False, *(alarm.update(risk, 0.7, 0.3) for risk in risks.tolist())]
        rises = [step for step in range(20) if states[step + 1] and not states[step]]
        assert alarms.onsets[number] == len(rises)
        assert alarms.first[number] == (rises[0] if rises else -1)


def test_misses_are_counted_by_type():
    episodes = make([5, 5, 5], [4, 4, 4], kinds=[1, 1, 2])
    alarms = raise_alarms(np.eye(3, 5).ravel(), episodes, np.array([0.5, math.inf, math.inf]))
    assert (alarms.missed(), alarms.missed(1), alarms.missed(1, 2)) == (2, 1, 2)
    assert alarms.detection_rate(1) == 0.5
    assert alarms.detection_rate(1, 2) == pytest.approx(1 / 3)


def test_average_precision_replicates_are_those_of_the_resamples():
    rng = np.random.default_rng(2)
    scores = rng.integers(0, 6, 40).astype(float)
    failed = rng.random(40) < 0.4
    drawn = draw_episodes(failed)
    replicates = average_precision_replicates(scores, failed, drawn)
    for times, value in zip(drawn[:20].astype(int), replicates, strict=False):
        expected = average_precision(np.repeat(scores, times), np.repeat(failed, times))
        assert value == pytest.approx(expected)
    low, high = percentile_interval(replicates)
    assert low < average_precision(scores, failed) < high


def test_average_precision_replicates_of_one_class():
    for ending, value in ((-1, NAN), (1, 1.0)):
        failed = np.full(2, ending >= 0)
        found = average_precision_replicates(np.zeros(2), failed, draw_episodes(failed))
        np.testing.assert_array_equal(found, value)


def test_a_draw_keeps_the_number_of_successes_and_of_failures():
    failed = np.arange(12) < 5
    drawn = draw_episodes(failed, number=50)
    assert (drawn[:, failed].sum(axis=1) == 5).all()
    assert (drawn[:, ~failed].sum(axis=1) == 7).all()
    assert len(np.unique(drawn, axis=0)) > 40
