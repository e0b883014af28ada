"""The scripted behaviour, by what the arm feels and what it does not see."""

import numpy as np
import pytest
from sights import OPEN, sight

from salus_ros.recovery.behaviours.regrasp import LOOK_STEPS, SET_DOWN_STEPS, Regrasp
from salus_ros.worlds.expert import CARRY_M, RELEASE_M
from salus_ros.worlds.mujoco.workcell import nominal_workcell
from salus_ros.worlds.physics import COMPLIANT

PLATE = "put the red cube on the plate"
HELD, CLOSING, OPENING = 0.022, np.float32([0, 0, 0, 0, 0, 0, -1]), np.float32([0] * 6 + [1])


@pytest.fixture(scope="module")
def cell():
    return nominal_workcell(COMPLIANT)


@pytest.fixture
def regrasp(cell):
    behaviour = Regrasp(cell)
    behaviour.begin(sight(task=PLATE), seed=0)
    return behaviour


def holding(step, place):
    return sight(step, place, HELD, CLOSING, task=PLATE)


def over_the_plate(regrasp, cell):
    """It has carried a cube over the plate and begins to lower it."""
    place = cell.places["plate"][:2]
    for step in range(4):
        regrasp.act(holding(step, (*place, CARRY_M)))
    return place


@pytest.mark.parametrize(("above", "opens"), [(0.01, True), (0.04, False)])
def test_what_stands_is_let_go_though_it_sits_low_in_the_hand(regrasp, cell, above, opens):
    place = over_the_plate(regrasp, cell)
    height = RELEASE_M["plate"] + above
    for step in range(10, 10 + SET_DOWN_STEPS):
        assert not regrasp.act(holding(step, (*place, height)))[6] > 0
    assert (regrasp.act(holding(60, (*place, height)))[6] > 0) == opens


def test_what_still_sinks_is_not_let_go(regrasp, cell):
    place = over_the_plate(regrasp, cell)
    for sunk in range(2 * SET_DOWN_STEPS):
        height = RELEASE_M["plate"] + 0.019 - 2e-4 * sunk
        assert not regrasp.act(holding(10 + sunk, (*place, height)))[6] > 0


def test_an_empty_hand_that_sees_no_cube_gives_the_arm_back(regrasp):
    black = {name: np.zeros((256, 256, 3), np.uint8) for name in ("front", "side", "wrist")}
    steps = [
        sight(step, (0.5, 0.0, CARRY_M), OPEN, OPENING, task=PLATE, look=lambda: black)
        for step in range(LOOK_STEPS + 3)
    ]
    answers = [regrasp.act(one) for one in steps]
    assert answers[-1] is None
    assert all(answer is not None for answer in answers[:LOOK_STEPS])
