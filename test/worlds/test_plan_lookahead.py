"""Looking ahead along a plan: what will be met, from what is measured alone."""

import mujoco
import numpy as np
import pytest

from salus_ros.core.failures import FailureType
from salus_ros.worlds.conditions import CUBE_HALF_M
from salus_ros.worlds.mujoco.arm import HOME, Arm
from salus_ros.worlds.mujoco.lookahead import COLUMNS, NEVER, STEPS, PlanLookahead
from salus_ros.worlds.mujoco.scene import load_scene
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import COMPLIANT

OPEN, CLOSED = 1.0, -1.0


@pytest.fixture(scope="module")
def look():
    return PlanLookahead(COMPLIANT)


@pytest.fixture(scope="module")
def env():
    return PickPlaceEnv(physics=COMPLIANT, render_images=False)


def moved(x=0.0, y=0.0, z=0.0, gripper=OPEN, steps=16):
    return np.tile(np.float32([x, y, z, 0.0, 0.0, 0.0, gripper]), (steps, 1))


def measured(info):
    return info["joint_positions"], info["joint_velocities"]


def down_to(look, env, height):
    """Down on a free place of the table to a height in m; how many steps it took."""
    _, info = env.reset(seed=1)
    look.reset()
    steps = 0
    while env.arm.tool_position[2] > height or steps % 3:
        back = -0.6 if env.arm.tool_position[0] > 0.34 else 0.0
        plan = moved(x=back, z=0.0 if back else -0.6)
        look.step(*measured(info), plan, steps % 3)
        *_, info = env.step(plan[0])
        steps += 1
    return info, steps


def test_a_plan_through_the_air_meets_nothing(look, env):
    _, info = env.reset(seed=1)
    look.reset()
    row = dict(zip(COLUMNS, look.step(*measured(info), moved(y=0.3), 0), strict=True))
    assert row["steps_to_collision"] == NEVER
    assert all(row[name] == 0 for name in COLUMNS if name.startswith("force"))


def test_it_sees_where_the_tool_will_be(look, env):
    _, info = env.reset(seed=1)
    look.reset()
    plan = moved(x=0.2, y=-0.4, z=-0.3)
    row = dict(zip(COLUMNS, look.step(*measured(info), plan, 0), strict=True))
    for step in range(STEPS):
        *_, info = env.step(plan[step])
        if step + 1 in (5, 10, 15):
            seen = [row[f"tool_{axis}_at_{step + 1}"] for axis in "xyz"]
            np.testing.assert_allclose(seen, env.arm.tool_position, atol=5e-4)


def test_its_set_point_is_the_one_that_the_world_follows(look, env):
    """A command goes by where the tool was a physics step ago, however fast it moves."""
    _, info = env.reset(seed=1)
    look.reset()
    for plan in (moved(x=0.9, z=-0.6), moved(y=-0.9), moved(x=-0.9, z=0.9)):
        for step in range(5):
            row = dict(zip(COLUMNS, look.step(*measured(info), plan[step:], 0), strict=True))
            if step == 0:
                sent = [row[f"tool_{axis}_at_5"] + row[f"lag_{axis}_at_5"] for axis in "xyz"]
            *_, info = env.step(plan[step])
        np.testing.assert_allclose(sent, env.arm.target_position, atol=5e-4)  # half floats


def test_a_cube_that_is_grasped_low_is_not_pushed_out_of_the_table(look):
    env = PickPlaceEnv(physics=COMPLIANT, render_images=False)
    _, info = env.reset(seed=1)
    while env.arm.tool_position[2] > 0.013:
        *_, info = env.step(moved(z=-0.4)[0])
    for _ in range(10):
        *_, info = env.step(moved()[0])
    positions, velocities = info["joint_positions"].copy(), info["joint_velocities"]
    positions[7:] = CUBE_HALF_M
    look.reset()
    for _ in range(6):  # until the gripper counts as told to close
        told = look.step(positions, velocities, moved(gripper=CLOSED), 0)
    row = dict(zip(COLUMNS, told, strict=True))
    assert row["steps_to_collision"] == NEVER
    assert row["force_now"] <= row["force_until_15"] < np.log1p(50.0)


