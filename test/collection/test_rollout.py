"""Episodes side by side: none depends on its neighbours, and all are what the world made."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
from recordings import ARRAYS, CONFIG, POLICY, SEEDS, assert_same, run

from salus_ros.collection.collect import collect
from salus_ros.collection.config import CollectionConfig
from salus_ros.collection.rollout import Rollout
from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.core.failures import Outcome
from salus_ros.prediction.config import PRESETS
from salus_ros.worlds.mujoco.truth import COLUMNS, Truth
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import COMPLIANT
from salus_ros.worlds.tasks import TASKS


def test_an_episode_does_not_depend_on_those_beside_it(reference):
    first, second, *rest = SEEDS
    beside = run(replace(CONFIG, envs=4), (None, first, second, None, None, *rest))
    assert set(beside) == set(SEEDS)
    for seed in SEEDS:
        assert_same(reference[seed], beside[seed])


def test_images_change_nothing_but_themselves(reference):
    seed = min(SEEDS, key=lambda s: len(reference[s]))
    episode = run(replace(CONFIG, images=True), [seed])[seed]
    for name in set(ARRAYS) - {"age_ms"}:
        np.testing.assert_array_equal(getattr(episode, name), getattr(reference[seed], name))
    assert set(episode.images) == set(CAMERAS)
    env = PickPlaceEnv()
    observation, _ = env.reset(seed=seed, options={"fault": CONFIG.fault_of(seed)})
    for step in range(len(episode)):
        np.testing.assert_array_equal(observation["agent_pos"], episode.state[step])
        for name in CAMERAS:
            np.testing.assert_array_equal(observation["pixels"][name], episode.images[name][step])
        observation, _, _, _, info = env.step(episode.action[step])
    env.close()
    assert info["outcome"] is episode.meta.outcome


def test_the_worlds_truth_changes_nothing_but_its_own_column(reference, monkeypatch):
    seed = min(SEEDS, key=lambda s: len(reference[s]))
    monkeypatch.setattr(Truth, "now", lambda _: pytest.fail)  # nothing of it can be read
    blind = run(replace(CONFIG, truth=False), [seed])[seed]
    assert blind.truth is None
    assert_same(blind, reference[seed])


def test_the_truth_of_each_step_is_kept_and_is_no_input_of_a_predictor(reference):
    seed = min(SEEDS, key=lambda s: len(reference[s]))
    episode = reference[seed]
    env = PickPlaceEnv(render_images=False)
    _, info = env.reset(seed=seed, options={"fault": CONFIG.fault_of(seed)})
    for step, row in enumerate(episode.truth):
        known = dict(zip(COLUMNS, row, strict=True))
        truth = info["truth"]
        assert known["object_pose.x"] == np.float32(truth["object_pose"][0])
        assert known["obstacle_pose.qz"] == np.float32(truth["obstacle_pose"][6])
        assert known["pad_forces_n.right"] == np.float32(truth["pad_forces_n"][1])
        assert known["surface_force_n"] == np.float32(truth["surface_force_n"])
        _, _, _, _, info = env.step(episode.action[step])
    env.close()
    assert np.isfinite(episode.truth).all()
    failed = episode.meta.outcome is Outcome.FAILURE
    assert episode.meta.failure_cause == (info["failure_cause"] if failed else "")
    with pytest.raises(ConfigError, match="inputs"):
        replace(PRESETS["tcn"], inputs=("signals", "truth"))


def test_episodes_say_what_they_are(reference):
    for seed, episode in reference.items():
        meta = episode.meta
        assert meta.seed == seed
        assert meta.task in TASKS
        assert (meta.world, meta.condition) == ("salus/PickPlace-v0", "standard")
        assert meta.fault == CONFIG.fault_of(seed)
        assert (meta.fault_step >= 0) == (meta.fault != "none") == np.isfinite(meta.fault_strength)
        assert meta.outcome is not Outcome.UNKNOWN
        fresh = np.flatnonzero(episode.signals_fresh)
        np.testing.assert_array_equal(fresh, np.arange(0, len(episode), CONFIG.replan_every))
        assert np.isfinite(episode.embedding).all()
        assert np.isnan(episode.age_ms[:, -1]).all()  # nobody predicted
        assert (episode.age_ms[:, :-1] == 0).all()
    assert len({meta.fault for meta in (e.meta for e in reference.values())}) > 1


def test_another_world_is_run_with_its_own_faults_and_limit():
    config = replace(CONFIG, env_id="salus/PickPlace-v1", fault_rate=None)
    drawn = [config.fault_of(seed) != "none" for seed in range(2000)]
    assert 0.07 < np.mean(drawn) < 0.11  # three faults of 3 % each
    assert config.fault_of(0) == "none"
    episode = run(config, (0,))[0]
    assert episode.meta.world == config.env_id
    env = PickPlaceEnv(physics=COMPLIANT, render_images=False)
    _, info = env.reset(seed=0)
    for action in episode.action:
        _, _, terminated, truncated, info = env.step(action)
    env.close()
    assert terminated or truncated
    assert (info["outcome"], info["failure_type"], info["failure_step"]) == (
        episode.meta.outcome,
        episode.meta.failure_type,
        episode.meta.failure_step,
    )


@pytest.mark.parametrize("option", ["env_id", "task", "fault", "condition", "image_codec"])
def test_an_unknown_option_is_refused_with_what_is_known(option):
    name = option if option == "env_id" else option.replace("_", " ")
    with pytest.raises(ConfigError, match=rf"unknown {name} 'juggle'; known: '"):
        CollectionConfig(policy=POLICY, **{option: "juggle"})


@pytest.mark.parametrize(("option", "value"), [("envs", 0), ("fault_rate", 0.5)])
def test_a_number_out_of_range_is_refused(option, value):
    with pytest.raises(ConfigError, match=str(value)):
        CollectionConfig(policy=POLICY, **{option: value})


@pytest.fixture
def policy_of(tmp_path):
    """Copies the shipped policy with cameras of other names."""

    def make(**names):
        folder = tmp_path / "policy"
        shutil.copytree(POLICY, folder)
        config = json.loads((folder / "config.json").read_text())
        prefix = "observation.images."
        config["input_features"] = {
            prefix + names.get(key.removeprefix(prefix), key.removeprefix(prefix))
            if key.startswith(prefix)
            else key: feature
            for key, feature in config["input_features"].items()
        }
        (folder / "config.json").write_text(json.dumps(config))
        return replace(CONFIG, policy=folder)

    return make


def test_the_one_camera_of_another_name_is_the_one_that_is_left(policy_of, reference):
    config = policy_of(side="top")
    seed = min(SEEDS, key=lambda s: len(reference[s]))
    episode = run(config, [seed])[seed]
    named = replace(episode.meta, policy_id=reference[seed].meta.policy_id)
    assert_same(replace(episode, meta=named), reference[seed])


def test_a_policy_of_other_cameras_is_refused(policy_of, tmp_path):
    config = policy_of(front="a", side="b", wrist="c")
    with pytest.raises(PolicyError, match="which of front, side, wrist is a, b, c"):
        Rollout(config)
    with pytest.raises(PolicyError, match="which of front, side, wrist is a, b, c"):
        collect(config, tmp_path / "a.zarr", 1)  # without loading it


def test_more_steps_between_replans_than_the_policy_plans_are_refused():
    with pytest.raises(ConfigError, match="replan_every is 99"):
        Rollout(replace(CONFIG, replan_every=99))


def test_all_sampled_plans_are_kept_where_they_are_asked_for():
    episode = run(replace(CONFIG, plan_samples=True), (0,))[0]
    steps = np.arange(len(episode))
    assert episode.plan_samples.shape == (len(episode), CONFIG.num_samples, 16, 7)
    np.testing.assert_array_equal(episode.plan_samples[:, 0], episode.plan)
    np.testing.assert_array_equal(episode.plan_step == 0, episode.signals_fresh)
    executed = episode.plan[steps, episode.plan_step.astype(int)]
    np.testing.assert_allclose(executed, episode.action, rtol=2**-11, atol=2**-24)
    assert np.isfinite(episode.visual_embedding).all()
    assert episode.joint_position.shape == (len(episode), 9)  # the fingers too
    np.testing.assert_array_equal(episode.joint_position[:, :7], episode.state)
