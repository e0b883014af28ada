import multiprocessing
import os
import signal
from dataclasses import replace

import numpy as np
import pytest
from written_bags import MAPPING, PERIOD_NS, START_NS, recording

from salus_ros.bags import convert as convert_module
from salus_ros.bags.convert import Converter
from salus_ros.bags.mapping import Values
from salus_ros.bags.reading import Bag
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


def together(bags, out, workers=2, mapping=MAPPING):
    with Converter(mapping, out) as converter:
        return list(converter.convert_together(bags, workers))


def test_many_processes_write_what_one_does(bags, tmp_path):
    reports = together(bags, tmp_path / "many.zarr")
    assert multiprocessing.active_children() == []
    assert reports == one_by_one(bags, tmp_path / "one.zarr")
    assert ids(tmp_path / "many.zarr") == IDS
    assert_same(StoreReader(tmp_path / "many.zarr"), StoreReader(tmp_path / "one.zarr"))


def test_columns_are_matched_by_name_across_processes(tmp_path):
    """Each worker knows the joints of its own bag alone."""
    mapping = replace(MAPPING, state=Values("/joints"))
    first = recording(5).write(tmp_path / "first")
    swapped = recording(5, swap=True).write(tmp_path / "swapped")
    together([first, swapped], tmp_path / "out.zarr", mapping=mapping)
    reader = StoreReader(tmp_path / "out.zarr")
    assert reader.spec.state_names == ("a", "b")
    np.testing.assert_array_equal(reader.episode(0).state, reader.episode(1).state)


def dying_work(job, desk):
    """The real work, but that the second bag takes its process along."""
    for index in desk:
        if index == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        if index is not None:
            convert_module.convert_one(job, index, desk)


def test_a_bag_that_takes_its_worker_along_is_named(bags, tmp_path, monkeypatch):
    out = tmp_path / "out.zarr"
    monkeypatch.setattr(convert_module, "_work", dying_work)
    with Converter(MAPPING, out) as converter:
        reports = list(converter.convert_together(bags, 3))
    assert [report["episodes"] for report in reports] == [2, 0, 2]
    assert "has died (exit code -9); 0 of its episodes are written" in reports[1]["problems"][0]
    assert ids(out) == [*IDS[:2], *IDS[4:]]
    again = one_by_one(bags, out)
    assert [report["known_episodes"] for report in again] == [2, 0, 2]
    assert sorted(ids(out)) == sorted(IDS)


def test_an_interruption_keeps_what_was_committed_and_leaves_no_process(
    bags, tmp_path, monkeypatch
):
    out, commit = tmp_path / "out.zarr", EpisodeStore.commit

    def interrupted(self, meta):
        if meta.id == IDS[3]:
            raise KeyboardInterrupt
        return commit(self, meta)

    monkeypatch.setattr(EpisodeStore, "commit", interrupted)
    with pytest.raises(KeyboardInterrupt):
        together(bags, out)
    assert multiprocessing.active_children() == []
    assert ids(out) == IDS[:3]
    monkeypatch.undo()
    assert [report["episodes"] for report in one_by_one(bags, out)] == [0, 1, 2]
    assert ids(out) == IDS


def test_bags_of_another_size_are_left_out_and_an_error_comes_through(bags, tmp_path):
    other = recording(5, size=(8, 8)).write(tmp_path / "other")
    out = tmp_path / "out.zarr"
    _, report = together([bags[0], other], out)
    assert report["episodes"] == 0
    assert "image_size: store [4, 6], given [8, 8]" in str(report["problems"])
    with pytest.raises(ConfigError, match="use time: receive"):
        together([other], out, mapping=replace(MAPPING, time="header"))


def test_an_episode_that_cannot_be_written_ends_the_conversion(tmp_path, monkeypatch):
    def full(self, block):
        raise StoreError("no space left")

    bag = recording(5).write(tmp_path / "bag")
    monkeypatch.setattr(EpisodeStore, "write", full)
    with pytest.raises(StoreError, match="no space left"):
        one_by_one([bag], tmp_path / "one.zarr")
    with pytest.raises(StoreError, match="no space left"):
        together([bag], tmp_path / "many.zarr")
