"""The world of `COMPLIANT`: forces that rise, grips that creep, sensors that are never exact."""

import mujoco
import numpy as np
import pytest

from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.expert import Expert
from salus_ros.worlds.faults import NOISE_STEPS
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import COMPLIANT, HOLDING_FRICTION, RIGID
from salus_ros.worlds.tasks import TASKS

OPEN, CLOSE = 1.0, -1.0
DOWN = np.array([0, 0, -1, 0, 0, 0, OPEN], np.float32)


def still(gripper):
    return np.array([0, 0, 0, 0, 0, 0, gripper], np.float32)


@pytest.fixture(scope="module")
def env():
    return PickPlaceEnv(physics=COMPLIANT, render_images=False)


@pytest.fixture(scope="module")
def rigid():
    return PickPlaceEnv(physics=RIGID, render_images=False)


def move(env, body, position):
    """Put a cube somewhere else, at rest."""
    q, v = int(env.model.joint(body).qposadr[0]), int(env.model.joint(body).dofadr[0])
    env.data.qpos[q : q + 3] = position
    env.data.qvel[v : v + 6] = 0.0
    mujoco.mj_forward(env.model, env.data)


def holding(env, seed=0, fault="none"):
    """Let the expert lift the cube of `seed` and stop there, the fault not begun yet."""
    env.reset(seed=seed, options={"task": TASKS[0], "fault": fault})
    env.fault.start_step = 10_000
    expert = Expert(env)
    while env.object_position[2] < 0.12:
        env.step(expert.act())
    for _ in range(20):  # come to rest
        env.step(still(CLOSE))
    return expert


def in_hand(env):
    """Where the cube is, seen from the tool."""
    return env.object_position - env.arm.tool_position


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_succeeds(env, task):
    env.reset(seed=3, options={"task": task})
    expert, ended = Expert(env), False
    while not ended:
        _, _, terminated, truncated, info = env.step(expert.act())
        ended = terminated or truncated
    assert info["outcome"] is Outcome.SUCCESS
    assert info["losses"] == 0


def test_an_expert_that_takes_over_goes_on_with_what_is_held(env):
    holding(env)
    expert, ended = Expert(env), False
    assert expert.act()[6] < 0
    while not ended:
        _, _, terminated, truncated, info = env.step(expert.act())
        ended = terminated or truncated
    assert info["outcome"] is Outcome.SUCCESS
    assert info["losses"] == 0


# Contact


def press(env, monkeypatch):
    """Drive the open hand onto the table: the force at every physics step, and the last info."""
    env.reset(seed=1, options={"task": TASKS[0]})
    for body, place in (("obstacle", (0.3, 0.4)), ("bin", (0.3, 0.3))):
        env.model.body_pos[env.model.body(body).id, :2] = place
    move(env, "red_cube", [0.35, -0.3, 0.022])
    move(env, "blue_cube", [0.45, -0.3, 0.022])
    forces, count = [], env.referee._count_forces
    monkeypatch.setattr(
        env.referee,
        "_count_forces",
        lambda step, table, obstacle: (forces.append(table), count(step, table, obstacle)),
    )
    ended, info = False, {}
    while not ended:
        _, _, terminated, truncated, info = env.step(DOWN)
        ended = terminated or truncated
    touched = int(np.argmax(np.array(forces) > 0))
    return np.array(forces[touched:]), info


def test_a_contact_force_rises_where_it_used_to_jump(env, rigid, monkeypatch):
    soft, info = press(env, monkeypatch)
    hard, _ = press(rigid, monkeypatch)
    limit = COMPLIANT.surface_force_n
    assert hard[0] > RIGID.surface_force_n  # the first thing that was ever felt
    assert np.argmax(soft > limit) * COMPLIANT.timestep_s >= 0.05
    assert soft.max() < 0.1 * hard.max()
    assert info["failure_cause"] == "collision"
    assert info["truth"]["surface_force_n"] == pytest.approx(soft[-8:].max())


def test_a_short_touch_is_no_collision(env):
    env.referee.reset(env.referee.task)
    pressed = int(COMPLIANT.collision_time_s / COMPLIANT.timestep_s) - 1
    for _ in range(3):
        for _ in range(pressed):
            env.referee._count_forces(1, 0.0, COMPLIANT.obstacle_force_n + 1)
        env.referee._count_forces(1, 0.0, 0.0)
    env.referee.judge(1, time_is_up=False)
    assert env.referee.outcome is Outcome.UNKNOWN
    for _ in range(pressed + 2):
        env.referee._count_forces(2, 0.0, COMPLIANT.obstacle_force_n + 1)
    env.referee.judge(2, time_is_up=False)
    assert (env.referee.cause, env.referee.failure_step) == (FailureCause.COLLISION, 2)


def test_the_tool_is_slow_near_surfaces_and_not_above(env):
    env.reset(seed=1)
    heights = [float(env.arm.tool_position[2])]
    while heights[-1] > 0.05:
        env.step(DOWN)
        heights.append(float(env.arm.tool_position[2]))
    speed = -np.diff(heights) * 30
    high = np.array(heights[1:])
    assert speed[high > COMPLIANT.near_height_m + 0.06].max() > 1.5 * COMPLIANT.near_speed_m_s
    assert speed[high < 0.07].max() < 1.1 * COMPLIANT.near_speed_m_s


