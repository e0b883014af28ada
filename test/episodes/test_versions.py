"""Stores of schema version 2, as some that ship are: without what `SINCE` names."""

import shutil

import numpy as np
import pytest
import zarr
from synthetic_episodes import WITH_IMAGES, make_episode, make_store
from test_store import KINDS, assert_same
from zarr.core.attributes import Attributes

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.layout import SCHEMA_VERSION, SINCE
from salus_ros.episodes.pack import pack, select_episodes
from salus_ros.episodes.shipped import shipped
from salus_ros.episodes.verify import verify


@pytest.fixture
def old(tmp_path):
    """A store as version 2 wrote it."""
    path = make_store(tmp_path / "a.zarr", KINDS, WITH_IMAGES)
    for name in SINCE:
        shutil.rmtree(path / "meta" / name)
    zarr.open_group(path, mode="r+").attrs["schema_version"] = 2
    return path


def version(path):
    return zarr.open_group(path, mode="r").attrs["schema_version"]


def test_an_older_store_reads_and_its_sources_and_worlds_are_unknown(old, tmp_path):
    reader = StoreReader(old)
    assert {(meta.source, meta.world) for meta in reader.episodes()} == {("", "")}
    assert verify(old).problems == ()
    assert version(old) == 2
    packed = pack(select_episodes([old]), tmp_path / "a.zarr.zip").path
    assert version(zarr.storage.ZipStore(packed)) == SCHEMA_VERSION
    assert_same(StoreReader(packed).episode(1), reader.episode(1))


def test_the_stores_that_ship_are_such():
    assert version(zarr.storage.ZipStore(shipped("pictures"))) == 2
    episode = StoreReader(shipped("pictures")).episode(0, images=False)
    assert episode.plan is episode.visual_embedding is episode.joint_position is None
    assert np.isfinite(episode.embedding).all()


def test_it_is_appended_to_and_then_of_this_version(old):
    reader = StoreReader(old)
    before = reader.episode(1)
    new = make_episode("new", 9, spec=WITH_IMAGES, source="sha256:12/0", world="a/B-v1")
    with EpisodeStore.open(old) as store:
        store.append(new)
        store.relabel(0, Outcome.FAILURE, FailureType.DROP, 1)
    assert (version(old), reader.refresh()) == (SCHEMA_VERSION, len(KINDS) + 1)
    assert [meta.source for meta in reader.episodes()] == [""] * len(KINDS) + ["sha256:12/0"]
    assert_same(reader.episode(1), before)
    assert_same(reader.episode(len(KINDS)), new)
    assert verify(old).problems == ()


def test_a_writer_killed_before_the_version_is_set_leaves_a_whole_store(old, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(Attributes, "update", _killed)
        with pytest.raises(KeyboardInterrupt):
            EpisodeStore.open(old)
    assert (old / "meta" / "source").exists()
    assert (version(old), len(StoreReader(old)), verify(old).problems) == (2, len(KINDS), ())
    EpisodeStore.open(old).close()
    found = (version(old), len(StoreReader(old)), verify(old).problems)
    assert found == (SCHEMA_VERSION, len(KINDS), ())


def _killed(*_):
    raise KeyboardInterrupt


def test_an_array_that_this_version_has_and_that_is_gone_is_damage(old):
    EpisodeStore.open(old).close()
    shutil.rmtree(old / "meta" / "source")
    with pytest.raises(StoreError, match="damaged"):
        StoreReader(old)
    assert [problem.array for problem in verify(old).problems] == ["meta/source"]


@pytest.mark.parametrize("dtype", ["float64", "int32"])
def test_ends_of_another_type_are_named(old, dtype):
    group = zarr.open_group(old)
    group.create_array("meta/episode_ends", shape=(4,), dtype=dtype, overwrite=True)
    with pytest.raises(StoreError, match=f"'meta/episode_ends' is {dtype}"):
        StoreReader(old)
    assert [problem.array for problem in verify(old).problems] == ["meta/episode_ends"]
