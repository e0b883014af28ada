"""A reference for one's own policy, from the episodes that one has of it."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from recordings import POLICY
from synthetic_episodes import LOW_DIM, make_episode

from salus_ros.collection.reference import fit_reference
from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore
from salus_ros.policies.checkpoint import policy_id
from salus_ros.policies.reference import REFERENCE_FILE, LatentReference

WIDTH = 8
SPEC = replace(LOW_DIM, embedding_dim=WIDTH)
UNKNOWN = {"outcome": Outcome.UNKNOWN}


@pytest.fixture
def policy(tmp_path):
    """A checkpoint without a reference."""
    folder = tmp_path / "mine"
    shutil.copytree(POLICY, folder, ignore=shutil.ignore_patterns(REFERENCE_FILE))
    return folder


def write(path, episodes, spec=SPEC):
    with EpisodeStore.create(path, spec) as store:
        for episode in episodes:
            store.append(episode)
    return path


def episode(name, policy, spec=SPEC, seed=0, kind=FailureType.NONE, **meta):
    return make_episode(name, 30, kind, spec, seed, policy_id=policy_id(policy), **meta)


def test_it_is_fitted_to_the_replans_of_successful_episodes_of_all_stores(policy, tmp_path):
    good = [episode(str(i), policy, seed=i) for i in range(3)]
    failed = episode("3", policy, kind=FailureType.DROP)
    unknown = episode("4", policy, **UNKNOWN)
    stores = [
        write(tmp_path / "a.zarr", [good[0], failed, good[1]]),
        write(tmp_path / "b.zarr", [unknown, good[2]]),
    ]
    fitted = fit_reference(policy, stores)
    assert (fitted.episodes, fitted.replans, fitted.unknown) == (3, 30, 1)
    hidden = np.concatenate([e.embedding[::3] for e in good]).astype(np.float16)
    loaded = LatentReference.load(policy, WIDTH)
    np.testing.assert_allclose(loaded.mean, hidden.mean(axis=0, dtype=float), atol=1e-6)


def test_a_folder_may_have_been_renamed_since_but_not_the_weights_changed(policy, tmp_path):
    store = write(tmp_path / "a.zarr", [episode("0", policy)])
    renamed = policy.rename(tmp_path / "yours")
    assert fit_reference(renamed, [store]).episodes == 1
    (renamed / "model.safetensors").write_bytes(b"others")
    with pytest.raises(ConfigError, match=r"'0' of .*a\.zarr' was run by 'mine-.*'yours-"):
        fit_reference(renamed, [store])


def test_what_is_too_little_is_said(policy, tmp_path):
    failed = write(tmp_path / "a.zarr", [episode("0", policy, kind=FailureType.DROP)])
    with pytest.raises(PolicyError, match="0 hidden states of successful episodes are too few"):
        fit_reference(policy, [failed])
    bare = write(tmp_path / "b.zarr", [episode("0", policy, LOW_DIM)], LOW_DIM)
    with pytest.raises(PolicyError, match="has no hidden states"):
        fit_reference(policy, [bare])
    assert not (policy / REFERENCE_FILE).exists()


def test_the_command_takes_any_policy_and_any_stores(policy, tmp_path, salus):
    stores = [
        write(tmp_path / f"{name}.zarr", [episode(name, policy), episode("u", policy, **UNKNOWN)])
        for name in "ab"
    ]
    code, said, _ = salus("policy", "reference", policy, *stores)
    assert code == 0
    assert "reference of 2 successful episodes, 20 replans" in " ".join(said.split())
    assert "2 episodes of unknown outcome were left out" in " ".join(said.split())
    assert (policy / REFERENCE_FILE).is_file()
