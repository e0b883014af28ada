"""The images that Newton draws at PhysX's poses: what they show, where, and always the same."""

import subprocess

import mujoco
import numpy as np
import pytest
from physx_environment import needs_physx

from salus_ros.core.errors import SimulatorError
from salus_ros.worlds.mujoco import WORLDS
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import CAMERAS, IMAGE_SIZE
from salus_ros.worlds.physics import ENV_ID, NEWTON_ENV_ID

pytestmark = needs_physx

STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
SEED = 3
NEAR_PX = 3.0


@pytest.fixture(scope="module")
def env():
    env = PickPlaceEnv(**WORLDS[NEWTON_ENV_ID], render_every=0)
    env.reset(seed=SEED)
    yield env
    env.close()


@pytest.fixture(scope="module")
def mujocos():
    """What the cameras of MuJoCo's world show at the beginning of the same episode."""
    env = PickPlaceEnv(**WORLDS[ENV_ID])
    observation, _ = env.reset(seed=SEED)
    env.close()
    return observation["pixels"]


def red(image):
    """Centroid (x, y) in pixels of what is red, and how much of it there is."""
    r, g, b = (image[..., i].astype(int) for i in range(3))
    rows, columns = np.nonzero((r > 100) & (r > 2.5 * g) & (r > 2.5 * b))
    assert rows.size
    return np.array([columns.mean(), rows.mean()]), rows.size


def projected(env, camera, point):
    """Where a camera sees a point (3,) of the world, (x, y) in pixels."""
    seen = np.linalg.inv(env.camera_pose(camera)) @ [*point, 1.0]
    x, y, depth = env.camera_matrix(camera) @ seen[:3]
    return np.array([x, y]) / depth


@pytest.mark.parametrize("camera", CAMERAS)
def test_the_red_cube_is_where_the_camera_sees_it_and_where_mujoco_draws_it(env, mujocos, camera):
    env.reset(seed=SEED)
    image = env.look()["pixels"][camera]
    assert (image.shape, image.dtype) == ((IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    found, size = red(image)
    there = projected(env, camera, env.data.body("red_cube").xpos)
    assert np.linalg.norm(found - there) < NEAR_PX
    theirs, their_size = red(mujocos[camera])
    assert np.linalg.norm(found - theirs) < NEAR_PX
    assert size == pytest.approx(their_size, rel=0.2)


def test_a_cube_that_is_moved_moves_in_the_image_and_nothing_else_does(env):
    env.reset(seed=SEED)
    before = env.look()["pixels"]["front"]
    q = int(env.model.joint("red_cube").qposadr[0])
    env.data.qpos[q + 1] += 0.06
    mujoco.mj_forward(env.model, env.data)
    env._engine.load()
    after = env.look()["pixels"]["front"]
    there = projected(env, "front", env.data.body("red_cube").xpos)
    assert np.linalg.norm(red(after)[0] - there) < NEAR_PX
    noise = 12  # of the sensor, in both
    assert (np.abs(after.astype(int) - before).max(axis=2) > noise).mean() < 0.01


def test_the_wrist_camera_goes_with_the_hand(env):
    env.reset(seed=SEED)
    first = env.look()["pixels"]
    for _ in range(8):
        env.step(np.array([0, 1, 0, 0, 0, 0, 1], np.float32))
    then = env.look()["pixels"]
    there = projected(env, "wrist", env.data.body("red_cube").xpos)
    moved = np.linalg.norm(red(then["wrist"])[0] - red(first["wrist"])[0])
    assert moved > 5 * NEAR_PX
    assert np.linalg.norm(red(then["wrist"])[0] - there) < NEAR_PX
    assert np.linalg.norm(red(then["front"])[0] - red(first["front"])[0]) < NEAR_PX


def test_the_bin_of_a_later_episode_is_where_that_episode_has_it(env):
    def yellow(image):
        r, g, b = (image[..., i].astype(int) for i in range(3))
        rows, columns = np.nonzero((r > 110) & (g > 100) & (b < 0.45 * r))
        return np.array([columns.mean(), rows.mean()])

    centres = []
    for shift in (0.0, 0.05):
        env.reset(seed=SEED)
        env.model.body_pos[env.model.body("bin").id, 1] += shift
        mujoco.mj_kinematics(env.model, env.data)
        env._engine.load()
        centres.append(yellow(env.look()["pixels"]["front"]))
    assert np.linalg.norm(centres[1] - centres[0]) > 5 * NEAR_PX


def test_the_same_seed_gives_the_same_images_to_the_bit_whatever_came_before(env):
    def images(seed):
        env.reset(seed=seed)
        env.step(STILL)
        return env.look()["pixels"]

    first = images(5)
    images(6)
    again = images(5)
    for camera in CAMERAS:
        np.testing.assert_array_equal(first[camera], again[camera])


def test_a_brighter_lamp_makes_a_brighter_image(env):
    env.reset(seed=SEED)
    env.model.light_diffuse[:] = 0.3
    env._engine.load()
    dark = env.look()["pixels"]["front"].mean()
    env.model.light_diffuse[:] = 0.9
    env._engine.load()
    assert env.look()["pixels"]["front"].mean() > 1.1 * dark


def test_an_image_of_another_form_is_an_error_that_names_it(env, monkeypatch):
    grey = {camera: np.zeros((IMAGE_SIZE, IMAGE_SIZE), np.uint8) for camera in CAMERAS}
    monkeypatch.setattr(env._engine, "_ask", lambda *_: grey)
    monkeypatch.setattr(env._engine, "_process", subprocess.Popen(["true"]))
    with pytest.raises(SimulatorError, match=r"PhysX gives of the camera \w+ .*256, 256"):
        env.look()
