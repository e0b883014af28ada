import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from salus_ros.evaluation.statistics import (
    LEAST_EPISODES,
    auroc_interval,
    count_wins,
    weighted_quantiles,
    wilson_interval,
)


def test_wilson_interval_is_the_textbook_one():
    z, n, p = 1.959963984540054, 20, 3 / 20
    centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
    assert wilson_interval(3, 20) == pytest.approx((centre - half, centre + half))


def test_wilson_interval_of_none_seen_is_not_empty_and_of_no_trial_is_nan():
    low, high = wilson_interval(0, 10)
    assert low == 0.0
    assert high == pytest.approx(0.2775, abs=1e-4)
    assert np.isnan(wilson_interval(0, 0)).all()


def test_wins_by_hand_with_a_tie():
    negatives, positives = np.array([1.0, 3.0, 2.0]), np.array([2.0, 4.0])
    wins = count_wins(negatives, np.array([0, 0, 1]), positives, np.array([1, 0]), (2, 2))
    # Episode 0 of the positives holds 4, episode 1 holds 2.
    assert wins.tolist() == [[2.0, 1.0], [1.0, 0.5]]


@pytest.mark.parametrize("block_cells", [3, 20_000_000])
def test_wins_of_all_pairs_give_the_auroc_of_the_pooled_values(monkeypatch, block_cells):
    monkeypatch.setattr("salus_ros.evaluation.statistics.BLOCK_CELLS", block_cells)
    rng = np.random.default_rng(0)
    negatives, positives = rng.integers(0, 9, 200), rng.integers(2, 12, 60)  # with many ties
    owner, other = rng.integers(0, 8, 200), rng.integers(0, 7, 60)
    wins = count_wins(negatives, owner, positives, other, (8, 7))
    value, low, high = auroc_interval(
        wins, np.bincount(owner, minlength=8), np.bincount(other, minlength=7)
    )
    labels = np.repeat([0, 1], (200, 60))
    assert value == pytest.approx(roc_auc_score(labels, np.concatenate([negatives, positives])))
    assert low < value < high


def test_an_interval_is_wider_when_the_values_of_an_episode_are_alike():
    rng = np.random.default_rng(0)

    def width(spread):
        """Of 20 + 20 episodes of 30 values whose own means differ by `spread`."""
        means = rng.normal(0, spread, 40) + np.repeat([0.0, 1.0], 20)
        values = (means[:, None] + rng.normal(0, 1, (40, 30))).ravel()
        owner = np.repeat(np.arange(20), 30)
        wins = count_wins(values[:600], owner, values[600:], owner, (20, 20))
        _, low, high = auroc_interval(wins, np.full(20, 30), np.full(20, 30))
        return high - low

    assert width(1.0) > 3 * width(0.0)


def test_auroc_without_enough_episodes_has_no_interval_and_without_a_class_is_nan():
    few = LEAST_EPISODES - 1
    counts = np.ones(LEAST_EPISODES, dtype=int)
    value, low, _ = auroc_interval(np.ones((few, LEAST_EPISODES)), counts[:few], counts)
    assert value == 1.0
    assert np.isnan(low)
    # An episode without values does not count as one.
    _, low, _ = auroc_interval(np.ones((5, 5)), np.array([1, 1, 1, 1, 0]), counts)
    assert np.isnan(low)
    assert np.isnan(auroc_interval(np.zeros((0, 5)), counts[:0], counts)).all()


def test_weighted_quantiles_by_hand():
    values = np.array([30.0, 10.0, 20.0])
    weights = [[1, 1, 1], [0, 3, 1], [0, 0, 0]]
    found = weighted_quantiles(values, weights, (0.0, 0.5, 1.0))
    assert found[0].tolist() == [10.0, 20.0, 30.0]
    assert found[1, 1:].tolist() == [10.0, 20.0]
    assert np.isnan(found[2]).all()
    assert np.isnan(weighted_quantiles(values[:0], np.zeros((2, 0)), (0.5,))).all()
