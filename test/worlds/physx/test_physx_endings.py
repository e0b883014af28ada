"""Each ending and each fault with PhysX under the world, provoked as with MuJoCo."""

import gymnasium as gym
import numpy as np
import pytest
from physx_environment import needs_physx
from provoked import (
    STILL,
    TURN,
    into_the_obstacle,
    lift_the_other_cube,
    open_on_the_way,
    run,
)

from salus_ros.core.failures import FailureType
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.physics import COMPLIANT, CUBE_MASS_KG, GRAVITY_M_S2, PHYSX_ENV_ID
from salus_ros.worlds.tasks import TASKS

pytestmark = needs_physx

BIN, STACK = TASKS[0], TASKS[2]
PUSH_N = 3.0


@pytest.fixture(scope="module")
def env():
    env = gym.make(PHYSX_ENV_ID, render_images=False).unwrapped
    yield env
    env.close()


def test_opening_the_gripper_on_the_way_is_a_drop_once_the_time_to_grasp_again_is_over(env):
    choose, opened = open_on_the_way(env)
    info, steps = run(env, choose, task=BIN)
    assert info["failure_cause"] is FailureCause.MISPLACED_RELEASE
    assert info["failure_type"] is FailureType.DROP
    assert opened[0] <= info["failure_step"] <= opened[0] + 10
    assert steps == pytest.approx(opened[0] + COMPLIANT.retry_steps, abs=15)


@pytest.mark.parametrize("carrying", [False, True])
def test_driving_into_the_obstacle_is_a_collision(env, carrying):
    info, _ = run(env, into_the_obstacle(env, carrying=carrying), task=BIN)
    assert info["failure_cause"] is FailureCause.COLLISION
    assert env.referee.peak_force_n > COMPLIANT.obstacle_force_n


def test_lifting_the_wrong_cube_is_another_failure(env):
    info, _ = run(env, lift_the_other_cube(env), task=BIN)
    assert info["failure_cause"] is FailureCause.WRONG_OBJECT
    assert info["failure_type"] is FailureType.OTHER


@pytest.mark.parametrize(("task", "body"), [(BIN, "red_cube"), (STACK, "blue_cube")])
def test_a_needed_cube_that_is_pushed_out_of_reach_is_another_failure(env, task, body):
    def choose(env, step):
        env.data.xfrc_applied[env.model.body(body).id, 1] = -PUSH_N
        return STILL

    info, _ = run(env, choose, task=task)
    env.data.xfrc_applied[:] = 0.0
    assert info["failure_cause"] is FailureCause.OUT_OF_REACH
    assert info["failure_type"] is FailureType.OTHER


def test_an_arm_at_its_joint_limit_is_another_failure(env):
    info, _ = run(env, lambda *_: TURN)
    assert info["failure_cause"] is FailureCause.JOINT_LIMIT
    assert env.arm.joint_limit_margin < 0.01


def test_doing_nothing_is_a_timeout(env):
    info, steps = run(env, lambda *_: STILL)
    assert info["failure_type"] is FailureType.TIMEOUT
    assert steps == info["failure_step"] == COMPLIANT.max_steps


def test_a_reset_begins_anew_whatever_the_last_episode_left(env):
    def begun():
        _, info = env.reset(seed=3)
        return np.concatenate([info["joint_positions"], *info["truth"].values()], axis=None)

    first = begun()
    run(env, into_the_obstacle(env, carrying=True), task=BIN)
    np.testing.assert_array_equal(first, begun())


def test_a_push_slides_the_cube_as_far_as_its_impulse_does(env):
    _, info = env.reset(seed=0, options={"fault": "force", "task": BIN})
    start, before = info["fault_step"], env.object_position.copy()
    for _ in range(start - 1):
        env.step(STILL)
    assert env.object_position == pytest.approx(before, abs=1e-4)  # until then nothing
    for _ in range(15):
        info = env.step(STILL)[4]
    impulse = info["fault_strength"] * COMPLIANT.push_substeps * COMPLIANT.timestep_s
    braking = float(env.model.geom("red_cube").friction[0]) * GRAVITY_M_S2
    slid = float(np.linalg.norm((env.object_position - before)[:2]))
    assert slid == pytest.approx((impulse / CUBE_MASS_KG) ** 2 / (2 * braking), rel=0.3)
    assert not env.data.xfrc_applied.any()


def test_a_slip_loses_what_the_expert_carries(env):
    endings = []
    for seed in range(6):
        expert = Expert(env)
        info, _ = run(env, lambda *_, expert=expert: expert.act(), seed, fault="slip")
        assert info["fault"] == "slip"
        endings.append((info["failure_type"], info["failure_step"] >= info["fault_step"]))
    assert (FailureType.DROP, True) in endings
