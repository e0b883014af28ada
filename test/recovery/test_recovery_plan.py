import math

import numpy as np
import pytest

from salus_ros.core.errors import RecoveryError
from salus_ros.recovery.plan import RecoveryPlan


def test_plan_keeps_its_actions_and_may_know_no_confidence():
    plan = RecoveryPlan("manifold", np.zeros((24, 7), np.float32), math.nan, "the arm is lost")
    assert plan.actions.shape == (24, 7)
    assert math.isnan(plan.distance)


@pytest.mark.parametrize(
    "actions",
    [np.zeros((0, 7)), np.zeros(7), np.zeros((3, 6)), np.full((3, 7), np.nan), np.full((3, 7), 2)],
)
def test_plan_refuses_what_is_no_action(actions):
    with pytest.raises(RecoveryError, match="allowed is"):
        RecoveryPlan("manifold", actions, 0.5, "")


def test_plan_refuses_a_confidence_that_is_no_share():
    with pytest.raises(RecoveryError, match=r"confidence is 1\.5"):
        RecoveryPlan("manifold", np.zeros((1, 7)), 1.5, "")


def test_plan_refuses_a_distance_below_nothing():
    with pytest.raises(RecoveryError, match=r"distance is -0\.1"):
        RecoveryPlan("manifold", np.zeros((1, 7)), 0.5, "", -0.1)
