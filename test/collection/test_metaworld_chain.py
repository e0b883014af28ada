"""From demonstrations of MetaWorld's experts to episodes of a policy that was taught by them."""

from functools import partial

import numpy as np
import pytest

from salus_ros.collection.config import CollectionConfig
from salus_ros.collection.demonstrate import attempt
from salus_ros.collection.rollout import Rollout
from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.policies.tiny import SHIPPED, shipped_policy
from salus_ros.policies.tiny.demonstrations import Demonstrations
from salus_ros.policies.tiny.training import PolicyTrainingConfig, train
from salus_ros.worlds.catalogue import world_form
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.metaworld import SMALL_ENV_ID

pytest.importorskip("metaworld", reason="MetaWorld is not installed (salus_ros[metaworld])")
FORM = world_form(SMALL_ENV_ID)


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    """Of the first seed that the expert masters, through a file."""
    env = FORM.make(0)
    attempts = (attempt(FORM, env, partial(env.reset, seed=n), n, size_px=64) for n in range(20))
    one = next(filter(None, attempts))
    env.close()
    ends = np.array([len(one.state)])
    path = tmp_path_factory.mktemp("demos") / "demos.npz"
    Demonstrations(one.images, one.state, one.action, ends, (one.task,), FORM.cameras).save(path)
    return Demonstrations.load(path)


@pytest.fixture(scope="module")
def policy(demos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("policy")
    train(demos, folder, PolicyTrainingConfig(iterations=1, batch_size=2, save_every=1))
    return folder


def test_demonstrations_are_what_the_world_shows_and_the_expert_does(demos):
    env = FORM.make(0)
    states = [env.reset(seed=seed)[0]["agent_pos"] for seed in range(20)]
    env.close()
    assert demos.cameras == FORM.cameras
    assert demos.images.shape[1:] == (2, 64, 64, 3)
    assert demos.state.shape == demos.action.shape == (demos.ends[-1], 4)
    assert np.abs(demos.action).max() <= 1
    assert any(np.allclose(demos.state[0], state, atol=1e-6) for state in states)
    assert demos.images[0, 0].std() > 10


def test_a_policy_runs_in_the_world_and_its_episodes_say_what_they_are(policy, monkeypatch):
    monkeypatch.setattr("salus_ros.worlds.metaworld.world.MAX_STEPS", 20)
    task = FORM.tasks[3]
    config = CollectionConfig(policy, SMALL_ENV_ID, task, envs=1, num_samples=2, images=True)
    rollout = Rollout(config)
    (episode,) = rollout.run(iter([5]))
    rollout.close()
    meta = episode.meta
    assert (meta.task, meta.world, meta.rate_hz) == (task, SMALL_ENV_ID, 80)
    assert (meta.fault, meta.condition, meta.seed) == ("none", "standard", 5)
    assert meta.failure_cause in (FailureCause.NO_PROGRESS, FailureCause.MISSED_GRASP)
    assert np.all(np.diff(episode.stamp_ns) == 12_500_000)
    assert episode.state.shape == (20, 4)
    assert set(episode.images) == set(FORM.cameras)
    spec = rollout.spec
    assert spec.state_names == ("hand_x", "hand_y", "hand_z", "gripper")
    goal = [spec.truth_names.index(f"goal_position.{axis}") for axis in "xyz"]
    assert np.ptp(episode.truth[:, goal], axis=0) == pytest.approx(0)
    assert np.isfinite(episode.truth).all()


def test_the_policy_that_ships_for_it_runs_there(monkeypatch):
    monkeypatch.setattr("salus_ros.worlds.metaworld.world.MAX_STEPS", 10)
    rollout = Rollout(CollectionConfig(shipped_policy(SMALL_ENV_ID), SMALL_ENV_ID, envs=1))
    (episode,) = rollout.run(iter([5]))
    rollout.close()
    assert episode.meta.policy_id.startswith("tiny_smolvla_metaworld-")
    assert np.isfinite(episode.action).all()


def test_a_policy_of_another_world_is_refused_by_name():
    with pytest.raises(PolicyError, match=r"7 state values.*'salus/MetaWorldSmall-v3' has 4"):
        Rollout(CollectionConfig(SHIPPED, SMALL_ENV_ID, envs=1))


@pytest.mark.parametrize(
    "options",
    [{"task": "put the red cube in the bin"}, {"fault": "slip"}, {"condition": "shifted"}],
)
def test_what_only_another_world_has_is_refused(options):
    with pytest.raises(ConfigError, match="known: '"):
        CollectionConfig(SHIPPED, SMALL_ENV_ID, **options)
    with pytest.raises(ConfigError, match="no faults"):
        CollectionConfig(SHIPPED, SMALL_ENV_ID, fault_rate=0.1)
