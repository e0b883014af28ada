"""The built-in world: Gymnasium's contract, determinism, and errors that name what is wrong."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.schema import RATE_HZ
from salus_ros.worlds.conditions import (
    CONDITIONS,
    CUBE_DISTANCE_M,
    CUBES,
    HAND_CLEARANCE_M,
    STANDARD_HIGH,
    STANDARD_LOW,
)
from salus_ros.worlds.faults import FAULTS
from salus_ros.worlds.mujoco import PHYSICS
from salus_ros.worlds.mujoco.arm import JOINT_NAMES
from salus_ros.worlds.mujoco.world import TASKS, PickPlaceEnv
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import COMPLIANT, RIGID


@pytest.fixture(scope="module", params=PHYSICS)
def world(request):
    env = gym.make(request.param).unwrapped
    yield env
    env.close()


@pytest.fixture(scope="module", params=PHYSICS)
def blind(request):
    return gym.make(request.param, render_images=False).unwrapped


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
@pytest.mark.parametrize("env_id", PHYSICS)
def test_it_passes_gymnasiums_own_check(env_id):
    env = gym.make(env_id, render_mode="rgb_array")
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


@pytest.mark.parametrize("cube", CUBES)
def test_every_camera_sees_the_cubes(world, cube):
    world.reset(seed=0)
    q = int(world.model.joint(cube).qposadr[0])
    world.data.qpos[q : q + 3] = [0.5, -0.05, 0.022]
    mujoco.mj_forward(world.model, world.data)
    with_cube = {name: world._image(name).astype(int) for name in CAMERAS}
    world.data.qpos[q + 2] = -0.4
    mujoco.mj_forward(world.model, world.data)
    for name in CAMERAS:
        difference = np.abs(with_cube[name] - world._image(name).astype(int)).sum(axis=2)
        assert (difference > 60).sum() > 30, name


def test_images_between_two_renderings_are_left_out_and_the_others_are_the_same(world):
    sparse = PickPlaceEnv(physics=world.physics, render_every=3)
    every, some = episode(world, 4, steps=8), episode(sparse, 4, steps=8)
    sparse.close()
    assert len(every) == len(some) == 9
    for step, (a, b) in enumerate(zip(every, some, strict=True)):
        np.testing.assert_array_equal(a["agent_pos"], b["agent_pos"])
        assert list(b["pixels"]) == (list(CAMERAS) if step % 3 == 0 else [])
        for name, image in b["pixels"].items():
            np.testing.assert_array_equal(image, a["pixels"][name])


def test_a_world_that_never_renders_shows_images_to_who_looks(world):
    sparse = PickPlaceEnv(physics=world.physics, render_every=0)
    every, some = episode(world, 4, steps=4), episode(sparse, 4, steps=4)
    assert all(seen["pixels"] == {} for seen in some)
    looked = sparse.look()
    sparse.close()
    np.testing.assert_array_equal(looked["agent_pos"], every[-1]["agent_pos"])
    for name in CAMERAS:
        np.testing.assert_array_equal(looked["pixels"][name], every[-1]["pixels"][name])
    with pytest.raises(ConfigError, match="render_every is -1"):
        PickPlaceEnv(render_every=-1)


def act(env, steps, seed=0):
    """Random actions; returns all that can be known after each."""
    rng, known = np.random.default_rng(seed), []
    for _ in range(steps):
        observation, _, _, _, info = env.step(rng.uniform(-1, 1, 7).astype(np.float32))
        numbers = [observation["agent_pos"], info["joint_efforts"], *info["truth"].values()]
        known.append(np.concatenate([np.atleast_1d(value) for value in numbers]))
    return np.array(known)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_world_that_follows_another_goes_on_as_that_one_does(blind, fault):
    other = PickPlaceEnv(physics=blind.physics, render_images=False)
    start = blind.reset(seed=1, options={"fault": fault})[1]["fault_step"]
    act(blind, max(start, 20) + 2)
    other.reset(seed=7)
    act(other, 5, seed=3)  # elsewhere
    other.reset(seed=1, options={"fault": fault})
    other.follow(blind)
    np.testing.assert_array_equal(act(other, 20, seed=2), act(blind, 20, seed=2))


def test_a_branch_keeps_the_bodies_and_draws_the_noise_anew(blind):
    _, info = blind.reset(seed=0, options={"fault": "noise"})
    for _ in range(info["fault_step"]):
        blind.step(np.zeros(7, np.float32))
    bodies, seen = blind.data.qpos.copy(), [blind.look()["agent_pos"]]
    for seed in (1, 2, 1):
        blind.branch(seed)
        seen.append(blind.look()["agent_pos"])
    np.testing.assert_array_equal(blind.data.qpos, bodies)
    assert blind.fault.name == "noise"
    np.testing.assert_array_equal(seen[1], seen[3])
    assert len({noisy.tobytes() for noisy in seen}) == 3


@pytest.mark.parametrize("fault", FAULTS[1:])
def test_in_a_branch_a_fault_that_has_not_begun_never_does(blind, fault):
    start = blind.reset(seed=0, options={"fault": fault})[1]["fault_step"]
    act(blind, start - 1)
    blind.branch(5)
    spared = act(blind, 10, seed=2)
    blind.reset(seed=0)
    act(blind, start - 1)
    blind.branch(5)
    np.testing.assert_array_equal(act(blind, 10, seed=2), spared)
    assert blind.fault.name == "none"


def test_the_scene_does_not_tell_the_task():
    scenes = {}
    env = PickPlaceEnv()
    for task in (TASKS[0], TASKS[2]):  # both move the red cube
        observation, _ = env.reset(seed=5, options={"task": task})
        scenes[task] = observation["pixels"]["front"]
    env.close()
    np.testing.assert_array_equal(*scenes.values())


def test_the_seed_draws_every_task(blind):
    drawn = [blind.reset(seed=seed)[1]["task"] for seed in range(60)]
    for task in TASKS:
        assert drawn.count(task) > 8


def test_shifted_episodes_start_where_standard_ones_never_do(blind):
    for seed in range(40):
        blind.reset(seed=seed)
        assert np.all(blind.object_position[:2] >= STANDARD_LOW)
        assert np.all(blind.object_position[:2] <= STANDARD_HIGH)
        blind.reset(seed=seed, options={"condition": "shifted"})
        place = blind.object_position[:2]
        assert np.any(place < STANDARD_LOW) or np.any(place > STANDARD_HIGH)


@pytest.mark.parametrize("condition", CONDITIONS)
def test_there_is_room_for_the_hand(blind, condition):
    for seed in range(40):
        blind.reset(seed=seed, options={"condition": condition})
        red, blue, obstacle = (
            np.array(blind.data.body(name).xpos[:2]) for name in (*CUBES, "obstacle")
        )
        assert np.linalg.norm(red - blue) >= CUBE_DISTANCE_M - 1e-6
        for cube in (red, blue):
            assert np.any(np.abs(obstacle - cube) > HAND_CLEARANCE_M - 1e-6)


def test_info_tells_what_a_policy_must_not_see(blind):
    _, info = blind.reset(seed=0, options={"task": TASKS[1]})
    assert info["task"] == TASKS[1]
    assert info["condition"] == "standard"
    assert info["fault"] == FAULTS[0] == "none"
    assert info["fault_step"] == -1
    assert "fault_strength" not in info
    assert info["joint_names"] == JOINT_NAMES
    assert info["joint_positions"].shape == (9,)
    assert info["outcome"] is Outcome.UNKNOWN
    assert info["failure_type"] is FailureType.NONE
    assert info["failure_cause"] == "none"
    assert info["failure_step"] == -1


def test_what_only_the_world_knows_is_in_info_and_in_no_observation(blind):
    blind.reset(seed=0, options={"task": TASKS[1]})
    observation, _, _, _, info = blind.step(np.array([0.5, 0, 0, 0, 0, 0, 1], np.float32))
    assert set(observation) == {"pixels", "agent_pos"}
    assert observation["agent_pos"].shape == (7,)
    truth = info["truth"]
    for pose, body in (("object", "red_cube"), ("goal", "plate"), ("obstacle", "obstacle")):
        np.testing.assert_array_equal(truth[f"{pose}_pose"][:3], blind.data.body(body).xpos)
        np.testing.assert_array_equal(truth[f"{pose}_pose"][3:], blind.data.body(body).xquat)
    assert truth["pad_forces_n"].tolist() == [0.0, 0.0]
    assert truth["surface_force_n"] == truth["obstacle_force_n"] == 0.0
    for measured, unit in (("joint_velocities", 0.01), ("joint_efforts", 0.01)):
        assert info[measured].shape == (9,)
        assert np.abs(info[measured]).max() > unit


def test_the_time_limit_truncates(blind):
    blind.reset(seed=0)
    still = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
    limit = blind.physics.max_steps
    for step in range(1, limit + 1):
        _, _, terminated, truncated, info = blind.step(still)
        assert not terminated
        assert truncated == (step == limit)
    assert info["failure_type"] is FailureType.TIMEOUT
    assert info["failure_step"] == limit


def test_a_control_step_lasts_as_long_as_the_rate_says():
    blind = PickPlaceEnv(physics=COMPLIANT, render_images=False)
    assert COMPLIANT.substeps * COMPLIANT.timestep_s == 1 / RATE_HZ  # exactly
    blind.reset(seed=0)
    for _ in range(30):
        blind.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    assert blind.data.time == pytest.approx(1.0, abs=1e-9)
    assert RIGID.substeps * RIGID.timestep_s == 0.032  # which is why it is not the last world


@pytest.mark.parametrize("option", ["task", "fault", "condition"])
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
    for _ in range(30):
        blind.step(np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    moved = blind.arm.tool_position - before
    np.testing.assert_allclose(moved, [0.05, 0.0, 0.0], atol=0.005)  # 5 * 0.5 * 0.02 m


@pytest.mark.parametrize("camera", CAMERAS)
@pytest.mark.parametrize("shown", ["red_cube", "hand"])
def test_a_camera_sees_a_body_where_its_pose_and_matrix_say(world, camera, shown):
    if (camera, shown) == ("wrist", "hand"):
        pytest.skip("the wrist's camera is on the hand, which is behind it")
    world.reset(seed=5)
    for _ in range(10):  # so that the hand, and the camera on it, have moved
        world.step(np.array([0.5, 0.2, -0.5, 0, 0, 0.3, 1.0], np.float32))
    renderer = mujoco.Renderer(world.model, 256, 256)
    renderer.enable_segmentation_rendering()
    renderer.update_scene(world.data, camera=camera)
    geom = world.model.geom(shown)
    seen = renderer.render()[:, :, 0] == geom.id
    renderer.close()
    rows, columns = np.nonzero(seen)
    assert len(rows) > 10
    place = np.append(world.data.geom(shown).xpos, 1.0)
    x, y, z = (np.linalg.inv(world.camera_pose(camera)) @ place)[:3]
    assert z > 0  # in front of it
    column, row, _ = world.camera_matrix(camera) @ [x / z, y / z, 1.0]
    # A body's pixels lie around its centre; part of it may be hidden.
    assert columns.min() <= column <= columns.max()
    assert rows.min() <= row <= rows.max()
