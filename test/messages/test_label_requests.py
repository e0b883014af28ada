from types import SimpleNamespace

import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.messages.labels import read_label


def request(**given):
    asked = {"outcome": 1, "failure_type": 0, "failure_step": -1, "failure_time": 0.0}
    return SimpleNamespace(**(asked | given))


def test_a_label_is_read():
    assert read_label(request()) == (Outcome.SUCCESS, FailureType.NONE, -1, 0.0)
    asked = request(outcome=2, failure_type=1, failure_step=7)
    assert read_label(asked) == (Outcome.FAILURE, FailureType.DROP, 7, 0.0)


def test_what_there_is_not_is_refused_with_what_there_is():
    with pytest.raises(ObservationError, match=r"outcome is 9; allowed are 0 \(unknown\), 1"):
        read_label(request(outcome=9))
    with pytest.raises(ObservationError, match=r"failure_type is 77; allowed are .* 1 \(drop\)"):
        read_label(request(failure_type=77))
