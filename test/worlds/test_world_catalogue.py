"""The form that is told of a world is the one that its environment has."""

import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.worlds.catalogue import world_form
from salus_ros.worlds.truth import truth_row


@pytest.mark.parametrize(
    "env_id", ["salus/PickPlace-v0", "salus/PickPlace-v1", "salus/MetaWorldSmall-v3"]
)
def test_a_form_is_that_of_the_environment(env_id):
    if "MetaWorld" in env_id:
        pytest.importorskip("metaworld", reason="MetaWorld is not installed")
    form = world_form(env_id)
    env = form.make(0)
    spaces = env.observation_space
    shape = (form.image_size, form.image_size, 3)
    assert {name: image.shape for name, image in spaces["pixels"].items()} == dict.fromkeys(
        form.cameras, shape
    )
    assert spaces["agent_pos"].shape == (len(form.state_names),)
    assert env.action_space.shape == (form.action_dim,)
    assert env.fault_rate == form.fault_rate
    assert env.metadata["render_fps"] == form.rate_hz
    observation, info = env.reset(seed=1)
    assert observation["pixels"] == {}
    assert info["task"] in form.tasks
    assert info["fault"] == form.faults[0]
    assert info["condition"] == form.conditions[0]
    row = truth_row(info["truth"], form.truth)
    assert len(row) == len(form.truth_names) == len(set(form.truth_names))
    assert row[: len(info["truth"]["object_pose"])] == pytest.approx(info["truth"]["object_pose"])
    action = form.expert(env).act()
    assert action.shape == (form.action_dim,)
    assert np.abs(action).max() <= 1
    env.close()


def test_an_unknown_world_is_refused_with_those_that_there_are():
    with pytest.raises(ConfigError, match=r"'own/World-v0'; known: 'salus/PickPlace-v0', .*Small"):
        world_form("own/World-v0")
