"""Two ways of doing the same episodes."""

import numpy as np
import pytest

from salus_ros.evaluation.paired import exact_mcnemar, paired_difference


def test_the_exact_test_is_a_coins():
    assert exact_mcnemar(0, 0) == 1.0
    assert exact_mcnemar(3, 3) == 1.0
    assert exact_mcnemar(5, 0) == pytest.approx(2 * 0.5**5)
    assert exact_mcnemar(1, 5) == exact_mcnemar(5, 1) == pytest.approx(2 * 7 * 0.5**6)
    assert exact_mcnemar(42, 1) == pytest.approx(1.0e-11, rel=0.01)


def test_a_difference_is_that_of_the_rates_and_its_interval_of_the_pairs():
    first = np.array([True] * 60 + [False] * 40)
    second = np.array([True] * 50 + [False] * 50)
    value, low, high = paired_difference(first, second)
    assert value == pytest.approx(0.10)
    # Ten pairs of a hundred differ: the deviation of their mean is sqrt(0.1 - 0.01) / 10.
    assert low == pytest.approx(0.10 - 1.96 * 0.03, abs=0.015)
    assert high == pytest.approx(0.10 + 1.96 * 0.03, abs=0.015)
    assert paired_difference(first, first) == (0.0, 0.0, 0.0)


def test_few_pairs_have_no_interval_and_unlike_ones_are_none():
    value, low, high = paired_difference(np.array([True]), np.array([False]))
    assert value == 1.0
    assert np.isnan([low, high]).all()
    assert np.isnan(paired_difference(np.zeros(0, bool), np.zeros(0, bool))).all()
    with pytest.raises(ValueError, match="3 and 2 episodes are no pairs"):
        paired_difference(np.zeros(3, bool), np.zeros(2, bool))
