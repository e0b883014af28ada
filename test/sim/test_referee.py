"""Each outcome, provoked by a script that can only end in it."""

import mujoco
import numpy as np
import pytest

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.sim.expert import Expert
from salus_ros.sim.world import PickPlaceEnv


@pytest.fixture(scope="module")
def env():
    return PickPlaceEnv(render_images=False)


def run(env, choose, seed=0):
    """Run an episode; `choose(env, step)` gives the action. Returns info and steps."""
    env.reset(seed=seed)
    step, done, info = 0, False, {}
    while not done:
        _, _, terminated, truncated, info = env.step(choose(env, step))
        step, done = step + 1, terminated or truncated
    return info, step


@pytest.mark.parametrize("seed", range(5))
def test_the_expert_succeeds(env, seed):
    expert = Expert(env)
    info, steps = run(env, lambda *_: expert.act(), seed)
    assert info["outcome"] is Outcome.SUCCESS
    assert info["is_success"]
    assert info["failure_type"] is FailureType.NONE
    assert info["failure_step"] == -1
    assert 40 < steps < 150


def test_opening_the_gripper_on_the_way_is_a_drop_at_that_step(env):
    expert, opened = Expert(env), []

    def choose(env, step):
        action = expert.act()
        if opened or (expert.phase == "carry" and env.arm.tool_position[1] < 0.1):
            opened.append(step + 1)
            action[:6], action[6] = 0.0, 1.0
        return action

    info, steps = run(env, choose)
    assert info["failure_type"] is FailureType.DROP
    assert opened[0] <= info["failure_step"] <= opened[0] + 5
    assert info["failure_step"] <= steps


def test_pressing_on_the_table_is_a_collision(env):
    info, _ = run(env, lambda *_: np.array([0, 0, -1, 0, 0, 0, -1], np.float32))
    assert info["failure_type"] is FailureType.COLLISION
    assert env.referee.peak_force_n > 80


def test_a_cube_out_of_reach_is_another_failure(env):
    def choose(env, step):
        if step == 5:
            env.data.qpos[env._cube_qpos : env._cube_qpos + 2] = [0.5, -0.48]
            mujoco.mj_forward(env.model, env.data)
        return np.array([0, 0, 0, 0, 0, 0, 1], np.float32)

    info, steps = run(env, choose)
    assert info["failure_type"] is FailureType.OTHER
    assert info["failure_step"] == steps == 6


def test_doing_nothing_is_a_timeout(env):
    info, steps = run(env, lambda *_: np.array([0, 0, 0, 0, 0, 0, 1], np.float32))
    assert info["failure_type"] is FailureType.TIMEOUT
    assert steps == 200


def test_putting_the_cube_down_again_is_no_drop(env):
    expert, down = Expert(env), []

    def choose(env, step):
        action = expert.act()
        if down or (expert.phase == "lift" and env.cube_position[2] > 0.06):
            down.append(step)
            action[:6] = 0.0
            action[2] = -0.15 if env.cube_position[2] > 0.03 else 0.0
            action[6] = -1.0 if len(down) < 60 else 1.0
        return action

    info, _ = run(env, choose)
    assert info["failure_type"] is FailureType.TIMEOUT
