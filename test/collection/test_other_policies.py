"""Policies of other kinds in the built-in world: what they lack, the store lacks."""

import numpy as np
import pytest
from other_policies import save_act

from salus_ros.collection.config import CollectionConfig
from salus_ros.collection.rollout import Rollout
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies import registry
from salus_ros.worlds.panda import ACTION_DIM, CAMERAS, IMAGE_SIZE, STATE_DIM


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_act(
        tmp_path_factory.mktemp("act") / "act",
        CAMERAS,
        state_dim=STATE_DIM,
        action_dim=ACTION_DIM,
        size=(IMAGE_SIZE, IMAGE_SIZE),
        use_vae=False,
    )


@pytest.mark.parametrize("own_tap", [True, False])
def test_an_episode_of_it_is_recorded(folder, monkeypatch, own_tap):
    if not own_tap:
        monkeypatch.setattr(registry, "OWN", {})  # its chunks alone
    config = CollectionConfig(
        policy=folder, replan_every=4, plan_samples=True, truth=False, fault="none", envs=1
    )
    rollout = Rollout(config)
    (episode,) = rollout.run(iter([3]))
    rollout.close()
    assert rollout.spec.embedding_dim == (32 if own_tap else 0)
    assert (rollout.spec.expert_dim, rollout.spec.plan_samples) == (0, 1)
    assert rollout.spec.visual_cameras == (CAMERAS if own_tap else ())
    assert episode.plan.shape == (len(episode), 10, ACTION_DIM)
    seen = {n for n, v in zip(SIGNAL_NAMES, episode.signals_valid.any(axis=0), strict=True) if v}
    assert seen == set(SIGNAL_NAMES) - set(rollout.unavailable)
    assert np.isnan(episode.signals[~episode.signals_valid]).all()
    assert episode.meta.outcome is not None
