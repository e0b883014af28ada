import numpy as np
import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.recovery.manifold.key import Key

VALUES = {
    "state": np.array([[0.0, 1.0], [2.0, 1.0], [4.0, np.nan]], np.float32),
    "action": np.array([[1.0], [3.0], [5.0]], np.float32),
}


@pytest.fixture
def key():
    return Key.fit(VALUES, {"state": ("a", "b"), "visual": ("front",)})


def test_values_are_standardised_and_what_is_not_finite_has_no_key(key):
    features, there = key.apply(VALUES)
    assert there.tolist() == [True, True, False]
    spread = np.sqrt(8 / 3)  # of 0, 2 and 4, and of 1, 3 and 5
    np.testing.assert_allclose(
        features, [[-2 / spread, 0, -2 / spread], [0, 0, 0], [0, 0, 2 / spread]], atol=1e-6
    )
    assert key.width == 3


def test_what_is_missing_or_of_another_width_is_refused(key):
    with pytest.raises(ObservationError, match="reads the action, which is not told"):
        key.apply({"state": VALUES["state"]})
    with pytest.raises(ObservationError, match="the action has 2 values, that of the manifold 1"):
        key.apply(VALUES | {"action": np.zeros((3, 2))})


def test_other_joints_are_refused_and_unknown_ones_are_not(key):
    with pytest.raises(ObservationError, match=r"consists of \['b', 'a'\]"):
        key.check({"state": ("b", "a")})
    key.check({"state": ()})
    key.check({"state": ("a", "b")})
