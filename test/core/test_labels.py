import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.core.labels import before_failure, horizon_labels
from salus_ros.core.schema import horizon_steps

failures = st.integers(1, 60).flatmap(
    lambda length: st.tuples(
        st.just(length), st.integers(0, length), st.sampled_from(FAILURE_TYPES)
    )
)


def test_labels_of_a_drop_by_hand():
    labels = horizon_labels(7, 5, FailureType.DROP, (1, 3))
    assert labels.shape == (7, 2, 4)
    drop = FAILURE_TYPES.index(FailureType.DROP)
    # t:                               0  1  2  3  4  5  6
    assert labels[:, 0, drop].tolist() == [0, 0, 0, 0, 1, 0, 0]
    assert labels[:, 1, drop].tolist() == [0, 0, 1, 1, 1, 0, 0]
    assert labels.sum() == 4  # nothing in the other types


def test_failure_seen_only_after_the_last_step_labels_the_last_steps():
    labels = horizon_labels(4, 4, FailureType.TIMEOUT, (2,))
    timeout = FAILURE_TYPES.index(FailureType.TIMEOUT)
    assert labels[:, 0, timeout].tolist() == [0, 0, 1, 1]


def test_failure_at_the_first_step_leaves_nothing_to_predict():
    assert not horizon_labels(5, 0, FailureType.OTHER, (3,)).any()
    assert not before_failure(5, 0).any()


def test_success_has_no_positive_and_every_step_counts():
    assert not horizon_labels(5, -1, FailureType.NONE, (3,)).any()
    assert before_failure(5, -1).all()


def test_training_stops_at_the_failure():
    assert before_failure(5, 3).tolist() == [True, True, True, False, False]


def test_horizons_at_30_hz_are_those_of_the_proof_of_concept():
    assert horizon_steps() == (6, 9, 12, 15)


@given(failures)
def test_number_of_positives_is_the_horizon_or_what_fits_before_the_failure(failure):
    length, step, kind = failure
    labels = horizon_labels(length, step, kind, (6, 15))
    assert labels[:, 0].sum() == min(6, step)
    assert labels[:, 1].sum() == min(15, step)
    assert (labels[:, 0] <= labels[:, 1]).all()  # a shorter horizon implies the longer one


@given(failures, st.integers(0, 30))
def test_labels_of_a_step_do_not_depend_on_how_much_is_recorded_after_it(failure, more):
    length, step, kind = failure
    short = horizon_labels(length, step, kind, (6, 15))
    longer = horizon_labels(length + more, step, kind, (6, 15))
    np.testing.assert_array_equal(longer[:length], short)


@given(failures, st.integers(1, 20))
def test_a_step_whose_horizon_ends_before_the_failure_does_not_know_of_it(failure, horizon):
    length, step, kind = failure
    labels = horizon_labels(length, step, kind, (horizon,))
    assert not labels[: max(0, step - horizon)].any()
    assert not labels[step:].any()


@pytest.mark.parametrize(
    ("kind", "types", "positive"),
    [
        (FailureType.MISPLACED_RELEASE, FAILURE_TYPES, FailureType.DROP),
        (FailureType.MISPLACED_RELEASE, tuple(FailureType)[1:], FailureType.MISPLACED_RELEASE),
        (FailureType.DROP, tuple(FailureType)[1:], FailureType.DROP),
        (FailureType.DROP, (FailureType.MISPLACED_RELEASE, FailureType.OTHER), None),
        (FailureType.TIMEOUT, (FailureType.DROP, FailureType.COLLISION), None),
    ],
)
def test_a_failure_is_a_positive_of_the_finest_type_that_covers_it_or_of_none(
    kind, types, positive
):
    labels = horizon_labels(9, 9, kind, (3,), types)
    found = [types[k] for k in np.flatnonzero(labels.any(axis=(0, 1)))]
    assert found == ([] if positive is None else [positive])
    assert labels.sum() == (0 if positive is None else 3)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((5, 6, FailureType.DROP, (3,)), "0 to 5"),
        ((5, -2, FailureType.NONE, (3,)), "-1 for no failure"),
        ((5, -1, FailureType.DROP, (3,)), "type 'none' and step -1"),
        ((5, 2, FailureType.NONE, (3,)), "type 'none' and step -1"),
        ((5, 2, FailureType.DROP, (0,)), "at least one step"),
        ((5, 2, FailureType.DROP, ()), "at least one step"),
    ],
)
def test_what_does_not_fit_together_is_refused(arguments, said):
    with pytest.raises(ConfigError) as error:
        horizon_labels(*arguments)
    assert said in str(error.value)