# Gripper


def flicker(env, steps):
    """Command to open for so many steps while the cube is held; the last info."""
    holding(env)
    for _ in range(steps):
        env.step(still(OPEN))
        opening = env.arm.opening
    for _ in range(15):
        _, _, _, _, info = env.step(still(CLOSE))
    return info, opening


@pytest.mark.parametrize("steps", [1, COMPLIANT.gripper_debounce_steps - 1])
def test_a_flicker_of_the_command_does_not_open_the_gripper(env, rigid, steps):
    info, opened = flicker(env, steps)
    assert not opened
    assert info["truth"]["pad_forces_n"].min() > 10
    assert flicker(rigid, steps)[1]


def test_a_command_that_stays_opens_it(env, rigid):
    assert flicker(env, COMPLIANT.gripper_debounce_steps)[1]
    assert flicker(rigid, 3)[0]["failure_cause"] == "misplaced release"


def test_the_gripper_lets_go_only_after_a_while(env):
    holding(env)
    force = env.step(still(CLOSE))[4]["truth"]["pad_forces_n"]
    assert force.min() == pytest.approx(20.0, rel=0.1)  # both fingers, at the grip force
    steps = 0
    while env.step(still(OPEN))[4]["truth"]["pad_forces_n"].any():
        steps += 1
    assert 0.2 <= steps / 30 <= 0.4


def test_a_finger_has_its_speed(env):
    env.reset(seed=0)
    opened = [env.step(still(CLOSE))[4]["joint_positions"][7] for _ in range(20)]
    moving = -np.diff(opened)[6:] * 30  # debounced, and under way
    np.testing.assert_allclose(moving, COMPLIANT.finger_speed_m_s, rtol=0.2)


# Faults


def slide(env, share, ramp_s=0.6):
    """Slip to so much of the holding friction; the slide in the hand at each step until lost."""
    holding(env, fault="slip")
    env.fault.strength, env.fault._ramp_s = share * HOLDING_FRICTION, ramp_s
    env.fault.start_step = env._steps + 1
    before, slid = in_hand(env), []
    for _ in range(90):
        _, _, _, _, info = env.step(still(CLOSE))
        if not info["truth"]["pad_forces_n"].any():
            break
        slid.append(float(np.linalg.norm(in_hand(env) - before)))
    return np.array(slid), info


def test_a_slip_creeps_before_the_object_is_lost(env):
    slid, info = slide(env, 0.6)
    assert info["truth"]["object_pose"][2] < 0.12
    creeping = (slid > 0.002).sum() / 30
    assert 0.2 <= creeping <= 1.5
    assert (np.diff(slid) > -1e-4).all()


def test_some_slips_hold_and_less_friction_is_faster(env):
    held, _ = slide(env, 1.3)
    slow, _ = slide(env, 0.8)
    fast, _ = slide(env, 0.4)
    assert len(held) == 90
    assert held[-1] < 0.005
    assert len(fast) < len(slow)
    low, high = COMPLIANT.slip_friction
    assert low < HOLDING_FRICTION < high


@pytest.mark.parametrize("seed", range(4))
def test_a_push_has_the_impulse_that_it_says(env, seed):
    _, info = env.reset(seed=seed, options={"fault": "force", "task": TASKS[0]})
    move(env, "red_cube", [0.5, -0.4, 0.4])  # in the air, where nothing else acts on it
    env.fault.start_step = 1
    env.step(still(OPEN))
    velocity = env.data.qvel[int(env.model.joint("red_cube").dofadr[0]) :][:2]
    asked = info["fault_strength"] * COMPLIANT.push_substeps * COMPLIANT.timestep_s
    assert np.linalg.norm(velocity) * 0.08 == pytest.approx(asked, rel=1e-3)
    low, high = COMPLIANT.push_impulse_n_s
    assert (low, high) == pytest.approx((0.02, 0.08))
    assert low <= asked <= high


# Sensors


def test_sensors_are_noisy_by_the_sizes_given_and_say_the_same_whoever_asks():
    env = PickPlaceEnv(physics=COMPLIANT)
    env.reset(seed=3)
    errors, pixels = [], []
    for _ in range(40):
        observation, _, _, _, info = env.step(still(OPEN))
        np.testing.assert_array_equal(
            observation["agent_pos"], info["joint_positions"][:7].astype(np.float32)
        )
        np.testing.assert_array_equal(env._joints(), info["joint_positions"])  # asked again
        errors.append(info["joint_positions"] - env.arm.joint_positions)
        true = env._image("front").astype(int)
        between = (true > 40) & (true < 215)
        pixels.append((observation["pixels"]["front"] - true)[between])
    env.close()
    spread = np.std(errors, axis=0)
    np.testing.assert_allclose(spread[:7], COMPLIANT.encoder_noise_rad, rtol=0.5)
    np.testing.assert_allclose(spread[7:], COMPLIANT.finger_noise_m, rtol=0.5)
    assert 1.0 < np.std(np.concatenate(pixels)) < 2.5  # sqrt(0.25 + 0.025 * value)


