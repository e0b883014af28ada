"""The built-in world: Gymnasium's contract, determinism, and errors that name what is wrong."""

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import CAMERAS, MAX_EPISODE_STEPS
from salus_ros.sim import ENV_ID
from salus_ros.sim.arm import JOINT_NAMES
from salus_ros.sim.faults import FAULTS
from salus_ros.sim.world import TASKS, PickPlaceEnv


@pytest.fixture(scope="module")
def world():
    env = PickPlaceEnv()
    yield env
    env.close()


@pytest.fixture(scope="module")
def blind():
    return PickPlaceEnv(render_images=False)


def episode(env, seed, steps=25):
    """States, images and endings of an episode under random actions."""
    rng = np.random.default_rng(seed)
    observations = [env.reset(seed=seed)[0]]
    for _ in range(steps):
        action = rng.uniform(-1, 1, 7).astype(np.float32)
        observation, _, terminated, truncated, _ = env.step(action)
        observations.append(observation)
        if terminated or truncated:
            break
    return observations


@pytest.mark.filterwarnings("ignore:.*WARN.*")
def test_it_passes_gymnasiums_own_check():
    env = gym.make(ENV_ID, render_mode="rgb_array")
    check_env(env.unwrapped, skip_render_check=True)
    env.close()


def test_the_same_seed_and_actions_give_the_same_episode(world):
    first, second = episode(world, 3), episode(world, 3)
    assert len(first) == len(second) > 5
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a["agent_pos"], b["agent_pos"])
        for name in CAMERAS:
            np.testing.assert_array_equal(a["pixels"][name], b["pixels"][name])


def test_another_seed_gives_another_episode(world):
    a, b = world.reset(seed=1)[0], world.reset(seed=2)[0]
    assert not np.array_equal(a["agent_pos"], b["agent_pos"])
    assert not np.array_equal(a["pixels"]["front"], b["pixels"]["front"])


def test_every_camera_sees_the_cube(world):
    world.reset(seed=0)
    world.data.qpos[world._cube_qpos : world._cube_qpos + 3] = [0.5, -0.05, 0.022]
    with_cube = {name: world._image(name).astype(int) for name in CAMERAS}
    world.data.qpos[world._cube_qpos + 2] = -0.4
    import mujoco

    mujoco.mj_forward(world.model, world.data)
    for name in CAMERAS:
        difference = np.abs(with_cube[name] - world._image(name).astype(int)).sum(axis=2)
        assert (difference > 60).sum() > 30, name


def test_info_tells_what_a_policy_must_not_see(blind):
    _, info = blind.reset(seed=0)
    assert info["task"] == TASKS[0]
    assert info["fault"] == FAULTS[0] == "none"
    assert info["joint_names"] == JOINT_NAMES
    assert info["joint_positions"].shape == (9,)
    assert info["outcome"] is Outcome.UNKNOWN
    assert info["failure_type"] is FailureType.NONE
    assert info["failure_step"] == -1


def test_the_time_limit_truncates(blind):
    blind.reset(seed=0)
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    for step in range(1, MAX_EPISODE_STEPS + 1):
        _, _, terminated, truncated, info = blind.step(still)
        assert not terminated
        assert truncated == (step == MAX_EPISODE_STEPS)
    assert info["failure_type"] is FailureType.TIMEOUT
    assert info["failure_step"] == MAX_EPISODE_STEPS


@pytest.mark.parametrize("option", ["task", "fault"])
def test_an_unknown_option_is_refused_with_what_is_known(blind, option):
    with pytest.raises(ConfigError, match=rf"unknown {option} 'juggle'; known: '"):
        blind.reset(seed=0, options={option: "juggle"})


@pytest.mark.parametrize("action", [np.zeros(6), np.full(7, np.nan), np.full(7, np.inf)])
def test_an_action_that_is_none_is_refused(blind, action):
    blind.reset(seed=0)
    with pytest.raises(ObservationError, match=r"the world takes \(7,\) finite numbers"):
        blind.step(action)


def test_actions_move_the_tool_as_they_say(blind):
    blind.reset(seed=0)
    for _ in range(5):  # let the arm come to rest
        blind.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    before = blind.arm.tool_position
    for _ in range(5):
        blind.step(np.array([0.5, 0, 0, 0, 0, 0, 1], np.float32))
    for _ in range(10):
        blind.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    moved = blind.arm.tool_position - before
    np.testing.assert_allclose(moved, [0.05, 0.0, 0.0], atol=0.005)  # 5 * 0.5 * 0.02 m
