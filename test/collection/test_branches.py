"""Futures of a moment: the episode's own is what was recorded, the others know nothing of it."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from recordings import CONFIG, POLICY, run

from salus_ros.collection.branches import Branches, Start
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.worlds.mujoco import PHYSICS

V1 = replace(CONFIG, env_id="salus/PickPlace-v1", fault="none")
ALL = 1000
"""More actions than an episode has: to follow it to its end."""


@pytest.fixture(scope="module")
def branches():
    torch.set_num_threads(1)
    made = Branches(POLICY, CONFIG.env_id, 3)
    yield made
    made.close()


def play(branches, episode, step, starts, horizon=None):
    return branches.play(episode.meta, episode.action, episode.state[: step + 1], starts, horizon)


def assert_recorded(future, episode, step):
    """The future is the recorded one, to the last bit."""
    meta = episode.meta
    np.testing.assert_array_equal(future.actions, episode.action[step:])
    assert future.outcome is meta.outcome
    assert future.fate == (len(episode), meta.failure_type, meta.failure_step)


def test_with_the_episodes_own_noise_its_own_future_comes(branches, reference):
    shortest, faulty = min(reference.values(), key=len), reference[0]
    assert faulty.meta.fault_step < 60
    for episode, step in ((shortest, 0), (faulty, 60), (faulty, (len(faulty) - 1) // 3 * 3)):
        futures = play(branches, episode, step, [Start(None), Start(None, 3)])
        for future in futures:  # one was replayed there, one took over its state
            assert_recorded(future, episode, step)


@pytest.fixture(scope="module")
def compliant():
    return run(V1, (0,))[0]


def test_the_same_in_a_world_whose_sensors_are_noisy(compliant):
    made = Branches(POLICY, V1.env_id, 3)
    step = len(compliant) // 2 // 3 * 3
    own, followed, other = play(
        made, compliant, step, [Start(None), Start(None, 6), Start(7)], horizon=15
    )
    made.close()
    for future in (own, followed):
        np.testing.assert_array_equal(future.actions, compliant.action[step : step + 15])
        assert future.fate == (step + 15, FailureType.NONE, -1)
        assert future.outcome is Outcome.UNKNOWN
    assert not np.array_equal(other.actions[0], own.actions[0])


def test_noise_that_is_remembered_goes_on_from_that_of_the_plan():
    config = replace(CONFIG, noise_memory=30.0, fault="none")
    episode = run(config, (3,))[3]
    made = Branches(POLICY, config.env_id, 3, noise_memory=30.0)
    starts = [Start(None), Start(5), Start(5, 3)]
    own, other, planned = play(made, episode, 30, starts, horizon=9)
    made.close()
    np.testing.assert_array_equal(own.actions, episode.action[30:39])
    assert not np.array_equal(other.actions, own.actions)
    np.testing.assert_array_equal(planned.actions[:3], own.actions[:3])
    away, near = (np.abs(x.actions[3:6] - own.actions[3:6]).mean() for x in (other, planned))
    assert 0 < near < away


def test_new_noise_makes_futures_that_differ_and_repeat(branches, reference):
    episode = reference[0]
    starts = [Start(11), Start(12), Start(12, 3)]
    first, second, planned = play(branches, episode, 30, starts, horizon=15)
    assert not np.array_equal(first.actions[:3], second.actions[:3])
    np.testing.assert_array_equal(planned.actions[:3], episode.action[30:33])
    assert not np.array_equal(planned.actions[3:6], episode.action[33:36])
    again = play(branches, episode, 30, starts[1:], horizon=15)
    np.testing.assert_array_equal(again[0].actions, second.actions)


@pytest.fixture(scope="module")
def pushed():
    """An episode that a push ends."""
    config = replace(CONFIG, fault="force")
    for seed in range(20):
        episode = run(config, (seed,))[seed]
        if episode.meta.failure_type is FailureType.OTHER:
            return episode
    raise AssertionError("no push ended an episode")


def test_a_fault_that_has_not_begun_never_does_and_one_that_has_goes_on(branches, pushed):
    before = (pushed.meta.fault_step - 1) // 3 * 3
    starts = [Start(1, ALL), Start(None, ALL)]
    spared, fated = play(branches, pushed, before, starts, horizon=15)
    np.testing.assert_array_equal(spared.actions[:3], pushed.action[before : before + 3])
    assert spared.fate != fated.fate
    assert spared.fate.failure_type is not FailureType.OTHER
    assert_recorded(fated, pushed, before)
    begun = pushed.meta.fault_step
    (future,) = play(branches, pushed, begun, [Start(1, ALL)])
    assert_recorded(future, pushed, begun)


def test_a_future_is_played_until_no_loss_may_count_within_the_horizon(compliant, monkeypatch):
    made = Branches(POLICY, V1.env_id, 1)
    losses = {"step": -1}
    kind = type(made._envs[0].referee)
    monkeypatch.setattr(kind, "open_loss_step", property(lambda _: losses["step"]))
    lengths = []
    for losses["step"] in (-1, 37, 36, 12):  # none, after the horizon, within, before the moment
        (future,) = play(made, compliant, 30, [Start(None, ALL)], horizon=6)
        lengths.append(future.fate.length)
    made.close()
    assert lengths == [36, 36, len(compliant), len(compliant)]


def test_a_moment_that_is_not_the_recorded_one_is_refused(branches, reference):
    episode = reference[0]
    moved = replace(episode, state=episode.state + np.float32(1e-4))
    assert play(branches, moved, 30, [Start(1)], horizon=6) is None


def test_time_is_up_for_futures_as_for_episodes(branches, reference):
    late = next(e for e in reference.values() if e.meta.failure_type is FailureType.TIMEOUT)
    limit = PHYSICS[CONFIG.env_id].max_steps
    for future in play(branches, late, limit - 5, [Start(1), Start(2)], horizon=15):
        assert future.fate == (limit, FailureType.TIMEOUT, limit)
