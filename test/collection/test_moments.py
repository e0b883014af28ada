"""Moments by worker processes, and the file that keeps what was played."""

from dataclasses import asdict, replace

import pytest
from recordings import CONFIG, POLICY, write

from salus_ros.collection.branches import Branches
from salus_ros.collection.moments import (
    OBSERVERS,
    BranchConfig,
    Moment,
    PlayedMoments,
    check_policy,
    moment_pool,
    play_moment,
)
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import StoreReader
from salus_ros.evaluation.limits import Fate

MOMENTS = [Moment(0, 30), Moment(1, 60), Moment(0, 105, to_the_end=True)]


@pytest.fixture(scope="module")
def config(reference, tmp_path_factory):
    """Of a store of two episodes."""
    path = write(tmp_path_factory.mktemp("moments") / "a.zarr", [reference[0], reference[1]])
    return BranchConfig(str(path), POLICY, CONFIG.env_id, branches=2, horizon=6, seed=3)


def test_a_worker_plays_what_this_process_plays(config):
    with moment_pool(config, MOMENTS, 1) as pool:
        found = dict(pool.results())
    assert list(found) == MOMENTS
    branches = Branches(POLICY, config.env_id, 4)
    reader = StoreReader(config.store)
    assert play_moment(config, reader, branches, MOMENTS[0]) == found[MOMENTS[0]]
    check_policy(config, reader, branches, MOMENTS[0])
    branches.close()
    for moment, fates in found.items():
        assert set(fates) == set(OBSERVERS)
        lengths = [fate.length for name in OBSERVERS for fate in fates[name]]
        assert len(lengths) == 2 * config.branches
        assert min(lengths) > moment.step
    until_horizon, to_the_end = (
        [fate.length for name in OBSERVERS for fate in found[moment][name]]
        for moment in (MOMENTS[0], MOMENTS[2])
    )
    assert 36 in until_horizon
    assert 111 not in to_the_end


def test_noise_of_another_kind_than_was_recorded_is_refused(config):
    other = replace(config, noise_memory=30.0)
    branches = Branches(POLICY, config.env_id, 1, noise_memory=other.noise_memory)
    with pytest.raises(ConfigError, match=r"step 30 of episode 0 of .* memory of 30.0 steps"):
        check_policy(other, StoreReader(config.store), branches, MOMENTS[0])
    branches.close()


DROPPED, WELL = Fate(36, FailureType.DROP, 33), Fate(40, FailureType.NONE, -1)
FATES = {name: [DROPPED, WELL] for name in OBSERVERS}


def test_what_was_played_is_kept(config, tmp_path):
    path, settings = tmp_path / "played.jsonl", {"seed": 3, "horizon": 6}
    played = PlayedMoments(path, settings)
    played.add(MOMENTS[0], FATES)
    played.add(MOMENTS[2], None)
    with path.open("a") as file:
        file.write('[1, 60, false, {"sta')  # killed while it wrote
    again = PlayedMoments(path, settings)
    assert again.fates == {MOMENTS[0]: FATES, MOMENTS[2]: None}
    assert again.fates[MOMENTS[0]]["state"][0].failure_type is FailureType.DROP
    again.add(MOMENTS[1], FATES)
    assert list(PlayedMoments(path, settings).fates) == [MOMENTS[0], MOMENTS[2], MOMENTS[1]]
    assert PlayedMoments(None, asdict(config)).fates == {}


@pytest.mark.parametrize("held", ['{"seed": 4}\n', "something else\n"])
def test_a_file_of_other_settings_is_refused_and_left_alone(held, tmp_path):
    path = tmp_path / "played.jsonl"
    path.write_text(held)
    with pytest.raises(ConfigError, match=r"was begun with .* give the same options"):
        PlayedMoments(path, {"seed": 3})
    assert path.read_text() == held
