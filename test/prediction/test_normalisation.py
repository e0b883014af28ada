import numpy as np
import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.prediction.normalisation import Normalisation

SIGNALS = np.array([[1.0, 5.0, 3.0, np.nan], [3.0, 5.0, np.nan, np.nan]], dtype=np.float32)
VALID = ~np.isnan(SIGNALS)


def test_standardises_with_the_valid_values_by_hand():
    fitted = Normalisation.fit(SIGNALS, VALID)
    np.testing.assert_allclose(fitted.mean, [2, 5, 3, 0])
    np.testing.assert_allclose(fitted.inverse_std, [1, 0, 0, 0])  # the others do not vary
    np.testing.assert_allclose(fitted.apply(SIGNALS, VALID)[:, 0], [-1, 1])


def test_a_missing_value_is_the_training_mean():
    fitted = Normalisation.fit(SIGNALS, VALID)
    row = np.array([[1e9, 5, 3, 0]], dtype=np.float32)
    assert (fitted.apply(row, np.zeros((1, 4), bool)) == 0).all()


def test_a_signal_never_seen_in_training_is_ignored_when_it_turns_up():
    fitted = Normalisation.fit(SIGNALS, VALID)
    row = np.array([[2, 5, 3, 1e6]], dtype=np.float32)
    assert (fitted.apply(row, np.ones((1, 4), bool)) == 0).all()


def test_a_large_constant_does_not_count_as_varying():
    constant = np.full((1000, 1), 1234.567, dtype=np.float32)
    assert Normalisation.fit(constant, np.ones_like(constant, bool)).inverse_std[0] == 0


def test_invalid_values_do_not_leak_into_the_statistics():
    poisoned = np.where(VALID, SIGNALS, np.float32(1e6))
    clean, other = Normalisation.fit(SIGNALS, VALID), Normalisation.fit(poisoned, VALID)
    np.testing.assert_array_equal(clean.mean, other.mean)
    np.testing.assert_array_equal(clean.inverse_std, other.inverse_std)


def test_wrong_sizes_and_valid_nan_are_refused():
    fitted = Normalisation.fit(SIGNALS, VALID)
    with pytest.raises(ObservationError, match=r"allowed is \(B, 4\)"):
        fitted.apply(SIGNALS[:, :3], VALID[:, :3])
    with pytest.raises(ObservationError, match="signal 0 of row 1 is nan but marked valid"):
        fitted.apply(
            np.array([[1, 1, 1, 1], [np.nan, 1, 1, 1]], np.float32), np.ones((2, 4), bool)
        )
