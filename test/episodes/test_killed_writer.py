import multiprocessing.forkserver
import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from synthetic_episodes import WITH_IMAGES, make_store
from test_store import assert_same
from writing_process import KINDS, labelled, unlabelled, write_for_ever

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.verify import verify

KILLS = int(os.environ.get("SALUS_TEST_KILLS", "15"))


@pytest.fixture(scope="module")
def processes():
    """Processes that have everything imported, so that a kill costs milliseconds.

    They are forked off a server of their own: that of other tests may be running already.
    """
    context = multiprocessing.get_context("forkserver")
    server = multiprocessing.forkserver.ForkServer()
    server.set_forkserver_preload(["writing_process"])
    with pytest.MonkeyPatch.context() as patch:
        connect = server.connect_to_new_process
        patch.setattr(multiprocessing.forkserver, "connect_to_new_process", connect)
        here = Path(__file__).parent
        paths = [str(here), str(here.parent), os.environ.get("PYTHONPATH", "")]
        patch.setenv("PYTHONPATH", os.pathsep.join(paths))  # of the server, which starts here
        warm_up = context.Process(target=int)
        warm_up.start()
        warm_up.join()
        yield context


def check_episodes(path, first=0):
    """Every episode from the first on is as it was written, labelled or not yet."""
    reader = StoreReader(path)
    for index in range(first, len(reader)):
        read, whole = reader.episode(index), labelled(index)
        known = read.meta.outcome != Outcome.UNKNOWN
        assert_same(read, whole if known else unlabelled(whole))
    return len(reader)


def test_a_writer_killed_at_any_instant_loses_at_most_the_episode_in_flight(tmp_path, processes):
    path, rng, committed = tmp_path / "a.zarr", random.Random(0), 0
    lives = 0
    while lives < KILLS or committed < KILLS // 3:  # on a busy machine it hardly gets to write
        life, lives = lives, lives + 1
        assert lives <= 10 * KILLS, "the writer never gets to write"
        writer = processes.Process(target=write_for_ever, args=(path, life))
        writer.start()
        time.sleep(rng.uniform(0.02, 1.0))
        writer.kill()
        writer.join()
        if not path.exists():
            continue
        found = check_episodes(path, max(0, committed - 5))
        assert found >= committed
        committed = found
        with EpisodeStore.open(path) as store:
            assert len(store) == committed
        assert verify(path).problems == ()
        assert list(path.rglob("*.partial")) == []
    check_episodes(path)


def test_readers_see_whole_episodes_while_a_store_grows(tmp_path, processes):
    path = tmp_path / "a.zarr"
    writer = processes.Process(target=write_for_ever, args=(path, 7))
    writer.start()
    kept, seen = None, 0
    try:
        while seen < 12:
            assert writer.is_alive()
            there = path.exists()  # looked at first: it may appear while the reader fails
            try:
                reader = StoreReader(path)
            except StoreError:
                assert not there
                continue
            kept = kept or reader
            assert len(reader) >= seen
            for index in range(seen, len(reader)):
                read = reader.episode(index)
                np.testing.assert_array_equal(read.action, labelled(index).action)
                np.testing.assert_array_equal(
                    read.images["front"], labelled(index).images["front"]
                )
            seen = len(reader)
    finally:
        writer.kill()
        writer.join()
    for index in range(len(kept)):  # opened long ago, and still what it was
        np.testing.assert_array_equal(kept.episode(index).state, labelled(index).state)


def test_one_reader_and_one_writer_share_a_process(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS[:1], WITH_IMAGES)
    stop, wrong = threading.Event(), []

    def read():
        while not stop.is_set():
            try:
                reader = StoreReader(path)
                reader.episode(len(reader) - 1)
            except Exception as error:  # noqa: BLE001 - told where the test can fail
                wrong.append(error)

    thread = threading.Thread(target=read)
    thread.start()
    with EpisodeStore.open(path) as store:
        for index in range(12):
            store.append(labelled(index))
    stop.set()
    thread.join()
    assert wrong == []
