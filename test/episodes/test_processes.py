"""Several processes on one store: a killed writer, two writers, a reader beside a writer."""

import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from synthetic_episodes import WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore, StoreReader

HERE = Path(__file__).parent.parent
ENVIRONMENT = os.environ | {"PYTHONPATH": f"{HERE}:{HERE.parent}"}
LENGTHS = (5, 9, 16, 3, 11, 7, 14, 6)  # shards hold 7 frames: most episodes share one

WRITER = """
import os, signal, sys
import zarr
from synthetic_episodes import WITH_IMAGES, make_episode
from salus_ros.episodes import EpisodeStore

path, fatal_share = sys.argv[1], float(sys.argv[2])
lengths = [int(n) for n in sys.argv[3].split(",")]
store = EpisodeStore.open_or_create(path, WITH_IMAGES)
writes, fatal_write = 0, -1
resize, setitem = zarr.Array.resize, zarr.Array.__setitem__

def count_and_die(function):
    def counted(*arguments):
        global writes
        if writes == fatal_write:
            os.kill(os.getpid(), signal.SIGKILL)
        writes += 1
        return function(*arguments)
    return counted

zarr.Array.resize = count_and_die(resize)
zarr.Array.__setitem__ = count_and_die(setitem)
for number, length in enumerate(lengths):
    before = writes
    store.append(make_episode(str(number), length, spec=WITH_IMAGES, seed=number))
    print("committed", number, flush=True)
    if number == 0 and fatal_share >= 0:
        fatal_write = writes + round(fatal_share * (writes - before - 1))
sys.stdin.read()
"""


def start_writer(path, lengths, fatal_share=-1.0):
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, path, str(fatal_share), ",".join(map(str, lengths))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=ENVIRONMENT,
    )


def assert_whole(reader, lengths):
    for number in range(len(reader)):
        expected = make_episode(str(number), lengths[number], spec=WITH_IMAGES, seed=number)
        episode = reader.episode(number)
        np.testing.assert_array_equal(episode.signals, expected.signals)
        np.testing.assert_array_equal(episode.stamp_ns, expected.stamp_ns)
        for camera, frames in expected.images.items():
            np.testing.assert_array_equal(episode.images[camera], frames)


# Share of an append's resizes and writes that are done: of data, of metadata, all but the last.
@pytest.mark.parametrize("fatal_share", [0.05, 0.4, 0.8, 1.0])
def test_a_writer_killed_while_appending_loses_only_that_episode(tmp_path, fatal_share):
    path = tmp_path / "a.zarr"
    writer = start_writer(path, LENGTHS[:3], fatal_share)
    output, _ = writer.communicate("", timeout=120)
    assert writer.returncode == -9
    assert output.split() == ["committed", "0"]
    assert_whole(reader := StoreReader(path), LENGTHS)
    assert len(reader) == 1

    with EpisodeStore.open(path, WITH_IMAGES) as store:  # its lock is stale, its rows are trimmed
        assert len(store) == 1
        assert store._group["data/action"].shape[0] == store.steps == LENGTHS[0]
        for number in (1, 2):
            store.append(make_episode(str(number), LENGTHS[number], spec=WITH_IMAGES, seed=number))
    assert_whole(reader := StoreReader(path), LENGTHS)
    assert len(reader) == 3


def test_a_reader_sees_whole_episodes_while_another_process_writes(tmp_path):
    path = tmp_path / "a.zarr"
    EpisodeStore.create(path, WITH_IMAGES).close()
    reader = StoreReader(path)
    writer = start_writer(path, LENGTHS)
    seen = {0}
    try:
        while len(reader) < len(LENGTHS) and writer.poll() is None:
            seen.add(reader.refresh())
            assert_whole(reader, LENGTHS)
    finally:
        writer.communicate("", timeout=120)
    assert writer.returncode == 0
    reader.refresh()
    assert_whole(reader, LENGTHS)
    assert len(reader) == len(LENGTHS)
    assert len(seen) > 2  # it was read in between, too


def test_a_second_writer_is_refused_by_name_and_takes_over_after_a_kill(tmp_path):
    path = tmp_path / "a.zarr"
    writer = start_writer(path, LENGTHS[:1])
    try:
        assert writer.stdout.readline().split() == ["committed", "0"]
        with pytest.raises(StoreError, match=f"written by process {writer.pid} on "):
            EpisodeStore.open(path)
    finally:
        writer.kill()
        writer.communicate()
    lock = tmp_path / "a.zarr.lock"
    assert json.loads(lock.read_text())["pid"] == writer.pid  # left behind, and stale
    with EpisodeStore.open(path) as store:
        assert len(store) == 1
        assert json.loads(lock.read_text())["pid"] == os.getpid()
    assert not lock.exists()


def test_two_writers_in_one_process_are_refused_too(tmp_path):
    path = make_store(tmp_path / "a.zarr", [FailureType.NONE])
    with EpisodeStore.open(path):
        for use in (EpisodeStore.open, lambda p: EpisodeStore.create(p, WITH_IMAGES)):
            with pytest.raises(StoreError, match=f"process {os.getpid()}"):
                use(path)
    EpisodeStore.open(path).close()


def test_of_many_writers_at_once_exactly_one_gets_the_store(tmp_path):
    path = make_store(tmp_path / "a.zarr", [FailureType.NONE])
    barrier = threading.Barrier(8)
    opened, refused = [], []

    def work():
        barrier.wait()
        try:
            opened.append(EpisodeStore.open(path))
        except StoreError:
            refused.append(1)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(opened), len(refused)) == (1, 7)
    opened[0].close()


def test_unfinished_files_of_a_killed_writer_are_removed(tmp_path):
    path = make_store(tmp_path / "a.zarr", [FailureType.NONE])
    unfinished = path / "data" / "action" / "c" / "0.1234.partial"
    unfinished.write_bytes(b"half")
    EpisodeStore.open(path).close()
    assert not unfinished.exists()
    assert len(StoreReader(path)) == 1


def test_one_lock_however_the_folder_is_spelled(tmp_path, monkeypatch):
    path = make_store(tmp_path / "a.zarr", [FailureType.NONE])
    (tmp_path / "link").symlink_to(path)
    monkeypatch.chdir(path)
    with EpisodeStore.open("."):
        for spelled in (path, tmp_path / "link", "../a.zarr"):
            with pytest.raises(StoreError, match="being written"):
                EpisodeStore.open(spelled)
