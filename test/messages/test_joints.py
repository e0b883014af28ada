import math
from types import SimpleNamespace

import numpy as np
import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.messages.joints import joint_keys, joint_values, read_joints


def state(names, positions, velocities=()):
    return SimpleNamespace(
        name=list(names), position=list(positions), velocity=list(velocities), effort=[]
    )


def test_a_message_of_some_joints_gives_those():
    names, values = read_joints(state("ab", [1, 2]), "abc")
    assert names == ("a", "b")
    np.testing.assert_array_equal(values, [1, 2])
    assert values.dtype == np.float64
    assert read_joints(state("c", [3]), "abc")[0] == ("c",)


def test_a_message_of_other_joints_gives_none():
    names, values = read_joints(state("xy", [math.nan, 2]), "abc")
    assert (names, values.shape) == ((), (0,))


def test_without_a_choice_all_joints_are_read_in_the_order_of_the_message():
    names, values = read_joints(state("cab", [3, 1, 2]))
    assert names == ("c", "a", "b")
    np.testing.assert_array_equal(values, [3, 1, 2])


def test_velocities_are_read_where_they_are_asked_for():
    given = state("ab", [1, 2], [10, 20])
    np.testing.assert_array_equal(read_joints(given, "b", "velocity")[1], [20])
    with pytest.raises(ObservationError, match="2 names and 0 values of effort"):
        read_joints(given, "b", "effort")


@pytest.mark.parametrize(
    ("names", "positions", "said"),
    [
        ("abc", [1, 2], "3 names and 2 values of position"),
        ("", [1, 2], "0 names and 2 values"),
        ("aba", [1, 2, 3], "it has a more than once"),
        ("ab", [1, math.nan], "it has b = nan; every position must be finite"),
        ("ab", [-math.inf, 2], "it has a = -inf"),
        ("ab", [1e300, 2], "it has a = 1e\\+300"),
    ],
)
def test_what_is_no_joint_state_is_refused(names, positions, said):
    with pytest.raises(ObservationError, match=said):
        read_joints(state(names, positions))


def test_a_joint_that_is_not_asked_for_may_be_anything():
    names, values = read_joints(state(["a", "gripper"], [1, math.nan]), "a")
    assert names == ("a",)
    np.testing.assert_array_equal(values, [1])


def never(error):
    raise error


def test_all_that_is_said_of_joints():
    given = state("cab", [3, 1, 2], [30, 10, 20])
    found = joint_values(given, "ab", never)
    expected = {"position a": 1, "position b": 2, "velocity a": 10, "velocity b": 20}
    assert found == expected  # no effort was sent: none is made up
    assert set(found) < set(joint_keys("ab"))
    assert joint_keys("ab")[:3] == ("position a", "position b", "velocity a")


@pytest.mark.parametrize("bad", [math.nan, math.inf, 1e300])
def test_a_joint_without_a_sensor_has_no_number(bad):
    found = joint_values(state("ab", [1, 2], [10, bad]), "ab", never)
    assert math.isnan(found["velocity b"])
    assert found["velocity a"] == 10


def test_a_quantity_of_another_length_is_refused_and_the_others_are_read():
    refused = []
    assert joint_values(state("ab", [1, 2], [10]), "b", refused.append) == {"position b": 2}
    assert "2 names and 1 values of velocity" in str(refused[0])
