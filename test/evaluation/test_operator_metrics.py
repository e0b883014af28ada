"""Recall of failures with a lead and of events at false alarms, against values by hand."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_outcomes as make

from salus_ros.evaluation.episode_metrics import draw_episodes, raise_alarms
from salus_ros.evaluation.operator_metrics import (
    Onsets,
    Split,
    lead_peaks,
    recall_of_events,
    recall_with_lead,
    share_thresholds,
    too_early,
)

NAN = math.nan
ALL = {"all": (1, 2)}
ONCE = np.ones((1, 1))


def split(score, episodes, weights=None):
    once = np.ones((1, len(episodes)))
    return Split(np.asarray(score, float), episodes, once if weights is None else weights)


def recalled(found):
    return {name: float(one[0]) for name, one in found.found.items()}


def test_a_failure_is_foreseen_by_what_comes_0_2_s_before_it_and_no_later():
    """At 10 Hz: steps 0 to 2 of a failure at step 4; a success counts to its end."""
    episodes = make([6, 6, 3], [4, -1, 1])
    score = [1, 5, 2, 8, 9, 9, 1, 1, 1, 1, 1, 7, 3, 3, 3]
    np.testing.assert_array_equal(lead_peaks(np.array(score, float), episodes), [5, 7, NAN])
    assert too_early(episodes).tolist() == [False, False, True]  # fails at step 1, after 0.1 s


def test_the_lead_is_in_seconds_of_each_episode_s_own_rate():
    slow = make([6, 6], [5, 5])
    episodes = replace(slow, rate_hz=np.array([10.0, 30.0]))
    score = np.array([0, 0, 0, 1, 0, 0] * 2, float)  # 2 steps before: 0.2 s and 0.067 s
    np.testing.assert_array_equal(lead_peaks(score, episodes), [1, NAN])
    assert too_early(replace(slow, rate_hz=np.array([10.0, 30.0]))).tolist() == [False, True]


def test_the_threshold_lets_at_most_the_share_of_successes_alarm():
    peaks = np.arange(20.0)
    assert share_thresholds(peaks, np.ones((1, 20)), 0.05).tolist() == [18]  # 19 alone exceeds
    assert share_thresholds(peaks[:19], np.ones((1, 19)), 0.05).tolist() == [18]  # none may
    assert share_thresholds(np.full(20, 3.0), np.ones((1, 20)), 0.05).tolist() == [3]  # ties
    twice = np.ones((1, 20))
    twice[0, 19], twice[0, 0] = 2, 0
    assert share_thresholds(peaks, twice, 0.05).tolist() == [19]  # 19 counts two of 20
    assert share_thresholds(np.append(peaks, NAN), np.ones((1, 21)), 0.05).tolist() == [18]
    assert np.isnan(share_thresholds(np.array([NAN]), ONCE, 0.05)).all()
    assert np.isnan(share_thresholds(np.zeros(0), np.ones((2, 0)), 0.05)).all()


def test_recall_with_lead_by_hand():
    """Of 20 successes one may alarm, so the threshold is the second largest peak, 0.5."""
    failures, kinds = [3, 3, 3, 3, 1], [1, 1, 2, 3, 1]
    episodes = make([4] * 25, [-1] * 20 + failures, kinds=[0] * 20 + kinds)
    score = np.zeros((25, 4))
    score[0, 3], score[1, 0] = 0.9, 0.5
    score[20, 1] = 0.6  # 0.2 s before: foreseen
    score[21, 2] = 0.9  # 0.1 s before: too late
    score[22, 0] = 0.5  # not above
    score[23, 0] = 0.7
    score[24] = 9.0  # fails after 0.1 s: cannot be foreseen
    kinds = {"all": (1, 2, 3), "drop": (1,), "collision": (2,)}
    found = recall_with_lead([split(score.ravel(), episodes)], kinds)
    assert recalled(found) == {"all": 2, "drop": 1, "collision": 0}
    assert {name: one[0] for name, one in found.failures.items()} == {
        "all": 5, "drop": 3, "collision": 1,
    }  # fmt: skip
    assert (found.alarmed[0], found.judged[0]) == (1, 20)
    given = recall_with_lead([split(score.ravel(), episodes)], kinds, [0.4])
    assert recalled(given) == {"all": 3, "drop": 1, "collision": 1}
    assert given.alarmed[0] == 2


def test_splits_have_thresholds_of_their_own_and_are_added_up():
    episodes = make([3] * 3, [-1, 3, 3], kinds=[0, 1, 1])
    low, high = [0, 0, 1, 2, 0, 0, 1, 0, 0], [0, 0, 100, 200, 0, 0, 1, 0, 0]
    found = recall_with_lead([split(low, episodes), split(high, episodes)], ALL)
    assert (recalled(found)["all"], found.failures["all"][0], found.judged[0]) == (2, 4, 2)


def test_what_is_not_judged_sets_no_threshold_and_is_not_foreseen():
    episodes = make([2] * 4, [-1, -1, 2, 2], kinds=[0, 0, 1, 1])
    score = [NAN, NAN, 0.5, NAN, NAN, NAN, 0.6, NAN]
    found = recall_with_lead([split(score, episodes)], ALL)
    assert (recalled(found)["all"], found.failures["all"][0], found.judged[0]) == (1, 2, 1)
    nothing = recall_with_lead([split(np.full(8, NAN), episodes)], ALL)
    assert math.isnan(recalled(nothing)["all"])
    assert nothing.judged[0] == 0


def test_no_failure_no_success_and_nothing_at_all():
    good, bad = make([2], [-1]), make([2], [2])
    found = recall_with_lead([split([1, 1], good)], ALL)
    assert (recalled(found)["all"], found.failures["all"][0]) == (0, 0)
    assert math.isnan(recalled(recall_with_lead([split([1, 1], bad)], ALL))["all"])
    events = recall_of_events([split([1, 1], bad)], ALL, [10.0])[0]
    assert (recalled(events)["all"], events.events["all"][0]) == (1, 1)  # no alarm is false there
    assert events.false[0] == 0
    none = recall_of_events([split([NAN, NAN], bad)], ALL, [10.0])[0]
    assert (recalled(none)["all"], none.hours[0]) == (0, 0)


def test_onsets_by_hand():
    """At 10 Hz a failure at step 14: steps 4 to 12 foresee it, before it is false, 13 neither."""
    episodes = make([16, 3], [14, -1])
    first = [0.5, NAN, 0.5, 0.7, 0.2, 0.9, NAN, 0.9, 0.1, 0, 0, 0, 0, 1, 9, 9]
    onsets = Onsets.of(np.array([*first, NAN, 0.3, 0.4]), episodes)
    found = list(zip(onsets.low, onsets.high, onsets.episode, onsets.lead_s, strict=True))
    assert found[0] == (-np.inf, 0.5, 0, 1.4)
    assert found[1] == (0.5, 0.7, 0, pytest.approx(1.1))
    assert found[2] == (0.2, 0.9, 0, pytest.approx(0.9))
    assert found[3] == (0, 1, 0, pytest.approx(0.1))
    assert found[4:] == [(-np.inf, 0.3, 1, np.inf), (0.3, 0.4, 1, np.inf)]
    assert onsets.false.tolist() == [True, True, False, False, True, True]
    assert onsets.foreseeing.tolist() == [False, False, True, False, False, False]
    assert onsets.hours * 36000 == pytest.approx([12, 2])  # judged steps before the failure


def test_the_ends_of_the_span_count_at_any_rate():
    for rate in (10.0, 30.0, 7.0):
        episodes = replace(make([60], [50]), rate_hz=np.array([rate]))
        first, last = 50 - math.floor(rate), 50 - math.ceil(0.2 * rate)
        for step, foreseen in ((first - 1, False), (first, True), (last, True), (last + 1, False)):
            onsets = Onsets.of((np.arange(60) == step).astype(float), episodes)
            assert onsets.foreseeing[onsets.high == 1].tolist() == [foreseen]
            assert onsets.false[onsets.high == 1].tolist() == [step < first]


HOUR = 36_000
"""Steps at 10 Hz."""


def hour_of_successes(*alarms):
    """One hour of successes in which alarms begin by themselves, of the heights given."""
    score = np.zeros(HOUR)
    score[100 + 10 * np.arange(len(alarms))] = alarms
    return score


def test_recall_of_events_by_hand():
    """A false alarm an hour may be had at 2 a step above those of rank two."""
    episodes = make([HOUR, 30, 30, 30], [-1, 30, 30, 30], kinds=[0, 1, 1, 2])
    near = np.zeros((3, 30))
    near[0, 25] = 0.9  # 0.5 s before
    near[1, 29] = 1.0  # 0.1 s before: too late, and no false alarm
    near[2, 22], near[2, 10] = 0.6, 0.95  # 0.8 s before; a false alarm of 0.95 in the same one
    score = np.concatenate([hour_of_successes(0.8, 0.7, 0.5), near.ravel()])
    kinds = {"drop": (1,), "collision": (2,), "all": (1, 2)}
    found = [
        (one.false[0], recalled(one))
        for one in recall_of_events([split(score, episodes)], kinds, [0.5, 1, 2, 3])
    ]
    assert found[0] == (0, {"drop": 0, "collision": 0, "all": 0})
    assert found[1] == (1, {"drop": 1, "collision": 0, "all": 1})  # the 0.95
    assert found[2] == (2, {"drop": 1, "collision": 0, "all": 1})  # and the 0.8
    assert found[3] == (3, {"drop": 1, "collision": 1, "all": 2})  # and the 0.7
    events = recall_of_events([split(score, episodes)], kinds)[0]
    assert {name: one[0] for name, one in events.events.items()} == {
        "drop": 2, "collision": 1, "all": 3,
    }  # fmt: skip
    assert events.hours[0] == pytest.approx(1 + 90 / HOUR)


def test_an_alarm_that_was_always_on_foresees_nothing():
    episodes = make([HOUR, 40], [-1, 40], kinds=[0, 1])
    score = np.concatenate([np.zeros(HOUR), np.ones(40)])
    found = recall_of_events([split(score, episodes)], ALL, [60.0])[0]
    assert (found.false[0], recalled(found)["all"]) == (2, 0)  # one of each episode, at its start


def test_the_counts_are_those_of_alarms_at_every_threshold():
    rng = np.random.default_rng(0)
    failures = np.where(np.arange(40) % 3 == 0, rng.integers(5, 60, 40), -1)
    episodes = make(np.full(40, 60), failures)
    score = rng.integers(0, 30, 2400) / 30
    onsets = Onsets.of(score, episodes)
    levels = onsets.levels(np.inf)
    everything = np.ones(len(onsets.high), bool)
    begun = np.cumsum(onsets.begun(everything, levels).toarray(), axis=1)
    for place, level in enumerate(levels):
        assert begun[:, place].tolist() == raise_alarms(score, episodes, level).onsets.tolist()
    few = onsets.levels(10)
    false = np.cumsum(onsets.begun(onsets.false, few).toarray(), axis=1).sum(axis=0)
    assert (false[:-1] <= 10).all()
    assert false[-1] > 10
    np.testing.assert_array_equal(few, levels[: len(few)])


def test_weights_say_what_repeated_episodes_would():
    rng = np.random.default_rng(3)
    failures = np.where(np.arange(60) % 2 == 0, 50, -1)
    episodes = make(np.full(60, 50), failures, kinds=(1 + np.arange(60) % 4 // 2).tolist())
    score = rng.random((60, 50)) ** 4
    score[::4, 40:45] += 0.3
    drawn = draw_episodes(episodes.failed, number=3)
    weighted = split(score.ravel(), episodes, drawn)
    rates = [200.0, 2000.0]
    by_weight = recall_with_lead([weighted], ALL), recall_of_events([weighted], ALL, rates)
    for row, times in enumerate(drawn.astype(int)):
        places = np.repeat(np.arange(60), times)
        again = make(
            episodes.length[places], failures[places], kinds=episodes.failure_type[places].tolist()
        )
        one = split(score[places].ravel(), again)
        lead, events = recall_with_lead([one], ALL), recall_of_events([one], ALL, rates)
        assert by_weight[0].found["all"][row] == lead.found["all"][0]
        assert by_weight[0].alarmed[row] == lead.alarmed[0]
        for weighted_event, event in zip(by_weight[1], events, strict=True):
            assert weighted_event.found["all"][row] == event.found["all"][0]
            assert weighted_event.false[row] == event.false[0]
            assert weighted_event.hours[row] == pytest.approx(event.hours[0])
