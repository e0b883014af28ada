import dataclasses
import shutil

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_store

from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore
from salus_ros.training.dataset import load_samples

KINDS = (FailureType.NONE, FailureType.DROP, FailureType.TIMEOUT)


@pytest.fixture
def path(tmp_path):
    return make_store(tmp_path / "a.zarr", KINDS)


def test_rows_and_labels_follow_the_episodes(path):
    samples = load_samples([path])
    assert len(samples.signals) == sum(record.length for record in samples.records)
    assert [record.stratum for record in samples.records] == ["success", "drop", "timeout"]
    of_drop = samples.labels[samples.episode == 1]
    assert of_drop[:, 3, 0].sum() == 15  # 0.5 s at 30 Hz
    assert of_drop[:, 0, 0].sum() == 6
    assert not of_drop[:, :, 1:].any()
    assert not samples.labels[samples.episode == 0].any()


def test_horizons_are_counted_at_the_rate_of_the_episode(tmp_path):
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(make_episode(kind=FailureType.DROP, rate_hz=10.0))
    assert load_samples([tmp_path / "a.zarr"]).labels[:, 3, 0].sum() == 5


def test_the_time_limit_is_where_episodes_failed_by_it(tmp_path):
    samples = load_samples([make_store(tmp_path / "a.zarr", KINDS[:2])])
    assert samples.time_limit == max(record.length for record in samples.records)
    with EpisodeStore.create(tmp_path / "b.zarr", LOW_DIM) as store:
        store.append(make_episode("0", 50, FailureType.TIMEOUT, failure_step=45))
        store.append(make_episode("1", 48))
    assert load_samples([tmp_path / "b.zarr"]).time_limit == 45


def test_steps_at_the_failure_or_without_a_signal_are_not_used(tmp_path):
    episode = make_episode(kind=FailureType.DROP, failure_step=20)
    valid = episode.signals_valid.copy()
    valid[3:6] = False
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(dataclasses.replace(episode, signals_valid=valid))
    usable = load_samples([tmp_path / "a.zarr"]).usable
    assert np.flatnonzero(~usable).tolist() == [3, 4, 5, *range(20, 30)]


def test_episodes_without_a_known_ending_are_left_out_and_counted(path):
    with EpisodeStore.open(path) as store:
        store.relabel(0, Outcome.UNKNOWN, FailureType.NONE, -1)
        store.relabel(1, Outcome.FAILURE, FailureType.DROP, -1)
    samples = load_samples([path])
    assert samples.unlabelled == 2
    assert [record.index for record in samples.records] == [2]
    with EpisodeStore.open(path) as store:
        store.relabel(2, Outcome.UNKNOWN, FailureType.NONE, -1)
    with pytest.raises(ConfigError, match="no labelled episode"):
        load_samples([path])


def test_an_episode_is_known_by_its_content_wherever_it_lies(path, tmp_path):
    shutil.copytree(path, tmp_path / "copy.zarr")
    samples = load_samples([path, tmp_path / "copy.zarr"])
    keys = [record.key for record in samples.records]
    assert keys[:3] == keys[3:]
    assert len(set(keys)) == 3


def test_data_hash_changes_with_a_label(path):
    before = load_samples([path]).data_hash()
    assert load_samples([path]).data_hash() == before
    with EpisodeStore.open(path) as store:
        store.relabel(0, Outcome.FAILURE, FailureType.OTHER, 3)
    assert load_samples([path]).data_hash() != before


def test_what_cannot_be_learnt_together_is_refused(path, tmp_path):
    other = dataclasses.replace(LOW_DIM, signals=tuple(f"s{n}" for n in range(12)))
    make_store(tmp_path / "b.zarr", KINDS, other)
    with pytest.raises(ConfigError, match="stores of one kind"):
        load_samples([path, tmp_path / "b.zarr"])
    with pytest.raises(ConfigError, match="no episode store was given"):
        load_samples([])
    with pytest.raises(StoreError, match="does not exist"):
        load_samples([tmp_path / "c.zarr"])


def test_columns_of_several_stores_are_matched_by_their_names(tmp_path):
    names = tuple(f"joint{number}" for number in range(LOW_DIM.state_dim))
    order = np.arange(LOW_DIM.state_dim)[::-1]
    paths = []
    for folder, places in (("a", np.arange(LOW_DIM.state_dim)), ("b", order)):
        spec = dataclasses.replace(LOW_DIM, state_names=tuple(names[place] for place in places))
        episode = make_episode("1", 20, FailureType.DROP, spec, 1)
        episode = dataclasses.replace(episode, state=episode.state[:, places])
        with EpisodeStore.create(tmp_path / folder, spec) as store:
            store.append(episode)
        paths.append(tmp_path / folder)
    samples = load_samples(paths)
    first, second = samples.slices
    np.testing.assert_array_equal(samples.state[first], samples.state[second])
