import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from salus_ros.core.errors import ConfigError
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.thresholds import best_f1_threshold, choose_thresholds

scored = st.integers(2, 30).flatmap(
    lambda size: st.tuples(
        hnp.arrays(np.float64, size, elements=st.integers(0, 6).map(lambda n: n / 6)),
        hnp.arrays(np.bool_, size),
    )
)


def f1_of(predicted, labels):
    return 2 * (predicted & labels).sum() / (predicted.sum() + labels.sum())


def test_best_threshold_by_hand():
    scores = np.array([0.9, 0.8, 0.3, 0.2])
    labels = np.array([True, True, False, False])
    assert best_f1_threshold(scores, labels) == pytest.approx(0.55)


def test_threshold_below_a_constant_score_takes_all():
    scores = np.full(3, 0.25, dtype=np.float32)
    assert (scores > best_f1_threshold(scores, np.array([True, False, True]))).all()


@settings(deadline=None)
@given(scored)
def test_no_threshold_beats_the_best_one(case):
    scores, labels = case
    best = best_f1_threshold(scores, labels)
    if labels.any():
        f1 = f1_of(scores > best, labels)
        for other in (-1.0, *scores):
            assert f1_of(scores > other, labels) <= f1 + 1e-12


@settings(deadline=None)
@given(scored, st.randoms(use_true_random=False))
def test_the_order_of_the_samples_does_not_matter(case, random):
    scores, labels = case
    order = list(range(len(scores)))
    random.shuffle(order)
    shuffled = best_f1_threshold(scores[order], labels[order])
    np.testing.assert_equal(shuffled, best_f1_threshold(scores, labels))


def test_without_a_positive_no_threshold_is_better_than_another():
    assert math.isnan(best_f1_threshold(np.arange(4.0), np.zeros(4, bool)))


def test_nan_scores_are_refused():
    with pytest.raises(ConfigError, match="NaN"):
        best_f1_threshold(np.array([0.1, np.nan]), np.array([True, False]))


def test_chosen_thresholds_are_those_of_the_checkpoint(samples, trained):
    predictor = Predictor.load(trained[0])
    keys = set(trained[1]["splits"]["validation"]["episode_keys"])
    rows = samples.rows([n for n, r in enumerate(samples.records) if r.key in keys])
    risk, output = choose_thresholds(predictor, samples, rows)
    assert (risk, output) == (predictor.threshold, predictor.output_threshold)
