"""Each outcome is provoked by a script."""

import numpy as np
import pytest

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.causes import FailureCause
from salus_ros.worlds.metaworld.referee import LIFTED_M, RETRY_STEPS
from salus_ros.worlds.metaworld.tasks import TASKS

PICK_PLACE, PEG, ASSEMBLY, PUSH, BIN, SHELF, HAMMER, BOX = TASKS
CLOSED, OPEN = np.float32([0, 0, 0, 1]), np.float32([0, 0, 0, -1])


def play(world, act, steps=500):
    """Act until the episode ends, or for so many steps; the last info."""
    for _ in range(steps):
        *_, terminated, truncated, info = world.step(act())
        if terminated or truncated:
            break
    return info


def lift(world, expert, task, seed=1):
    """Let the expert lift the object 5 cm; at which height it lies."""
    world.reset(seed=seed, options={"task": task})
    rest = world.referee.object_position[2]
    for _ in range(200):
        *_, info = world.step(expert.act())
        high = world.referee.object_position[2] - rest > LIFTED_M + 0.02
        if high and world.referee.finger_forces_n.min() > 0:
            assert info["outcome"] is Outcome.UNKNOWN
            return rest
    raise AssertionError("the expert lifted nothing")


@pytest.mark.parametrize("task", TASKS)
def test_the_expert_succeeds(world, expert, task):
    _, info = world.reset(seed=0, options={"task": task})
    assert (info["task"], info["outcome"]) == (task, Outcome.UNKNOWN)
    info = play(world, expert.act)
    assert (info["outcome"], info["failure_step"]) == (Outcome.SUCCESS, -1)
    assert info["is_success"]
    assert info["truth"]["fixture_force_n"] == 0


def test_an_object_that_slips_from_closed_fingers_is_a_drop(world, expert):
    rest = lift(world, expert, BIN)
    friction, before = world._scene.model.geom_friction, world._steps
    held = friction.copy()
    friction[:] = 1e-4
    while world.referee.finger_forces_n.any():
        world.step(CLOSED)
    friction[:] = held
    info = play(world, lambda: CLOSED)
    assert world.referee.object_position[2] < rest + LIFTED_M
    assert (info["outcome"], info["failure_cause"]) == (Outcome.FAILURE, FailureCause.DROP)
    assert info["failure_type"] is FailureType.DROP
    assert before < info["failure_step"] < before + 60
    assert world._steps == info["failure_step"] + RETRY_STEPS


def test_an_object_that_is_let_go_is_a_misplaced_release(world, expert):
    lift(world, expert, ASSEMBLY)
    before = world._steps
    info = play(world, lambda: OPEN)
    assert info["failure_cause"] is FailureCause.MISPLACED_RELEASE
    assert info["failure_type"] is FailureType.DROP
    assert before < info["failure_step"] < before + 20


def test_an_object_that_is_lost_over_the_edge_is_a_drop(world, expert):
    lift(world, expert, BIN)
    world._scene.data.qpos[9:12] = (1.2, 0.7, 0.3)
    info = play(world, lambda: CLOSED)
    assert info["failure_cause"] is FailureCause.DROP


def test_a_loss_that_is_made_good_is_no_failure(world, expert):
    lift(world, expert, BIN)
    play(world, lambda: OPEN, 25)
    info = play(world, expert.act)
    assert (info["outcome"], info["losses"]) == (Outcome.SUCCESS, 1)


def test_a_second_loss_is_a_failure(world, expert):
    lift(world, expert, BIN)
    play(world, lambda: OPEN, 25)
    first = world._steps
    for _ in range(200):
        world.step(expert.act())
        if world.referee._lifted:
            break
    info = play(world, lambda: OPEN, 40)
    assert (info["failure_cause"], info["losses"]) == (FailureCause.MISPLACED_RELEASE, 2)
    assert info["failure_step"] > first


@pytest.mark.parametrize(
    ("task", "action"),
    [(SHELF, (0, 1, -0.5, -1)), (PEG, (-1, 0.3, -0.4, -1))],
    ids=["forward into the shelf", "sideways into the block"],
)
def test_pressing_on_what_is_fixed_is_a_collision(world, task, action):
    world.reset(seed=0, options={"task": task})
    forces = []

    def act():
        forces.append(world.referee.fixture_force_n)
        return np.float32(action)

    info = play(world, act)
    assert info["failure_cause"] is FailureCause.COLLISION
    assert info["failure_type"] is FailureType.COLLISION
    assert info["failure_step"] == world._steps
    assert min([*forces, info["truth"]["fixture_force_n"]][-4:]) > 20


def test_touching_the_table_is_no_collision(world):
    world.reset(seed=0, options={"task": PICK_PLACE})
    info = play(world, lambda: np.float32([0, 0, -1, -1]), 150)
    assert info["outcome"] is Outcome.UNKNOWN
    assert info["truth"]["fixture_force_n"] > 0


@pytest.mark.parametrize(
    ("action", "cause"), [(CLOSED, FailureCause.MISSED_GRASP), (OPEN, FailureCause.NO_PROGRESS)]
)
def test_time_that_is_up_is_a_timeout(world, action, cause):
    world.reset(seed=0, options={"task": HAMMER})
    info = play(world, lambda: action)
    assert (info["failure_cause"], info["failure_type"]) == (cause, FailureType.TIMEOUT)
    assert info["failure_step"] == world._steps == 500


def test_an_object_that_leaves_the_table_is_out_of_reach(world):
    world.reset(seed=0, options={"task": PUSH})
    world._scene.data.qpos[9:12] = (1.2, 0.7, 0.02)
    info = play(world, lambda: OPEN, 100)
    assert info["failure_cause"] is FailureCause.OUT_OF_REACH
    assert info["failure_type"] is FailureType.OTHER
