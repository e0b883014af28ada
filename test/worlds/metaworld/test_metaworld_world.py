"""What the world shows: the same as LeRobot's environment, and the same again from its seed."""

import json
from pathlib import Path

import lerobot
import numpy as np
import pytest

from salus_ros.core.errors import ConfigError, ObservationError, SimulatorError
from salus_ros.worlds.adapter import World
from salus_ros.worlds.metaworld import ENV_ID, SMALL_ENV_ID
from salus_ros.worlds.metaworld.scene import make_scene
from salus_ros.worlds.metaworld.tasks import ALL_TASKS, TASKS
from salus_ros.worlds.metaworld.world import QUANTITIES, MetaWorldEnv


def course(world, seed, task, steps=12):
    """States, objects and goals of an episode with random actions."""
    observation, info = world.reset(seed=seed, options={"task": task})
    chance, rows = np.random.default_rng(seed), []
    for _ in range(steps):
        truth = info["truth"]
        rows.append([*observation["agent_pos"], *truth["object_pose"], *truth["goal_position"]])
        observation, _, _, _, info = world.step(np.float32(chance.uniform(-1, 1, 4)))
    return np.array(rows)


@pytest.mark.parametrize("task", TASKS)
def test_an_episode_depends_on_its_seed_and_on_nothing_before_it(world, task):
    first = course(world, 3, task)
    other = course(world, 4, task)
    again = course(world, 3, task)
    elsewhere = MetaWorldEnv(render_every=0)
    fresh = course(elsewhere, 3, task)
    elsewhere.close()
    np.testing.assert_array_equal(first, again)
    np.testing.assert_array_equal(first, fresh)
    assert np.abs(first[0] - other[0]).max() > 1e-3


def test_seeds_draw_all_tasks(world):
    drawn = [world.reset(seed=seed)[1]["task"] for seed in range(40)]
    assert set(drawn) == set(TASKS)
    assert drawn[:5] == [world.reset(seed=seed)[1]["task"] for seed in range(5)]


def test_tasks_are_lerobots():
    file = Path(lerobot.__file__).parent / "envs" / "metaworld_config.json"
    theirs = json.loads(file.read_text())
    for task in ALL_TASKS:
        assert theirs["TASK_DESCRIPTIONS"][task.name] == task.instruction
        assert theirs["TASK_POLICY_MAPPING"][task.name] == task.expert


def test_images_and_states_are_those_of_lerobots_environment(monkeypatch):
    import metaworld
    from lerobot.envs.metaworld import MetaworldEnv as TheirEnv
    from metaworld.sawyer_xyz_env import SawyerMocapBase

    name = "box-close-v3"
    ours_of_welds = type(make_scene(name)).reset_mocap_welds  # theirs fails with this MuJoCo
    monkeypatch.setattr(SawyerMocapBase, "reset_mocap_welds", ours_of_welds)
    monkeypatch.setattr(metaworld, "_N_GOALS", 1)  # they draw 50 and take the first
    theirs, ours = TheirEnv(name, obs_type="pixels_agent_pos"), MetaWorldEnv()
    instruction = theirs.task_description
    seen, _ = theirs.reset(seed=7)
    shown, info = ours.reset(seed=7, options={"task": instruction})
    assert info["task"] == instruction
    np.testing.assert_allclose(shown["agent_pos"], seen["agent_pos"], atol=1e-7)
    action = np.float32([0.5, 1.0, -0.7, 1.0])
    seen, *_ = theirs.step(action)
    shown, *_ = ours.step(action)
    np.testing.assert_allclose(shown["agent_pos"], seen["agent_pos"], atol=1e-7)
    image = shown["pixels"]["corner2"]
    assert image.shape == (480, 480, 3)
    assert image.std() > 20
    assert (np.abs(np.int16(image) - seen["pixels"]) > 1).mean() < 1e-3
    assert theirs.action_space == ours.action_space
    assert theirs.observation_space["agent_pos"] == ours.observation_space["agent_pos"]
    theirs.close()
    ours.close()


def test_it_is_a_world_of_the_simulator_node():
    world = World(SMALL_ENV_ID, joint_names=())
    assert world.image_sizes == {"corner2": (128, 128), "gripperPOV": (128, 128)}
    assert (world.action_dim, world.max_steps, world.native_rate_hz) == (4, 500, 80)
    assert world.fault_rate == 0
    seen = world.reset(seed=0, task=TASKS[5])
    assert seen.task == TASKS[5]
    assert seen.world == SMALL_ENV_ID
    assert seen.joint_names[:4] == ("hand_x", "hand_y", "hand_z", "gripper")
    assert np.isfinite(seen.joint_positions).all()
    first = seen.images["gripperPOV"]
    np.testing.assert_array_equal(world.hold(None), [0, 0, 0, -1])  # open
    seen = world.step(world.hold(None))
    assert len({image.tobytes() for image in (*seen.images.values(), first)}) == 3
    for asked in ({"task": "dance"}, {"fault": "slip"}, {"condition": "shifted"}):
        with pytest.raises(ConfigError, match="known"):
            world.reset(seed=0, **asked)
    world.close()


def test_the_first_image_shows_the_goal_of_its_own_episode():
    env, first = MetaWorldEnv(image_size=64, plain=True), {}
    for seed in (3, 4, 3):
        seen, _ = env.reset(seed=seed, options={"task": TASKS[3]})
        image = seen["pixels"]["corner2"]
        np.testing.assert_array_equal(image, first.setdefault(seed, image))
    assert np.abs(np.int16(first[3]) - first[4]).max() > 50
    env.close()


def test_images_come_when_they_are_due():
    env = MetaWorldEnv(image_size=64, plain=True, render_every=3)
    seen = [env.reset(seed=0)[0]] + [env.step(np.zeros(4))[0] for _ in range(3)]
    assert [bool(one["pixels"]) for one in seen] == [True, False, False, True]
    np.testing.assert_array_equal(env.look()["pixels"]["corner2"], seen[3]["pixels"]["corner2"])
    env.close()


def test_the_truth_is_what_it_says(world):
    _, info = world.reset(seed=2, options={"task": TASKS[0]})
    truth = info["truth"]
    assert list(truth) == list(QUANTITIES)
    for name, parts in QUANTITIES.items():
        assert np.shape(truth[name]) == ((len(parts),) if parts else ())
    np.testing.assert_allclose(truth["object_pose"][:3], world.expert_observation[4:7], atol=0.01)
    np.testing.assert_allclose(truth["goal_position"], world.expert_observation[-3:])


@pytest.mark.parametrize("action", [np.zeros(3), np.array([0, 0, np.nan, 0]), np.zeros((1, 4))])
def test_a_senseless_action_is_refused(world, action):
    world.reset(seed=0)
    with pytest.raises(ObservationError, match="finite numbers"):
        world.step(action)


def test_physics_that_diverges_is_an_error_and_no_episode(world):
    world.reset(seed=0, options={"task": TASKS[3]})
    world._scene.data.qvel[0] = np.nan
    with pytest.raises(SimulatorError, match="not finite"):
        world.step(np.zeros(4))
    world.reset(seed=0, options={"task": TASKS[3]})
    world.step(np.zeros(4))


def test_where_it_is_not_installed_the_error_says_how(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "metaworld.env_dict", None)
    with pytest.raises(SimulatorError, match=r"salus_ros\[metaworld\]"):
        World(ENV_ID, joint_names=())
