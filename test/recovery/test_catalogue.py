"""Behaviours by their names."""

import numpy as np
import pytest
from sights import tool_at

from salus_ros.core.errors import ConfigError
from salus_ros.recovery.catalogue import BEHAVIOURS, BehaviourSettings, make_behaviour
from salus_ros.recovery.supervisor import HELD, POLICY
from salus_ros.worlds.workcell import Workcell

CELL = Workcell(lambda joints: np.eye(4), tool_at(0.49, 0.0, 0.36), {}, {}, 0.02, 0.1, 0.02)


@pytest.mark.parametrize("name", sorted(set(BEHAVIOURS) - {"policy", "manifold"}))
def test_each_is_called_as_it_is_asked_for(name):
    settings = BehaviourSettings(hold_steps=12, regrasp_steps=77, retry_steps=99)
    behaviour = make_behaviour(name, CELL, settings)
    assert behaviour.name == name
    least = {"hold": 12, "scripted": 77, "home": 99}
    assert behaviour.least_steps == least.get(name, 0)


def test_none_is_called_as_those_who_are_no_behaviour():
    assert not {POLICY, HELD} & set(BEHAVIOURS)


@pytest.mark.parametrize("name", ["dance", "policy", "manifold"])
def test_what_cannot_be_made_is_refused_with_what_can(name):
    with pytest.raises(ConfigError, match=r"there are requery, hold|give it"):
        make_behaviour(name, CELL, BehaviourSettings())


@pytest.mark.parametrize("name", ["hold_steps", "person_timeout_s", "policy_steps"])
def test_no_time_at_all_is_refused(name):
    with pytest.raises(ConfigError, match=f"{name} is 0; it must be above 0"):
        BehaviourSettings(**{name: 0})
