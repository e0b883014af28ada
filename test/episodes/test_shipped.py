"""The episodes that come with the package are what the documentation says they are."""

from collections import Counter

import numpy as np
import pytest

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.episodes.shipped import STORES, shipped
from salus_ros.policies.checkpoint import policy_id
from salus_ros.policies.tiny import SHIPPED, shipped_policy
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import ENV_ID, FIRST_ENV_ID

SIZE_LIMIT_MB = 60
LEAST_SHARE = {
    FailureType.DROP: 0.02,
    FailureType.COLLISION: 0.1,
    FailureType.TIMEOUT: 0.1,
    FailureType.OTHER: 0,
}
"""Of each failure type; hardly any is of another kind."""


@pytest.fixture(scope="module")
def readers():
    return {name: StoreReader(f"shipped:{name}") for name in STORES}


def test_there_are_as_many_as_promised_and_they_are_small(readers):
    assert len(readers["standard"]) >= 1000
    assert len(readers["shifted"]) >= 200
    assert len(readers["pictures"]) == 10
    assert sum(shipped(name).stat().st_size for name in STORES) <= SIZE_LIMIT_MB * 1e6


def test_no_episode_is_in_two_of_them(readers):
    seeds = [(m.condition, m.seed) for r in readers.values() for m in r.episodes()]
    assert len(seeds) == len(set(seeds))


def test_they_are_of_one_policy_and_of_the_condition_of_their_name(readers):
    learnt = [*readers["standard"].episodes(), *readers["shifted"].episodes()]
    assert {meta.policy_id for meta in learnt} == {policy_id(SHIPPED)}
    assert {meta.world for meta in learnt} == {ENV_ID}
    first = {policy_id(shipped_policy(FIRST_ENV_ID))}
    assert {meta.policy_id for meta in readers["pictures"].episodes()} == first
    assert {meta.condition for meta in readers["standard"].episodes()} == {"standard"}
    assert {meta.condition for meta in readers["shifted"].episodes()} == {"shifted"}


@pytest.mark.parametrize("name", ["standard", "shifted"])
def test_every_way_to_fail_is_there(readers, name):
    metas = readers[name].episodes()
    failures = Counter(m.failure_type for m in metas if m.outcome is Outcome.FAILURE)
    for kind in FAILURE_TYPES:
        assert failures[kind] >= LEAST_SHARE[kind] * len(metas), kind
    faults = Counter(meta.fault for meta in metas)
    for fault in ("force", "noise", "slip"):
        assert 0.02 < faults[fault] / len(metas) < 0.05


@pytest.mark.parametrize("name", STORES)
def test_nothing_is_missing_that_could_be_there(readers, name):
    reader = readers[name]
    arrays = reader.to_numpy(["signals", "signals_valid", "signals_fresh", "embedding", "action"])
    assert np.isfinite(arrays["embedding"]).all()
    assert np.isfinite(arrays["action"]).all()
    assert np.isfinite(arrays["signals"][arrays["signals_valid"]]).all()
    starts = np.concatenate([[0], reader.episode_ends[:-1]])
    assert arrays["signals_fresh"][starts].all()
    # What compares with the replan before is not there at the first; all else always is.
    later = np.ones(reader.steps, bool)
    for first in starts:
        later[first : first + 3] = False
    assert arrays["signals_valid"][later].all()


def test_pictures_have_images(readers):
    reader = readers["pictures"]
    for camera in CAMERAS:
        frames = reader.frames(camera, 0, slice(0, 2))
        assert frames.shape == (2, 256, 256, 3)
        assert frames.std() > 10


def test_an_unknown_name_is_refused_with_those_that_are_shipped():
    with pytest.raises(StoreError, match="'juggling' are shipped; there are standard, shifted"):
        StoreReader("shipped:juggling")
