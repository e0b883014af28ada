"""Looking ahead step by step: the same live and of a recording, and what is refused."""

from dataclasses import replace

import numpy as np
import pytest
from lowered_arm import NAMES, SPEC, STEPS, lowered

from salus_ros.core.errors import ConfigError
from salus_ros.messages.signals import SignalsRow
from salus_ros.prediction.lookahead import StepLookahead, look_ahead, with_lookahead
from salus_ros.worlds.physics import ENV_ID


@pytest.fixture(scope="module")
def look():
    return StepLookahead(ENV_ID)


@pytest.fixture(scope="module")
def episode():
    return lowered("0", seed=3)


def said(episode, step):
    return SignalsRow(
        episode.signals[step],
        episode.signals_valid[step],
        fresh=True,
        embedding=np.zeros(0, np.float16),
        plan=episode.plan[step],
        plan_step=int(episode.plan_step[step]),
    )


def joints(episode, look, step):
    keys = [f"{q} {name}" for q in ("position", "velocity") for name in NAMES]
    values = np.concatenate((episode.joint_position[step], episode.joint_velocity[step]))
    by_key = dict(zip(keys, values, strict=True))
    return np.array([[by_key[key] for key in look.keys]], np.float32)


def test_live_it_sees_what_it_sees_of_a_recording(look, episode):
    recorded = look_ahead(episode, SPEC, look).lookahead
    assert recorded.shape == (STEPS, len(look.parts) - 1)
    assert np.isfinite(recorded).all()
    look.reset()
    for step in range(STEPS):
        live = look.read(said(episode, step), step, joints(episode, look, step))
        np.testing.assert_array_equal(live[0], recorded[step])
    assert len(np.unique(recorded[:, -1])) > 3  # the tool comes down


def test_a_gap_begins_anew_live_and_recorded(look, episode):
    gone = replace(episode, plan_step=episode.plan_step.copy())
    gone.plan_step[4] = np.nan
    recorded = look_ahead(gone, SPEC, look).lookahead
    assert np.isnan(recorded[4]).all()
    assert np.isfinite(np.delete(recorded, 4, axis=0)).all()
    look.reset()
    for step in (*range(4), *range(5, STEPS)):  # the message of step 4 never comes
        live = look.read(said(episode, step), step, joints(episode, look, step))
        np.testing.assert_array_equal(live[0], recorded[step])


def test_without_plan_or_joints_nothing_is_seen(look, episode):
    blind = joints(episode, look, 0)
    blind[0, 3] = np.nan
    row = said(episode, 0)
    assert look.read(row, 0, None) is None
    assert look.read(replace(row, plan=None), 0, joints(episode, look, 0)) is None
    assert look.read(row, 0, blind) is None
    assert look.read(replace(row, plan_step=16), 0, joints(episode, look, 0)) is None
    assert look.read(row, 0, joints(episode, look, 0)) is not None


def test_the_sizes_of_a_store_say_where_was_looked(look):
    spec = with_lookahead(SPEC, look)
    assert (spec.lookahead_cell, *spec.lookahead_names) == look.parts
    fewer = replace(SPEC, joint_quantities=("position",), joint_names=NAMES[1:], plan_length=0)
    with pytest.raises(ConfigError, match=r"lack panda_finger_joint2, joint_velocity, plan"):
        with_lookahead(fewer, look)


def test_a_model_is_given_what_it_was_trained_with(look):
    assert StepLookahead.of(look.parts).parts == look.parts
    with pytest.raises(ConfigError, match="train it again"):
        StepLookahead.of((*look.parts, "something else"))
    with pytest.raises(ConfigError, match="there is no cell 'kitchen'"):
        StepLookahead.of(("kitchen", "near"))
