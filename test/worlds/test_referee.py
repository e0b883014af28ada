"""Each outcome, provoked by a script that can only end in it."""

import mujoco
import numpy as np
import provoked
import pytest
from provoked import DOWN, STILL, TURN, into_the_obstacle, lift_the_other_cube, open_on_the_way

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import RIGID
from salus_ros.worlds.tasks import ALL_TASKS, TASKS

BIN, PLATE, STACK = TASKS


@pytest.fixture(scope="module")
def env():
    return PickPlaceEnv(render_images=False)


def run(env, choose, seed=0, task=BIN):
    """Run an episode; its last info and its steps."""
    return provoked.run(env, choose, seed, task=task)


def move(env, body, position):
    """Put a cube somewhere else, at rest."""
    q = int(env.model.joint(body).qposadr[0])
    env.data.qpos[q : q + 3] = position
    env.data.qvel[int(env.model.joint(body).dofadr[0]) :][:6] = 0.0
    mujoco.mj_forward(env.model, env.data)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("task", TASKS)
def test_the_expert_succeeds(env, task, seed):
    expert = Expert(env)
    info, steps = run(env, lambda *_: expert.act(), seed, task)
    assert info["task"] == task
    assert info["outcome"] is Outcome.SUCCESS
    assert info["is_success"]
    assert info["failure_type"] is FailureType.NONE
    assert info["failure_step"] == -1
    assert 40 < steps < 150


@pytest.mark.parametrize("task", TASKS)
def test_opening_the_gripper_on_the_way_is_a_drop_at_that_step(env, task):
    choose, opened = open_on_the_way(env)
    info, steps = run(env, choose, task=task)
    assert info["failure_type"] is FailureType.DROP
    assert opened[0] <= info["failure_step"] <= opened[0] + 5
    assert info["failure_step"] <= steps


def test_a_cube_that_tumbles_off_the_stack_is_a_drop_when_it_was_let_go(env):
    expert, released = Expert(env), []

    def choose(env, step):
        action = expert.act()
        if expert.phase == "open":
            released.append(step + 1)
            if len(released) == 3:
                beside = env.goal_position + np.array([0.03, 0.0, 0.05])
                move(env, "red_cube", beside)
        return action

    info, _ = run(env, choose, task=STACK)
    assert info["failure_type"] is FailureType.DROP
    assert released[0] <= info["failure_step"] <= released[0] + 2


def test_a_cube_left_on_the_other_one_is_a_drop_when_it_belongs_in_the_bin(env):
    stacking = Expert(env)

    def choose(env, step):
        if step == 0:
            env._task = ALL_TASKS[2]  # the arm does the wrong task; the referee knows better
        return stacking.act()

    info, _ = run(env, choose, task=BIN)
    assert info["failure_type"] is FailureType.DROP


def test_pressing_on_the_table_is_a_collision(env):
    info, _ = run(env, lambda *_: DOWN)
    assert info["failure_type"] is FailureType.COLLISION
    assert env.referee.peak_force_n > RIGID.surface_force_n


@pytest.mark.parametrize("carrying", [False, True])
def test_driving_into_the_obstacle_is_a_collision(env, carrying):
    info, _ = run(env, into_the_obstacle(env, carrying=carrying))
    assert info["failure_type"] is FailureType.COLLISION
    assert env.referee.peak_force_n > RIGID.obstacle_force_n


def test_lifting_the_wrong_cube_is_another_failure(env):
    info, _ = run(env, lift_the_other_cube(env), task=BIN)
    assert info["failure_type"] is FailureType.OTHER
    assert info["failure_step"] < 80


@pytest.mark.parametrize(("task", "body"), [(BIN, "red_cube"), (STACK, "blue_cube")])
def test_a_needed_cube_out_of_reach_is_another_failure(env, task, body):
    def choose(env, step):
        if step == 5:
            move(env, body, [0.5, -0.48, 0.022])
        return STILL

    info, steps = run(env, choose, task=task)
    assert info["failure_type"] is FailureType.OTHER
    assert info["failure_step"] == steps == 6


def test_a_cube_that_is_not_needed_may_lie_anywhere(env):
    def choose(env, step):
        if step == 5:
            move(env, "blue_cube", [0.5, -0.48, 0.022])
        return STILL

    info, _ = run(env, choose, task=BIN)
    assert info["failure_type"] is FailureType.TIMEOUT


def test_an_arm_at_its_joint_limit_is_another_failure(env):
    info, _ = run(env, lambda *_: TURN)
    assert info["failure_type"] is FailureType.OTHER
    assert env.arm.joint_limit_margin < 0.01


def test_doing_nothing_is_a_timeout(env):
    info, steps = run(env, lambda *_: STILL)
    assert info["failure_type"] is FailureType.TIMEOUT
    assert steps == 200


def test_putting_the_cube_down_again_is_no_drop(env):
    expert, down = Expert(env), []

    def choose(env, step):
        action = expert.act()
        if down or (expert.phase == "lift" and env.object_position[2] > 0.06):
            down.append(step)
            action[:6] = 0.0
            action[2] = -0.15 if env.object_position[2] > 0.03 else 0.0
            action[6] = -1.0 if len(down) < 60 else 1.0
        return action

    info, _ = run(env, choose)
    assert info["failure_type"] is FailureType.TIMEOUT
