"""Figures of what is knowable, against those of all steps and against values by hand."""

import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.evaluation.limits import (
    OTHERS,
    Fate,
    best_f1_replicates,
    failure_probability,
    knowable,
    sample_steps,
    step_weights,
    strata,
)
from salus_ros.evaluation.metrics import Decisions, average_precision

DROP, TIMEOUT = FAILURE_TYPES.index(FailureType.DROP), FAILURE_TYPES.index(FailureType.TIMEOUT)
WELL = Fate(45, FailureType.NONE, -1)


def test_the_probability_is_the_share_of_futures_that_fail_within_the_horizon():
    soon, later = Fate(40, FailureType.DROP, 36), Fate(45, FailureType.DROP, 42)
    found = failure_probability([soon, later, WELL, WELL], 30, (6, 12), FAILURE_TYPES)
    assert found.shape == (2, len(FAILURE_TYPES))
    np.testing.assert_array_equal(found[:, DROP], [0.25, 0.5])
    assert found.sum() == 0.75


def test_a_failure_in_the_last_step_of_a_future_counts():
    ended = Fate(36, FailureType.TIMEOUT, 36)
    assert failure_probability([ended], 30, (6,), FAILURE_TYPES)[0, TIMEOUT] == 1.0
    assert failure_probability([ended], 29, (6,), FAILURE_TYPES)[0, TIMEOUT] == 0.0


def test_futures_that_failed_before_the_step_are_not_counted():
    lost = [Fate(60, FailureType.DROP, 28), Fate(60, FailureType.DROP, 30)]
    soon = Fate(60, FailureType.DROP, 31)
    assert failure_probability([*lost, soon, WELL], 30, (6,), FAILURE_TYPES)[0, DROP] == 0.5
    assert failure_probability(lost, 30, (6,), FAILURE_TYPES) is None


def test_steps_are_named_by_the_failure_that_is_near():
    labels = np.zeros((3, 2, len(FAILURE_TYPES)), np.bool_)
    labels[1, 1, TIMEOUT] = labels[2, :, DROP] = True
    assert strata(labels, FAILURE_TYPES).tolist() == [OTHERS, "timeout", "drop"]


STRATA = np.array([OTHERS] * 900 + ["drop"] * 6 + ["timeout"] * 94)


def test_rare_failures_are_all_sampled_and_the_rest_is_shared():
    chosen = sample_steps(STRATA, 80, 0)
    assert len(np.unique(chosen)) == len(chosen) == 80
    names, counts = np.unique(STRATA[chosen], return_counts=True)
    assert dict(zip(names.tolist(), counts.tolist(), strict=True)) == {
        "drop": 6, OTHERS: 40, "timeout": 34,
    }  # fmt: skip


def test_a_larger_sample_goes_on_with_a_smaller_one():
    assert set(sample_steps(STRATA, 80, 0)) < set(sample_steps(STRATA, 300, 0))
    assert set(sample_steps(STRATA, 80, 0)) != set(sample_steps(STRATA, 80, 1))
    assert len(sample_steps(STRATA, 5000, 0)) == len(STRATA)
    few_others = np.array([OTHERS, *["drop"] * 20])
    assert len(sample_steps(few_others, 10, 0)) == 10
    assert sorted(sample_steps(np.array([OTHERS] * 9), 4, 0).tolist()) != [0, 1, 2, 3]


def test_any_first_part_of_a_sample_has_all_strata():
    first = STRATA[sample_steps(STRATA, 80, 0)[:20]]
    assert (first == OTHERS).sum() == pytest.approx(10, abs=1)
    assert {"drop", "timeout"} <= set(first)


def test_each_sampled_step_stands_for_its_share_of_the_stratum():
    weights = step_weights(STRATA, np.array([0, 1, 900, 906]))
    np.testing.assert_array_equal(weights, [450, 450, 6, 94])
    with pytest.raises(ConfigError, match="none of the 94 steps of 'timeout' is among the 2"):
        step_weights(STRATA, np.array([0, 900]))