def test_the_same_seed_and_actions_give_the_same_noise():
    seen = []
    for _ in range(2):
        env = PickPlaceEnv(physics=COMPLIANT)
        env.reset(seed=5)
        for _ in range(5):
            observation, _, _, _, info = env.step(still(CLOSE))
        seen.append((observation, info))
        env.close()
    (first, said), (second, told) = seen
    for name in CAMERAS:
        np.testing.assert_array_equal(first["pixels"][name], second["pixels"][name])
    for name in ("joint_positions", "joint_velocities", "joint_efforts"):
        np.testing.assert_array_equal(said[name], told[name])


def test_noise_differs_from_seed_to_seed_and_from_step_to_step(env):
    noises = []
    for seed in (0, 1):
        env.reset(seed=seed)
        for _ in range(2):
            _, _, _, _, info = env.step(still(OPEN))
            noises.append(info["joint_positions"] - env.arm.joint_positions)
    assert len({noise.tobytes() for noise in noises}) == 4


def test_the_noise_fault_comes_on_top(env):
    _, info = env.reset(seed=0, options={"fault": "noise"})
    errors = []
    for _ in range(info["fault_step"] + NOISE_STEPS):
        _, _, _, _, info = env.step(still(OPEN))
        errors.append(np.abs(info["joint_positions"] - env.arm.joint_positions)[:7].mean())
    start = info["fault_step"] - 1
    assert 0 < np.mean(errors[:start]) < 0.1 * np.mean(errors[start:])


# Failures


def test_a_lost_object_may_be_grasped_again(env):
    expert = holding(env)
    assert env.referee.open_loss_step == -1
    told = env._steps + 1
    while env.object_position[2] > 0.03:  # let go in the air
        env.step(still(OPEN))
    lost = env.referee.open_loss_step
    assert told < lost <= env._steps
    expert.reset()
    ended, open_losses = False, []
    while not ended:
        _, _, terminated, truncated, info = env.step(expert.act())
        open_losses.append(env.referee.open_loss_step)
        ended = terminated or truncated
    assert open_losses[0] == lost
    assert -1 in open_losses
    assert lost not in open_losses[open_losses.index(-1) :]
    assert info["losses"] == 1
    assert info["outcome"] is Outcome.SUCCESS


def test_one_that_is_lost_again_failed_when_it_was_lost_again(env):
    expert, ended = holding(env), False
    while not ended:
        action = expert.act()
        if env.object_position[2] > 0.12 and expert.phase in ("lift", "carry"):
            action[:6], action[6] = 0.0, OPEN
            while not ended and env.object_position[2] > 0.03:
                _, _, terminated, truncated, info = env.step(action)
                ended = terminated or truncated
        else:
            _, _, terminated, truncated, info = env.step(action)
            ended = terminated or truncated
    assert info["losses"] == COMPLIANT.retries + 1 == 2
    assert info["failure_cause"] == "misplaced release"
    assert env._steps - info["failure_step"] < 15


def test_one_that_is_not_grasped_again_failed_when_it_was_lost(env):
    holding(env)
    told = env._steps + 1
    ended = False
    while not ended:
        _, _, terminated, truncated, info = env.step(still(OPEN))
        ended = terminated or truncated
    assert (info["failure_cause"], info["failure_type"]) == ("misplaced release", FailureType.DROP)
    lost = info["failure_step"]
    assert told < lost <= told + 12
    assert env._steps == lost + COMPLIANT.retry_steps


def test_what_goes_wrong_after_a_loss_does_not_hide_it(env):
    holding(env)
    lost = -1
    while env.object_position[2] > 0.03:
        _, _, _, _, info = env.step(still(OPEN))
        if lost < 0 and not info["truth"]["pad_forces_n"].any():
            lost = env._steps
    move(env, "red_cube", [0.5, -0.48, 0.022])  # out of reach
    _, _, terminated, _, info = env.step(still(OPEN))
    assert terminated
    assert info["failure_cause"] == "misplaced release"
    assert abs(info["failure_step"] - lost) <= 1


def test_a_loss_from_a_closed_gripper_is_a_drop(env):
    slide(env, 0.4)
    ended = False
    while not ended:
        _, _, terminated, truncated, info = env.step(still(CLOSE))
        ended = terminated or truncated
    assert (info["failure_cause"], info["failure_type"]) == ("drop", FailureType.DROP)


def test_doing_nothing_is_no_progress(env):
    env.reset(seed=0)
    for _ in range(COMPLIANT.max_steps):
        _, _, _, truncated, info = env.step(still(OPEN))
    assert truncated
    assert info["failure_cause"] == "no progress"
    assert info["failure_type"] is FailureType.TIMEOUT


def test_every_cause_is_of_a_published_type_and_every_type_has_one():
    types = {cause.failure_type for cause in FailureCause}
    assert types == {FailureType.NONE, *FAILURE_TYPES}
    assert [c for c in FailureCause if c.failure_type is FailureType.NONE] == [FailureCause.NONE]
