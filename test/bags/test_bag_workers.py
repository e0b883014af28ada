from dataclasses import replace

import numpy as np
import pytest
from written_bags import MAPPING, PERIOD_NS, START_NS, recording

from salus_ros.bags.convert import Converter
from salus_ros.bags.reading import Bag
from salus_ros.bags.workers import BagPool
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.episodes import EpisodeStore, StoreReader

MAPPING = replace(MAPPING, gap_s=1.0)
NAMES = ("b", "c", "a")
IDS = [f"{name}/{number}" for name in NAMES for number in range(2)]


@pytest.fixture
def bags(tmp_path):
    """Three bags of two episodes."""
    paths = []
    for place, name in enumerate(NAMES):
        made = recording(5, first=20 * place)
        made.messages += recording(4, START_NS + 50 * PERIOD_NS, first=20 * place + 10).messages
        paths.append(made.write(tmp_path / name))
    return paths


def ids(path):
    return [meta.id for meta in StoreReader(path).episodes()]


def one_by_one(bags, out, mapping=MAPPING):
    reports = []
    with Converter(mapping, out) as converter:
        for path in bags:
            with Bag(path) as bag:
                reports.append(converter.convert(bag))
    return reports


def assert_same(one, other):
    for index in range(len(one)):
        a, b = one.episode(index), other.episode(index)
        assert repr(a.meta) == repr(b.meta)
        for name in ("state", "action", "stamp_ns", "age_ms"):
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        np.testing.assert_array_equal(a.images["front"], b.images["front"])


def test_many_processes_write_what_one_does(bags, tmp_path):
    with Converter(MAPPING, tmp_path / "many.zarr") as converter:
        pool = BagPool(converter, bags, 2)
        with pool:
            reports = list(pool.reports())
            assert pool.processes == []
    assert reports == one_by_one(bags, tmp_path / "one.zarr")
    assert ids(tmp_path / "many.zarr") == IDS
    assert_same(StoreReader(tmp_path / "many.zarr"), StoreReader(tmp_path / "one.zarr"))


def test_a_worker_that_dies_loses_its_own_bag_only_and_that_is_said(bags, tmp_path):
    out = tmp_path / "out.zarr"
    with Converter(MAPPING, out) as converter, BagPool(converter, bags, 3) as pool:
        pool._start()
        pool.processes[1].kill()
        reports = list(pool.reports())
    assert [report["episodes"] for report in reports] == [2, 0, 2]
    assert "has died (exit code -9); 0 of its episodes are written" in reports[1]["problems"][0]
    assert ids(out) == [*IDS[:2], *IDS[4:]]
    again = one_by_one(bags, out)
    assert [report["known_episodes"] for report in again] == [2, 0, 2]
    assert sorted(ids(out)) == sorted(IDS)


def test_an_interruption_keeps_what_was_committed_and_leaves_no_process(
    bags, tmp_path, monkeypatch
):
    out, append = tmp_path / "out.zarr", Converter.append

    def interrupted(self, episode, spec):
        if episode.meta.id == IDS[3]:
            raise KeyboardInterrupt
        append(self, episode, spec)

    monkeypatch.setattr(Converter, "append", interrupted)
    with Converter(MAPPING, out) as converter:
        pool = BagPool(converter, bags, 2)
        with pytest.raises(KeyboardInterrupt), pool:
            list(pool.reports())
        assert not any(process.is_alive() for process in pool.processes)
    assert ids(out) == IDS[:3]
    monkeypatch.undo()
    assert [report["episodes"] for report in one_by_one(bags, out)] == [0, 1, 2]
    assert ids(out) == IDS


def test_bags_of_another_size_are_left_out_and_an_error_comes_through(bags, tmp_path):
    other = recording(5, size=(8, 8)).write(tmp_path / "other")
    out = tmp_path / "out.zarr"
    with Converter(MAPPING, out) as converter, BagPool(converter, [bags[0], other], 2) as pool:
        _, report = pool.reports()
    assert report["episodes"] == 0
    assert "8x8, the store takes 6x4" in str(report["problems"])
    mapping = replace(MAPPING, time="header")
    with (
        Converter(mapping, out) as converter,
        BagPool(converter, [other], 2) as pool,
        pytest.raises(ConfigError, match="use time: receive"),
    ):
        list(pool.reports())


def test_an_episode_that_cannot_be_written_ends_the_conversion(tmp_path, monkeypatch):
    def full(self, episode):
        raise StoreError("no space left")

    bag = recording(5).write(tmp_path / "bag")  # one episode: no other one comes after it
    monkeypatch.setattr(EpisodeStore, "append", full)
    with pytest.raises(StoreError, match="no space left"):
        one_by_one([bag], tmp_path / "one.zarr")
    with (
        Converter(MAPPING, tmp_path / "many.zarr") as converter,
        BagPool(converter, [bag], 2) as pool,
        pytest.raises(StoreError, match="no space left"),
    ):
        list(pool.reports())
