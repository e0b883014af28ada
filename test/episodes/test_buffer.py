"""Rows come in blocks of any size, files are written once."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import zarr
from synthetic_episodes import WITH_IMAGES, make_episode
from test_store import assert_same
from writing_process import steps
from zarr.storage import MemoryStore

from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.buffer import RowBuffer

SHARD = 7


class Counted:
    """An array that notes which rows are written."""

    def __init__(self):
        self.array = zarr.create_array(
            MemoryStore(), shape=(0, 2), chunks=(1, 2), shards=(SHARD, 2), dtype=np.int64
        )
        self.shards, self.chunks = self.array.shards, self.array.chunks
        self.written = []

    @property
    def shape(self):
        return self.array.shape

    def resize(self, shape):
        self.array.resize(shape)

    def __setitem__(self, rows, values):
        self.written.append((rows.start, rows.stop))
        self.array[rows] = values


@pytest.mark.parametrize("start", [0, 3, SHARD])
@pytest.mark.parametrize("block", [1, 2, SHARD, 10, 40])
def test_each_file_is_written_once_whatever_the_blocks(start, block):
    array, rows = Counted(), np.arange(80).reshape(40, 2)
    array.resize((start, 2))
    buffer = RowBuffer(array, start)
    for first in range(0, 40, block):
        part = rows[first : first + block].copy()
        buffer.add(part)
        part[:] = -1  # the block is used again
    buffer.flush()
    buffer.flush()
    np.testing.assert_array_equal(array.array[start:], rows)
    files = [first // SHARD for first, _ in array.written]
    assert files == sorted(set(files))
    assert all((last - 1) // SHARD == first // SHARD for first, last in array.written)


def bytes_written():
    return int(Path("/proc/self/io").read_text().split("wchar:")[1].split()[0])


@pytest.mark.parametrize("block", [1, 3, 50])
def test_no_more_is_written_than_the_store_holds(tmp_path, block):
    spec = replace(WITH_IMAGES, image_size=(48, 64), shard_steps=20)
    episode = make_episode("0", 150, spec=spec)
    with EpisodeStore.create(tmp_path / "a.zarr", spec) as store:
        before = bytes_written()
        for first in range(0, len(episode), block):
            store.write(steps(episode, first, first + block))
        store.commit(episode.meta)
        written = bytes_written() - before
    held = sum(file.stat().st_size for file in store.path.rglob("*") if file.is_file())
    assert episode.images["front"].nbytes < held < written < 1.1 * held
    assert_same(StoreReader(store.path).episode(0), episode)


def test_a_store_with_larger_files_is_appended_to(tmp_path):
    """As those are that were made when the size of an image did not count."""
    first, second = (make_episode(str(n), 30, spec=WITH_IMAGES, seed=n) for n in range(2))
    with EpisodeStore.create(tmp_path / "a.zarr", replace(WITH_IMAGES, shard_steps=50)) as store:
        store.append(first)
    with EpisodeStore.open(store.path, WITH_IMAGES) as store:
        for start in range(0, 30, 4):
            store.write(steps(second, start, start + 4))
        store.commit(second.meta)
    assert (store.spec.shard_steps, len(StoreReader(store.path))) == (50, 2)
    assert_same(StoreReader(store.path).episode(0), first)
    assert_same(StoreReader(store.path).episode(1), second)
