import math

import numpy as np
import pytest
from scipy.stats import binom

from salus_ros.core.errors import ConfigError
from salus_ros.training.conformal import (
    conformal_rank,
    conformal_threshold,
    least_alpha,
    least_count,
    rate_interval,
)


def test_the_threshold_is_an_exact_order_statistic():
    scores = np.arange(1, 20)[::-1]  # 1 to 19, so that a value is its rank
    assert conformal_threshold(scores, 0.05) == 19
    assert conformal_threshold(scores, 0.1) == 18
    assert conformal_threshold(scores, 0.5) == 10
    assert conformal_threshold(scores[1:], 0.05) == math.inf  # rank 19 of 18
    assert conformal_threshold([], 0.5) == math.inf


@pytest.mark.parametrize(("alpha", "count"), [(0.2, 4), (0.1, 9), (0.05, 19), (0.01, 99)])
def test_least_count(alpha, count):
    assert least_count(alpha) == count
    assert conformal_rank(count, alpha) == count
    assert conformal_rank(count - 1, alpha) > count - 1


@pytest.mark.parametrize("count", [10, 20, 50, 200])
def test_the_promise_holds(count):
    rng = np.random.default_rng(count)
    trials, alpha = 4000, 0.1
    alarms = sum(
        rng.normal() > conformal_threshold(rng.normal(size=count), alpha) for _ in range(trials)
    )
    assert alarms <= binom.ppf(0.999, trials, alpha)
    assert alarms >= binom.ppf(0.001, trials, 1 - conformal_rank(count, alpha) / (count + 1))


def test_what_cannot_be_ranked_is_refused():
    with pytest.raises(ConfigError, match="NaN"):
        conformal_threshold([0.1, math.nan], 0.1)
    for alpha in (0.0, 1.0, math.nan):
        with pytest.raises(ConfigError, match="alpha"):
            conformal_threshold([0.1], alpha)


def test_the_share_of_one_threshold_lies_where_draws_of_it_do():
    rng = np.random.default_rng(0)
    shares = [1 - conformal_threshold(rng.random(39), 0.05) for _ in range(4000)]
    low, high = rate_interval(39, 0.05)
    inside = np.mean([low <= share <= high for share in shares])
    assert inside == pytest.approx(0.95, abs=0.02)
    assert np.mean(shares) == pytest.approx(0.05, abs=0.005)  # rank 38 of 40


def test_a_rate_that_cannot_be_promised_alarms_never():
    assert rate_interval(18, 0.05) == (0.0, 0.0)
    assert least_alpha(19) == pytest.approx(0.05)
