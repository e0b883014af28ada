"""Episodes to compare with, and the comparison: everything recorded, to the last bit."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from salus_ros.collection.config import CollectionConfig
from salus_ros.collection.rollout import Rollout
from salus_ros.episodes import Episode
from salus_ros.episodes.store import EpisodeStore
from salus_ros.policies.tiny import shipped_policy
from salus_ros.worlds.physics import FIRST_ENV_ID

SEEDS = tuple(range(5))
POLICY = shipped_policy(FIRST_ENV_ID)
CONFIG = CollectionConfig(
    policy=POLICY, env_id=FIRST_ENV_ID, fault_rate=0.3, num_samples=2, envs=1
)
"""The first world, whose episodes are short."""

ARRAYS = ("action", "state", "signals", "signals_valid", "signals_fresh", "embedding", "age_ms")
ARRAYS += ("plan", "plan_step", "visual_embedding", "expert_embedding", "joint_position")


def run(config: CollectionConfig, seeds: Sequence[int | None]) -> dict[int, Episode]:
    """Episodes by seed; None stands for a while without one."""
    torch.set_num_threads(1)
    rollout = Rollout(config)
    episodes = {episode.meta.seed: episode for episode in rollout.run(iter(seeds))}
    rollout.close()
    return episodes


def write(path: Path, episodes: Sequence[Episode]) -> Path:
    """A store of episodes under `CONFIG`."""
    one = episodes[0]
    sizes = {
        "embedding_dim": one.embedding.shape[1],
        "plan_length": one.plan.shape[1],
        "visual_cameras": ("front", "side", "wrist"),
        "visual_dim": one.visual_embedding.shape[2],
        "expert_dim": one.expert_embedding.shape[1],
        "joint_names": tuple(f"joint{n}" for n in range(9)),
        "joint_quantities": ("position", "velocity", "effort"),
    }
    with EpisodeStore.open_or_create(path, CONFIG.store_spec(**sizes)) as store:
        for episode in episodes:
            store.append(episode)
    return path


def assert_same(a: Episode, b: Episode) -> None:
    """Two recordings of one episode differ in nothing but the time they took."""
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    np.testing.assert_array_equal(np.diff(a.stamp_ns), np.diff(b.stamp_ns))
    assert set(a.images) == set(b.images)
    for camera, frames in a.images.items():
        np.testing.assert_array_equal(frames, b.images[camera], err_msg=camera)
    same = {"wall_time_s": 0.0, "id": ""}
    assert repr(replace(a.meta, **same)) == repr(replace(b.meta, **same))  # NaN equals NaN here
