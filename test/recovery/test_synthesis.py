"""A trajectory made of another one, in a cell whose first three joints are the tool's place."""

import numpy as np
import pytest
from sights import sight, tool_at

from salus_ros.core.errors import ConfigError, RecoveryError
from salus_ros.recovery.synthesis import Synthesis, synthesise
from salus_ros.worlds.workcell import Box, Workcell

STEP_M = 0.02
TABLE = Box(np.array([0.0, -0.5, 0.0]), np.array([1.0, 0.5, 0.6]))
POST = Box(np.array([0.55, -0.5, 0.0]), np.array([0.6, 0.5, 0.1]))
HOW = Synthesis(steps=20, blend_steps=0, speed=1.0)
FAR = np.array([0, 0, 0, 0, 0, 0, 1], np.float32)


def cell(**given):
    known = {"workspace": TABLE} | given
    return Workcell(
        lambda joints: tool_at(*joints[:3]),
        tool_at(0.5, 0, 0.36),
        {},
        {},
        STEP_M,
        0.1,
        0.02,
        **known,
    )


def straight(start, speed, steps=20, opens=1.0):
    """States and actions of a tool that moves along x at a share of the largest step."""
    actions = np.zeros((steps, 7), np.float32)
    actions[:, 0], actions[:, 6] = speed, opens
    states = np.zeros((steps, 7))
    states[:, :3] = np.asarray(start) + np.outer(np.arange(steps), [STEP_M * speed, 0, 0])
    return states, actions


def places(start, actions):
    return np.asarray(start) + STEP_M * np.cumsum(actions[:, :3], axis=0)


def test_on_the_other_s_path_it_does_what_the_other_did():
    states, actions = straight((0.5, 0.0, 0.2), 0.5)
    found = synthesise(sight(), states, actions, cell(), HOW)
    np.testing.assert_allclose(found, actions, atol=1e-6)


def test_beside_the_path_it_is_pulled_to_it_a_share_each_step():
    states, actions = straight((0.5, 0.02, 0.2), 0.2)
    found = synthesise(sight(), states, actions, cell(), HOW)
    beside = states[-1, 1] - places((0.5, 0.0, 0.2), found)[:, 1]
    np.testing.assert_allclose(beside, 0.02 * 0.7 ** np.arange(1, 21), atol=1e-6)
    assert found[0, 1] == pytest.approx(0.3)  # 0.3 of one largest step


def test_it_never_moves_faster_than_allowed_and_goes_over_from_the_last_action():
    states, actions = straight((0.6, 0.1, 0.2), 1.0)
    how = Synthesis(steps=20, blend_steps=3)
    last = np.array([0, 0.4, 0, 0, 0, 0, 1], np.float32)
    found = synthesise(sight(last=last), states, actions, cell(), how)
    assert np.abs(found[:, :6]).max() == pytest.approx(how.speed)
    whole = synthesise(
        sight(last=last), states, actions, cell(), Synthesis(steps=20, blend_steps=0, speed=1.0)
    )
    plain = actions[0].copy()  # and a difference vector
    plain[:3] += 0.3 * np.array([0.1, 0.1, 0.0]) / STEP_M
    mixed = 0.75 * last[:6] + 0.25 * plain[:6]
    np.testing.assert_allclose(found[0, :6], mixed * min(1, 0.6 / np.abs(mixed).max()), atol=1e-6)
    assert np.abs(whole[:, :6]).max() == pytest.approx(1.0)


def test_it_turns_towards_the_other_s_attitude():
    turned = tool_at(0.5, 0.0, 0.2)
    turned[:3, :3] = turned[:3, :3] @ np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])
    states, actions = straight((0.5, 0.0, 0.2), 0.0)
    found = synthesise(sight(tool=turned), states, actions, cell(), HOW)
    assert np.abs(found[0, 3:6]).max() == pytest.approx(1.0)  # 0.1 of a right angle, at its limit
    assert np.abs(found[-1, 3:6]).max() < 0.5


def test_what_may_be_held_stays_held():
    states, actions = straight((0.5, 0.0, 0.2), 0.2)
    closed = np.array([0, 0, 0, 0, 0, 0, -1], np.float32)
    held = synthesise(sight(last=closed, fingers=0.02), states, actions, cell(), HOW)
    empty = synthesise(sight(last=closed, fingers=0.0), states, actions, cell(), HOW)
    assert (held[:, 6] == -1).all()
    assert (empty[:, 6] == 1).all()


@pytest.mark.parametrize(
    ("given", "start", "speed", "why"),
    [
        ({}, (0.5, 0.0, 0.2), -1.0, ""),
        ({"workspace": None}, (0.5, 0.0, 0.2), 0.2, "not known"),
        ({}, (0.5, 0.0, 0.6), 1.0, ""),
        ({}, (0.5, 0.0, -0.4), 0.5, r"leave the workspace at .* at step"),
        ({"keep_out": {"post": POST}}, (0.5, 0.0, 0.05), 1.0, r"where the post may be"),
        ({"keep_out": {"post": POST}}, (0.5, 0.0, 0.2), 1.0, ""),
    ],
)
def test_the_way_must_be_free(given, start, speed, why):
    states, actions = straight(start, speed)
    if not why:
        assert len(synthesise(sight(), states, actions, cell(**given), HOW)) == 20
        return
    with pytest.raises(RecoveryError, match=why):
        synthesise(sight(), states, actions, cell(**given), HOW)


@pytest.mark.parametrize("wrong", [{"pull": 0.0}, {"speed": 1.5}, {"turn_pull": float("nan")}])
def test_shares_are_shares(wrong):
    with pytest.raises(ConfigError, match=f"{next(iter(wrong))} is"):
        Synthesis(**wrong)


def test_no_steps_are_no_trajectory():
    with pytest.raises(ConfigError, match="0 steps"):
        Synthesis(steps=0)
