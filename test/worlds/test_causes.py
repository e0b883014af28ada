import pytest

from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.worlds.causes import FailureCause

PUBLISHED = {
    "none": FailureType.NONE,
    "drop": FailureType.DROP,
    "misplaced release": FailureType.DROP,
    "collision": FailureType.COLLISION,
    "wrong object": FailureType.OTHER,
    "out of reach": FailureType.OTHER,
    "joint limit": FailureType.OTHER,
    "missed grasp": FailureType.TIMEOUT,
    "no progress": FailureType.TIMEOUT,
}


def test_every_cause_counts_as_a_published_type():
    assert {cause.value: cause.failure_type for cause in FailureCause} == PUBLISHED


@pytest.mark.parametrize("cause", FailureCause)
def test_the_published_type_and_the_words_tell_the_finest_type(cause):
    """As a store and a message keep them, without the world."""
    assert cause.failure_type.refined(cause.value) == cause.finest_type
    assert (cause.finest_type in FAILURE_TYPES) == (
        cause not in (FailureCause.NONE, FailureCause.MISPLACED_RELEASE)
    )