def test_the_best_f1_is_that_of_the_best_threshold_on_the_repeated_steps():
    rng = np.random.default_rng(0)
    p, y = rng.integers(0, 5, (30, 2, 3)) / 4, rng.random((30, 2, 3)) < 0.3
    weights = rng.integers(0, 4, (3, 30))
    found = best_f1_replicates(p, y, weights)
    for times, value in zip(weights, found, strict=True):
        many, labels = np.repeat(p, times, axis=0), np.repeat(y, times, axis=0)
        best = max(Decisions.of(many >= level, labels).f1 for level in np.unique(p))
        assert value == pytest.approx(best)
    assert np.isnan(best_f1_replicates(p, np.zeros_like(y), weights)).all()


def world(episodes=60, length=40):
    """Steps of episodes of which half fail by a drop at their end, and what is known of them."""
    rng = np.random.default_rng(1)
    failed = np.arange(episodes) % 2 == 0
    owner = np.repeat(np.arange(episodes), length)
    labels = np.zeros((len(owner), 1, len(FAILURE_TYPES)), np.bool_)
    labels[:, 0, DROP] = failed[owner] & (np.tile(np.arange(length), episodes) >= length - 3)
    odds = np.where(labels, 0.6, 0.02)
    return rng.binomial(4, odds) / 4, labels, owner, failed


def figures(p, y, weights, owner, failed):
    return knowable(p, y, weights, owner, failed, (0.2,), FAILURE_TYPES)


def test_all_steps_have_the_products_own_average_precision():
    p, y, owner, failed = world()
    found = figures(p, y, np.ones(len(p)), owner, failed)
    drop = found["by_horizon_and_type"]["0.2 s"]["drop"]
    assert drop["average_precision"] == pytest.approx(
        average_precision(p[..., DROP], y[..., DROP])
    )
    assert drop["mean_before_failure"] == pytest.approx(p[y].mean())
    assert drop["positives"] == 90
    low, high = drop["average_precision_interval"]
    assert low < drop["average_precision"] < high
    other = found["by_horizon_and_type"]["0.2 s"]["collision"]
    assert (other["average_precision"], other["mean_before_failure"]) == (None, None)


def test_weighted_samples_estimate_the_figure_of_all_steps():
    p, y, owner, failed = world(episodes=200)
    near, whole = strata(y, FAILURE_TYPES), best_f1_replicates(p, y, np.ones((1, len(p))))[0]
    found = []
    for seed in range(30):
        sampled = sample_steps(near, 1000, seed)
        weights = np.stack([step_weights(near, sampled), np.ones(len(sampled))])
        found.append(best_f1_replicates(p[sampled], y[sampled], weights))
    weighted, blind = np.mean(found, axis=0)
    assert weighted == pytest.approx(whole, abs=0.015)
    assert blind > whole + 0.05
    last = figures(p[sampled], y[sampled], weights[0], owner[sampled], failed)["best_f1"]
    low, high = last["f1_interval"]
    assert low < min(last["f1"], whole)
    assert high > max(last["f1"], whole)


def test_timeouts_are_left_out_where_that_is_said():
    p, y, owner, failed = world()
    y[..., TIMEOUT], y[..., DROP] = y[..., DROP], False
    p[..., TIMEOUT] = y[..., TIMEOUT]
    found = figures(p, y, np.ones(len(p)), owner, failed)
    assert found["best_f1"]["f1"] == pytest.approx(1.0, abs=0.2)
    assert found["without_timeout"]["f1"] is None


def test_failures_of_too_few_episodes_give_no_interval():
    p, y, owner, failed = world(episodes=8)
    found = figures(p, y, np.ones(len(p)), owner, failed)
    assert found["best_f1"]["f1"] > 0.5
    assert found["best_f1"]["f1_interval"] == [None, None]
    drop = found["by_horizon_and_type"]["0.2 s"]["drop"]
    assert drop["average_precision_interval"] == [None, None]
