"""A store with what is seen ahead: by however many workers, in however many runs."""

from dataclasses import replace

import numpy as np
import pytest
from lowered_arm import SPEC, lowered

from salus_ros.collection.lookahead import lookahead_store
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.prediction.lookahead import StepLookahead, look_ahead
from salus_ros.worlds.physics import ENV_ID, PHYSX_ENV_ID


@pytest.fixture(scope="module")
def episodes():
    return [lowered(str(seed), seed) for seed in range(4)]


def test_it_goes_on_with_what_the_store_has_got_since(episodes, tmp_path):
    given, out = tmp_path / "given.zarr", tmp_path / "out.zarr"
    with EpisodeStore.create(given, SPEC) as store:
        for episode in episodes[:2]:
            store.append(episode)
    told = []
    assert lookahead_store(StoreReader(given), out, on_episode=told.append) == 2
    with EpisodeStore.open_or_create(given, SPEC) as store:
        for episode in episodes[2:]:
            store.append(episode)
    reader = StoreReader(given)
    assert lookahead_store(reader, out, workers=2, on_episode=told.append) == 4
    assert told == [0, 1, 2, 2, 3, 4]
    made, look = StoreReader(out), StepLookahead(ENV_ID)
    assert made.spec.lookahead_cell == ENV_ID
    for index, episode in enumerate(episodes):
        again = made.episode(index)
        np.testing.assert_array_equal(again.lookahead, look_ahead(episode, SPEC, look).lookahead)
        np.testing.assert_array_equal(again.plan, episode.plan)
        assert repr(again.meta) == repr(reader.meta(index))


def test_what_cannot_be_looked_ahead_in_is_refused(episodes, tmp_path):
    def stored(name, spec, *some):
        with EpisodeStore.create(tmp_path / name, spec) as store:
            for one in some:
                store.append(one)
        return StoreReader(tmp_path / name)

    out = tmp_path / "out.zarr"
    with pytest.raises(ConfigError, match="no episode to look ahead in"):
        lookahead_store(stored("empty", SPEC), out)
    bare = replace(SPEC, plan_length=0)
    planless = replace(episodes[0], plan=None, plan_step=None)
    with pytest.raises(ConfigError, match="the episodes lack plan;"):
        lookahead_store(stored("planless", bare, planless), out)
    for world, said in (("another/World-v0", "another/World-v0"), ("", "they do not name")):
        elsewhere = episodes[0].named(replace(episodes[0].meta, world=world))
        with pytest.raises(ConfigError, match=f"ran in .*{said}; a cell of one of"):
            lookahead_store(stored(f"elsewhere{world[:3]}", SPEC, elsewhere), out)
    assert not out.exists()
    assert lookahead_store(stored("a", SPEC, episodes[0]), out) == 1
    with pytest.raises(StoreError, match="holds other episodes"):
        lookahead_store(stored("b", SPEC, episodes[1]), out)


def test_a_cell_is_the_same_whatever_engine_moved_it(episodes, tmp_path):
    with EpisodeStore.create(tmp_path / "given.zarr", SPEC) as store:
        for episode, world in zip(episodes, (ENV_ID, PHYSX_ENV_ID), strict=False):
            meta = replace(episode.meta, world=world, seed=-1)  # it is not run again
            store.append(episode.named(meta))
    assert lookahead_store(StoreReader(tmp_path / "given.zarr"), tmp_path / "out.zarr") == 2
    made = StoreReader(tmp_path / "out.zarr")
    assert made.spec.lookahead_cell == ENV_ID
    assert [meta.world for meta in made.episodes()] == [ENV_ID, PHYSX_ENV_ID]
    assert all(np.isfinite(made.episode(n).lookahead).all() for n in range(2))
