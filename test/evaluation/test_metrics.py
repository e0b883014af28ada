import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from salus_ros.core.errors import ConfigError
from salus_ros.evaluation.metrics import (
    Decisions,
    auroc,
    average_precision,
    brier_score,
    expected_calibration_error,
)

NONE = np.zeros(4, dtype=bool)
SOME = np.array([True, False, True, False])

scored = st.integers(2, 30).flatmap(
    lambda size: st.tuples(
        hnp.arrays(np.float64, size, elements=st.integers(0, 6).map(lambda n: n / 6)),
        hnp.arrays(np.bool_, size),
    )
)


def test_figures_by_hand():
    predicted = np.array([[True, True], [True, False], [False, False], [False, False]])
    labels = np.array([[True, False], [True, True], [True, False], [False, False]])
    # two hits, one false alarm, two missed, three rightly not said
    found = Decisions.of(predicted, labels)
    assert (found.positives, found.predicted) == (4, 3)
    assert found.accuracy == 5 / 8
    assert found.precision == 2 / 3
    assert found.recall == 1 / 2
    assert found.f1 == pytest.approx(4 / 7)


def test_leaving_a_type_out_is_counting_the_others():
    predicted = np.array([[True, True], [False, True]])
    labels = np.array([[True, False], [True, False]])
    assert Decisions.of(predicted[:, :1], labels[:, :1]).precision == 1.0
    assert Decisions.of(predicted, labels).precision == 1 / 3


def test_no_positive_and_none_predicted_defines_nothing_but_accuracy():
    counts = Decisions.of(NONE, NONE)
    assert counts.accuracy == 1.0
    assert all(math.isnan(v) for v in (counts.precision, counts.recall, counts.f1))


def test_missing_every_positive_is_an_f1_of_zero_not_undefined():
    counts = Decisions.of(NONE, SOME)
    assert (counts.recall, counts.f1) == (0.0, 0.0)
    assert math.isnan(counts.precision)


def test_false_alarms_without_a_positive_have_no_recall():
    counts = Decisions.of(SOME, NONE)
    assert (counts.precision, counts.f1) == (0.0, 0.0)
    assert math.isnan(counts.recall)


def test_nothing_counted_has_no_accuracy():
    assert math.isnan(Decisions.of(NONE[:0], NONE[:0]).accuracy)


def test_average_precision_by_hand():
    scores = np.array([0.9, 0.8, 0.7, 0.6])
    # recall 1/2 at precision 1, then recall 1 at precision 2/3
    assert average_precision(scores, SOME) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)


def test_auroc_by_hand_with_a_tie():
    scores = np.array([0.9, 0.5, 0.5, 0.1])
    # positives 0.9 and 0.5 against negatives 0.5 and 0.1: 1, 1, a half, 1
    assert auroc(scores, SOME) == pytest.approx(3.5 / 4)


def test_one_class_only_has_no_ranking():
    assert math.isnan(auroc(np.arange(4.0), NONE))
    assert math.isnan(auroc(np.arange(4.0), ~NONE))
    assert math.isnan(average_precision(np.arange(4.0), NONE))


@settings(deadline=None)
@given(scored)
def test_auroc_is_the_share_of_pairs_in_order(case):
    scores, labels = case
    positive, negative = scores[labels], scores[~labels]
    if positive.size and negative.size:
        pairs = positive[:, None] - negative
        expected = ((pairs > 0) + 0.5 * (pairs == 0)).mean()
        assert auroc(scores, labels) == pytest.approx(expected)


@settings(deadline=None)
@given(scored, st.randoms(use_true_random=False))
def test_order_of_the_samples_does_not_matter(case, random):
    scores, labels = case
    order = list(range(len(scores)))
    random.shuffle(order)
    for figure in (average_precision, auroc):
        np.testing.assert_allclose(figure(scores[order], labels[order]), figure(scores, labels))


def test_nan_scores_and_other_shapes_are_refused():
    with pytest.raises(ConfigError, match="NaN"):
        auroc(np.array([0.1, np.nan]), np.array([True, False]))
    with pytest.raises(ConfigError, match="differ"):
        average_precision(np.zeros(3), np.zeros(4, dtype=bool))
    with pytest.raises(ConfigError, match="differ"):
        Decisions.of(NONE, NONE[:2])


def test_brier_and_calibration_error_by_hand():
    probability = np.array([0.1, 0.1, 0.9, 0.9])
    labels = np.array([False, True, True, True])
    assert brier_score(probability, labels) == pytest.approx((0.01 + 0.81 + 0.01 + 0.01) / 4)
    # two bins: |0.5 - 0.1| and |1 - 0.9|, two of four in each
    assert expected_calibration_error(probability, labels) == pytest.approx(0.25)
    assert math.isnan(expected_calibration_error(probability[:0], labels[:0]))
    assert math.isnan(brier_score(probability[:0], labels[:0]))


def test_true_probabilities_have_hardly_any_calibration_error():
    rng = np.random.default_rng(0)
    probability = rng.random(100_000)
    labels = rng.random(probability.size) < probability
    assert expected_calibration_error(probability, labels) < 0.01
    assert expected_calibration_error(probability**2, labels) > 0.1