def test_a_collision_is_seen_before_any_contact_and_comes_when_it_was_seen(look, env):
    info, begun = down_to(look, env, 0.07)
    plan = moved(z=-1.0, gripper=CLOSED)
    first = None
    for step in range(begun, begun + 60):
        row = dict(zip(COLUMNS, look.step(*measured(info), plan, step % 3), strict=True))
        if first is None and row["steps_to_collision"] < NEVER:
            assert info["truth"]["surface_force_n"] == 0.0
            first = step, float(row["steps_to_collision"])
        *_, over, _, info = env.step(plan[0])
        if over:
            break
    assert info["failure_type"] is FailureType.COLLISION
    assert first is not None
    seen_at, steps = first
    assert info["failure_step"] - seen_at >= 6  # 0.2 s
    assert abs(seen_at + steps + 1 - info["failure_step"]) <= 2


def test_between_replans_what_was_seen_is_read_on(look, env):
    info, _ = down_to(look, env, 0.06)
    plan = moved(z=-1.0)
    rows = []
    for step in range(3):
        rows.append(dict(zip(COLUMNS, look.step(*measured(info), plan, step), strict=True)))
        *_, info = env.step(plan[step])
    first, *later = (row["steps_to_collision"] for row in rows)
    assert later == [first - 1, first - 2]
    assert first < NEVER
    assert rows[0]["force_until_15"] > rows[0]["force_until_3"]
    assert rows[2]["force_until_15"] == rows[0]["force_until_15"]  # nothing is seen behind its end
    assert rows[2]["tool_z_at_15"] == rows[0]["tool_z_at_15"]


def test_it_says_the_same_twice_whatever_came_before(look, env):
    _, info = env.reset(seed=1)
    plan = moved(x=0.1, z=-1.0)
    told = []
    for first in (moved(z=1.0), moved(y=1.0, gripper=CLOSED)):
        look.step(*measured(info), first, 0)
        look.reset()
        told.append(look.step(*measured(info), plan, 0))
    np.testing.assert_array_equal(*told)


def test_what_is_not_known_is_nan_and_it_begins_anew(look, env):
    _, info = env.reset(seed=1)
    plan = moved(z=-0.5)
    look.reset()
    first = look.step(*measured(info), plan, 0)
    positions, velocities = measured(info)
    blind = [
        (np.full(9, np.nan), velocities, plan, 1),
        (positions, np.full(9, np.inf), plan, 1),
        (positions, velocities, np.full_like(plan, np.nan), 1),
        (positions, velocities, plan, 16),
        (positions, velocities, plan, -1),
    ]
    for given in blind:
        look.reset()
        look.step(positions, velocities, moved(x=1.0), 0)
        assert np.isnan(look.step(*given)).all()
        np.testing.assert_array_equal(look.step(positions, velocities, plan, 0), first)


def test_fingers_that_hold_a_cube_are_held_up_by_it(look):
    """A cube that is set down carries the fingers; empty ones would press on the table."""
    env = PickPlaceEnv(physics=COMPLIANT, render_images=False)
    _, info = env.reset(seed=1)
    while env.arm.tool_position[2] > 0.05:
        *_, info = env.step(moved(z=-0.6)[0])
    positions, velocities = info["joint_positions"].copy(), info["joint_velocities"]
    told = {}
    for name, half in (("holds", 0.022), ("empty", 0.0)):
        look.reset()
        positions[7:] = half
        for _ in range(6):  # until the gripper counts as told to close
            look.step(positions, velocities, moved(gripper=CLOSED), 0)
        plan = moved(z=-0.5, gripper=CLOSED)
        told[name] = dict(zip(COLUMNS, look.step(positions, velocities, plan, 0), strict=True))
    assert told["holds"]["lowest_tool_z"] > told["empty"]["lowest_tool_z"] + 0.005
    assert told["holds"]["force_until_15"] < told["empty"]["force_until_15"]


@pytest.mark.parametrize("x", [0.0, 1.0])  # far out: joints come to their limits
def test_quick_inverse_kinematics_are_those_of_the_world(x):
    model = load_scene(COMPLIANT)
    commands = np.random.default_rng(0).uniform(-0.5, 0.5, (60, 7))
    commands[:, 0] += x
    found = []
    for quick in (False, True):
        data = mujoco.MjData(model)
        arm = Arm(model, data, COMPLIANT, quick=quick)
        arm.reset(np.array(HOME))
        for command in commands:
            arm.command(command)
            arm.drive(COMPLIANT.blend_substeps)
            data.qpos[:9] = data.ctrl  # it gets where it is sent
            mujoco.mj_forward(model, data)
            found.append(data.ctrl.copy())
    exact, quick = np.split(np.array(found), 2)
    np.testing.assert_allclose(quick, exact, atol=1e-9)
    margin = np.abs(exact[:, :7, None] - model.jnt_range[:7]).min()
    assert (margin < 1e-4) == bool(x)
