"""The episodes that come with the package are what the documentation says they are."""

from collections import Counter

import numpy as np
import pytest

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FAILURE_TYPES, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.episodes.shipped import STORES, shipped
from salus_ros.worlds.panda import CAMERAS

SIZE_LIMIT_MB = 40
LEAST_SHARE = 0.05
"""Of each failure type; collisions and other ones are the rarest."""


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
    assert len({meta.policy_id for r in readers.values() for meta in r.episodes()}) == 1
    assert {meta.condition for meta in readers["standard"].episodes()} == {"standard"}
    assert {meta.condition for meta in readers["shifted"].episodes()} == {"shifted"}


@pytest.mark.parametrize("name", ["standard", "shifted"])
def test_every_way_to_fail_is_there(readers, name):
    metas = readers[name].episodes()
    failures = Counter(m.failure_type for m in metas if m.outcome is Outcome.FAILURE)
    for kind in FAILURE_TYPES:
        assert failures[kind] >= LEAST_SHARE * len(metas), kind
    faults = Counter(meta.fault for meta in metas)
    for fault in ("force", "noise", "slip"):
        assert 0.05 < faults[fault] / len(metas) < 0.15


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
