"""A recorded episode repeats from its seed and its actions, and one that does not is found out."""

from dataclasses import replace

import numpy as np
import pytest
from recordings import CONFIG

from salus_ros.collection.replay import STATE_ATOL_RAD, replay, world_of
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.worlds.faults import FAULTS
from salus_ros.worlds.mujoco.truth import COLUMNS
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import COMPLIANT, FIRST_ENV_ID, RIGID


@pytest.fixture(scope="module")
def env():
    """The world of the reference."""
    return PickPlaceEnv(physics=RIGID, render_images=False)


@pytest.fixture(scope="module")
def env_of_shipped():
    """It still is what the shipped episodes were recorded in."""
    return PickPlaceEnv(physics=COMPLIANT, render_images=False)


@pytest.fixture(scope="module", params=["standard", "shifted"])
def reader(request):
    return StoreReader(f"shipped:{request.param}")


def shipped(reader, chosen):
    """The first shipped episode that is so."""
    index = next(i for i, meta in enumerate(reader.episodes()) if chosen(meta))
    return reader.episode(index, images=False)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_shipped_episode_replays(env_of_shipped, reader, fault):
    episode = shipped(reader, lambda meta: meta.fault == fault)
    found = replay(env_of_shipped, episode, reader.spec.truth_names)
    assert found.repeats
    assert found.state_error_rad < STATE_ATOL_RAD
    rounded = 2.0 ** -(reader.spec.kept_bits + 1) * np.abs(episode.truth).max()
    assert 0 < found.truth_error <= rounded


@pytest.mark.parametrize("kind", FAILURE_TYPES)
def test_a_shipped_failure_is_the_same_failure(env_of_shipped, kind):
    reader = StoreReader("shipped:standard")
    found = replay(env_of_shipped, shipped(reader, lambda meta: meta.failure_type is kind))
    assert found.repeats
    assert found.outcome is Outcome.FAILURE


def test_a_collected_episode_repeats_with_its_truth(env, reference):
    for episode in reference.values():
        found = replay(env, episode)
        assert found.repeats
        assert (found.state_error_rad, found.truth_error) == (0.0, 0.0)
        assert found.failure_cause == episode.meta.failure_cause


def test_the_truth_is_compared_by_its_names(env, reference):
    episode = reference[0]
    turned = replace(episode, truth=episode.truth[:, ::-1])
    assert replay(env, turned, COLUMNS[::-1]).truth_error == 0.0
    assert replay(env, turned).truth_error > 0.1


def test_what_does_not_repeat_is_told(env, reference):
    episode = min(reference.values(), key=len)
    other = episode.action.copy()
    other[:, :3] = -other[:, :3]
    assert not replay(env, replace(episode, action=other)).repeats
    assert replay(env, replace(episode, action=other)).state_error_rad > 0.01
    late = np.concatenate([episode.state[1:], episode.state[:1]])
    found = replay(env, replace(episode, state=late))
    assert found.repeats
    assert found.state_error_rad > STATE_ATOL_RAD
    longer = {name: np.concatenate([a, a[-1:]]) for name, a in _rows(episode).items()}
    longer["stamp_ns"][-1] += 1
    assert not replay(env, replace(episode, **longer)).ended


def _rows(episode):
    names = ("action", "state", "stamp_ns", "signals", "signals_valid", "signals_fresh")
    optional = (name for name in episode.__slots__ if name not in ("meta", "images"))
    return {n: getattr(episode, n) for n in {*names, *optional} if getattr(episode, n) is not None}


def test_only_episodes_of_one_built_in_world_with_seeds_can_be_run_again(reference):
    meta = reference[0].meta
    assert world_of([meta, replace(meta, world="")]) == CONFIG.env_id == FIRST_ENV_ID
    for others in ([replace(meta, world="a/Robot-v0")], [meta, replace(meta, world="b")], []):
        with pytest.raises(ConfigError, match="can be run again"):
            world_of(others)
    with pytest.raises(ConfigError, match="has no seed"):
        world_of([meta, replace(meta, seed=-1)])
