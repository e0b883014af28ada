"""What is known of the world beforehand agrees with the world where nothing is shifted."""

import mujoco
import numpy as np

from salus_ros.worlds.mujoco.workcell import nominal_workcell
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import COMPLIANT


def test_the_tool_is_where_the_arms_joints_say():
    cell, env = nominal_workcell(COMPLIANT), PickPlaceEnv(physics=COMPLIANT, render_images=False)
    env.reset(seed=1)
    rng = np.random.default_rng(0)
    for _ in range(20):
        env.step(rng.uniform(-1, 1, 7))
    mujoco.mj_kinematics(env.model, env.data)  # a step leaves it where the last one began
    np.testing.assert_allclose(
        cell.tool(env.arm.joint_positions[:7])[:3, 3], env.arm.tool_position, atol=1e-6
    )
    np.testing.assert_allclose(cell.home[:3, :3], np.diag([1.0, -1.0, -1.0]), atol=1e-5)


def test_cameras_and_places_are_those_that_episodes_vary():
    cell, env = nominal_workcell(COMPLIANT), PickPlaceEnv(physics=COMPLIANT, render_images=False)
    env.reset(seed=1)
    for name, camera in cell.cameras.items():
        np.testing.assert_array_equal(camera.matrix, env.camera_matrix(name))
        shift = np.abs(camera.pose - env.camera_pose(name)).max()
        assert 0.0 < shift < 0.05
    for name, place in cell.places.items():
        shift = np.abs(place - env.data.body(name).xpos).max()
        assert 0.0 < shift <= 0.02


def test_a_point_is_seen_where_the_pinhole_says():
    camera = nominal_workcell(COMPLIANT).cameras["front"]
    ahead = camera.pose @ [0.0, 0.0, 2.0, 1.0]
    np.testing.assert_allclose(camera.project(ahead[None, :3]), [[127.5, 127.5]])


def test_the_tool_may_be_over_the_table_but_not_where_the_obstacle_may_stand():
    cell, env = nominal_workcell(COMPLIANT), PickPlaceEnv(physics=COMPLIANT, render_images=False)
    keep_out = cell.keep_out["obstacle"]
    for seed in range(3):
        env.reset(seed=seed)
        obstacle = env.model.geom("obstacle")
        corners = env.data.body("obstacle").xpos + np.array(
            [[0, 0, 0], [0, 0, 2 * obstacle.size[2]]]
        )
        assert keep_out.holds(corners).all()
    high = cell.home[:3, 3][None]
    assert cell.workspace.holds(high).all()
    assert not keep_out.holds(np.array([cell.places["bin"], *high])).any()
    below, unknown = high - [[0, 0, 0.5]], np.full((1, 3), np.nan)
    assert not cell.workspace.holds(np.concatenate([below, unknown])).any()
