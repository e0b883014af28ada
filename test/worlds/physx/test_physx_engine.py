"""The world with PhysX under it: physics by hand, endings on purpose, the same every time."""

import gymnasium as gym
import mujoco
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env
from physx_environment import needs_physx

from salus_ros.core.errors import ConfigError, SimulatorError
from salus_ros.core.failures import Outcome
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import COMPLIANT, CUBE_MASS_KG, GRAVITY_M_S2, PHYSX_ENV_ID
from salus_ros.worlds.tasks import TASKS

pytestmark = needs_physx

STILL = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)
DOWN = np.array([0, 0, -1, 0, 0, 0, 1], np.float32)
FREE_PLACE = (0.6, -0.3)
"""Room on the table to slide in."""


@pytest.fixture(scope="module")
def env():
    env = gym.make(PHYSX_ENV_ID, render_images=False).unwrapped
    yield env
    env.close()


def put(env, body, position):
    """Begin an episode anew with a cube elsewhere."""
    q = int(env.model.joint(body).qposadr[0])
    env.data.qpos[q : q + 7] = [*position, 1.0, 0.0, 0.0, 0.0]
    mujoco.mj_forward(env.model, env.data)
    env._engine.load()


def force_between(env, first, second):
    """Force in N between two geoms by name; 0 without contact."""
    wanted = {env.model.geom(first).id, env.model.geom(second).id}
    pairs = enumerate(env._engine.contacts())
    return sum(env._engine.force(i) for i, pair in pairs if set(pair) == wanted)


def play(env, choose, **options):
    """Run an episode to its end; its info."""
    env.reset(seed=0, options=options)
    done, info = False, {}
    while not done:
        _, _, terminated, truncated, info = env.step(choose())
        done = terminated or truncated
    return info


@pytest.mark.filterwarnings("ignore:.*WARN.*")
def test_it_passes_gymnasiums_own_check(env):
    assert env.physics == COMPLIANT
    check_env(env, skip_render_check=True, skip_close_check=True)


def test_the_arm_rests_where_it_was_put_and_cubes_weigh_what_they_weigh(env):
    env.reset(seed=0)
    before = env.arm.joint_positions
    for _ in range(10):
        env.step(STILL)
    np.testing.assert_allclose(env.arm.joint_positions, before, atol=1e-4)
    for cube in ("red_cube", "blue_cube"):
        weight = force_between(env, cube, "table")
        assert weight == pytest.approx(CUBE_MASS_KG * GRAVITY_M_S2, rel=0.01)
    assert not env.step(STILL)[4]["truth"]["pad_forces_n"].any()


def test_a_cube_falls_by_half_g_t_squared(env):
    env.reset(seed=0)
    put(env, "red_cube", (*FREE_PLACE, 0.5))
    for _ in range(3):  # 0.1 s, and the step in which the scene is loaded
        env.step(STILL)
    seconds = 3 / 30 + COMPLIANT.timestep_s
    fallen = 0.5 - float(env.data.body("red_cube").xpos[2])
    assert fallen == pytest.approx(0.5 * GRAVITY_M_S2 * seconds**2, rel=0.05)
    assert env.data.body("red_cube").cvel[5] == pytest.approx(-GRAVITY_M_S2 * seconds, rel=0.02)


def test_a_push_slides_a_cube_as_far_as_friction_lets_it(env):
    env.reset(seed=0)
    put(env, "red_cube", (*FREE_PLACE, 0.022))
    body, steps, push = env.model.body("red_cube").id, 24, 2.0
    env.data.xfrc_applied[body, 0] = push
    for _ in range(steps):
        env._engine.step()
    env.data.xfrc_applied[body] = 0.0
    friction = max(env.model.geom(name).friction[0] for name in ("red_cube", "table"))
    gained = (push / CUBE_MASS_KG - friction * GRAVITY_M_S2) * steps * COMPLIANT.timestep_s
    speed = float(env.data.qvel[int(env.model.joint("red_cube").dofadr[0])])
    assert speed == pytest.approx(gained, rel=0.1)


def test_an_episode_is_the_same_whatever_came_before(env):
    def poses():
        rng = np.random.default_rng(1)
        env.reset(seed=4)
        actions = rng.uniform(-1, 1, (12, 7)).astype(np.float32)
        return [(env.step(action), env.data.qpos.copy())[1] for action in actions]

    first = poses()
    env.reset(seed=9)
    for _ in range(5):
        env.step(DOWN)
    np.testing.assert_array_equal(first, poses())


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_succeeds(env, task):
    expert = Expert(env)
    info = play(env, expert.act, task=task)
    assert info["outcome"] is Outcome.SUCCESS


def test_pressing_on_the_table_is_a_collision(env):
    info = play(env, lambda: DOWN)
    assert info["failure_cause"] is FailureCause.COLLISION
    assert info["truth"]["surface_force_n"] > COMPLIANT.surface_force_n


def test_pads_that_lose_their_grip_lose_the_cube(env):
    expert, high = Expert(env), 0.10
    env.reset(seed=0)
    while env.object_position[2] < high:
        assert not any(env.step(expert.act())[2:4])
    assert env.referee.open_loss_step == -1
    env.model.geom_friction[env.fault._geoms, 0] = 1e-3
    for _ in range(15):
        env.step(expert.act())
    assert env.referee.open_loss_step >= 0
    assert env.object_position[2] < high / 2


def test_what_is_not_finite_and_an_engine_that_ended_are_errors(env):
    other = PickPlaceEnv(physics=COMPLIANT, engine="physx", render_images=False)
    other.reset(seed=0)
    before = other.data.qpos.copy()
    other.data.ctrl[:] = np.nan
    with pytest.raises(SimulatorError, match=r"PhysX gives .* not finite"):
        other._engine.step()
    np.testing.assert_array_equal(other.data.qpos, before)
    with pytest.raises(SimulatorError, match="PhysX has ended"):
        other.step(STILL)
    with pytest.raises(ConfigError, match="cannot be copied"):
        other.follow(env)
    other.close()
