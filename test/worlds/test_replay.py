"""The first world still is what the shipped episodes were recorded in."""

import numpy as np
import pytest

from salus_ros.core.failures import FailureType
from salus_ros.episodes import StoreReader
from salus_ros.worlds.faults import FAULTS
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import RIGID


@pytest.fixture(scope="module")
def env():
    return PickPlaceEnv(physics=RIGID, render_images=False)


@pytest.fixture(scope="module", params=["standard", "shifted"])
def reader(request):
    return StoreReader(f"shipped:{request.param}")


def replay(env, reader, index):
    """Do what was done in an episode; holds the measured joints to the recorded ones."""
    meta = reader.meta(index)
    options = {"task": meta.task, "fault": meta.fault, "condition": meta.condition}
    observation, info = env.reset(seed=meta.seed, options=options)
    assert info["fault_step"] == meta.fault_step
    recorded = reader.to_numpy(["action", "state"], reader.rows(index))
    ended = False
    for action, state in zip(recorded["action"], recorded["state"], strict=True):
        assert not ended
        # Not to the last bit: mathematical functions differ in it between processors.
        np.testing.assert_allclose(observation["agent_pos"], state, atol=1e-6)
        observation, _, terminated, truncated, info = env.step(action)
        ended = terminated or truncated
    assert ended
    return info


@pytest.mark.parametrize("fault", FAULTS)
def test_a_shipped_episode_replays(env, reader, fault):
    metas = reader.episodes()
    index = next(i for i, meta in enumerate(metas) if meta.fault == fault)
    info = replay(env, reader, index)
    meta = metas[index]
    assert info["outcome"] is meta.outcome
    assert info["failure_type"] is meta.failure_type
    assert info["failure_step"] == meta.failure_step


@pytest.mark.parametrize("kind", [kind for kind in FailureType if kind is not FailureType.NONE])
def test_a_shipped_failure_is_the_same_failure(env, kind):
    reader = StoreReader("shipped:standard")
    metas = reader.episodes()
    index = next(i for i, meta in enumerate(metas) if meta.failure_type is kind)
    info = replay(env, reader, index)
    assert (info["failure_type"], info["failure_step"]) == (kind, metas[index].failure_step)
    assert info["failure_cause"].failure_type is kind
