import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import zarr
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store
from writing_process import steps

from salus_ros import __version__
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader, StoreSpec
from salus_ros.episodes.files import STRICT
from salus_ros.episodes.verify import verify

KINDS = (FailureType.DROP, FailureType.NONE, FailureType.TIMEOUT, FailureType.COLLISION)


def assert_same(read, written):
    for field in dataclasses.fields(written):
        expected, got = getattr(written, field.name), getattr(read, field.name)
        if field.name == "meta":
            np.testing.assert_equal(dataclasses.asdict(got), dataclasses.asdict(expected))
        elif field.name == "images":
            assert set(got) == set(expected)
            for camera in expected:
                np.testing.assert_array_equal(got[camera], expected[camera])
        elif expected is None:
            assert got is None or np.isnan(got).all()
        else:
            np.testing.assert_array_equal(got, expected)


def test_what_was_written_is_read(tmp_path):
    episodes = [
        make_episode(f"é{n}", 5 + 3 * n, kind, WITH_IMAGES, seed=n) for n, kind in enumerate(KINDS)
    ]
    live = dataclasses.replace(
        episodes[1],
        age_ms=np.array([[n, np.nan][n % 2] for n in range(8)])[:, None],
        probability=np.random.default_rng(0).random((8, 4, 4)),
        risk=np.linspace(0, 1, 8),
        alarm=np.array([0, 0, 0, 0, np.nan, 1, 1, 1]),
    )
    episodes[1] = live
    with EpisodeStore.create(tmp_path / "a.zarr", WITH_IMAGES) as store:
        assert [store.append(episode) for episode in episodes] == [0, 1, 2, 3]
    reader = StoreReader(tmp_path / "a.zarr")
    assert (len(reader), reader.steps) == (4, 5 + 8 + 11 + 14)
    assert reader.spec == WITH_IMAGES
    for index, episode in enumerate(episodes):
        assert_same(reader.episode(index), episode)


def test_a_store_without_images_or_embedding_is_legal(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS)
    reader = StoreReader(path)
    assert "embedding" not in reader
    assert reader.episode(2).images == {}
    assert reader.episodes()[2].failure_type == FailureType.TIMEOUT


def test_appending_goes_on_where_the_last_writer_stopped(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS[:2], WITH_IMAGES)
    before = StoreReader(path).episode(1)
    with EpisodeStore.open_or_create(path, WITH_IMAGES) as store:
        assert len(store) == 2
        store.append(make_episode("new", 9, spec=WITH_IMAGES))
    reader = StoreReader(path)
    assert [meta.id for meta in reader.episodes()] == ["0", "1", "new"]
    assert_same(reader.episode(1), before)


def test_arrays_are_those_a_replay_buffer_expects(tmp_path):
    """As diffusion_policy's ReplayBuffer: every array of data/ is sliced up to the last end."""
    path = make_store(tmp_path / "a.zarr", KINDS, WITH_IMAGES)
    root = zarr.open(path, mode="r")
    ends = root["meta"]["episode_ends"][:]
    data = {name: array[: ends[-1]] for name, array in root["data"].arrays()}
    meta = {name: array[:] for name, array in root["meta"].arrays()}
    assert {"action", "state", "images_front", "images_wrist", "signals"} <= set(data)
    assert {len(array) for array in data.values()} == {ends[-1]}
    assert set(root["data"].keys()) == set(data)  # no group among them
    assert {len(array) for array in meta.values()} == {len(KINDS)}
    assert ends.dtype == np.int64
    expected = StoreReader(path).episode(3)
    np.testing.assert_array_equal(data["action"][ends[2] : ends[3]], expected.action)
    np.testing.assert_array_equal(
        data["images_wrist"][ends[2] : ends[3]], expected.images["wrist"]
    )


def test_attributes_say_what_the_store_is(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS)
    attributes = zarr.open_group(path, mode="r").attrs
    assert attributes["schema_version"] == 4
    assert attributes["salus_version"] == __version__
    assert attributes["failure_type_codes"]["timeout"] == FailureType.TIMEOUT


def test_an_episode_of_another_size_is_refused_and_nothing_is_written(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS)
    with EpisodeStore.open(path) as store:
        for other in (
            make_episode(spec=dataclasses.replace(LOW_DIM, state_dim=6)),
            make_episode(spec=WITH_IMAGES),
            dataclasses.replace(make_episode(), embedding=np.zeros((30, 4))),
            dataclasses.replace(make_episode(), age_ms=np.zeros((30, 5))),
        ):
            with pytest.raises(StoreError, match="episode '0'"):
                store.append(other)
        assert len(store) == 4
        store.append(make_episode())
    assert len(StoreReader(path)) == 5


def test_sizes_that_differ_from_the_store_are_named(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS)
    with pytest.raises(StoreError) as error:
        EpisodeStore.open_or_create(path, dataclasses.replace(LOW_DIM, action_dim=6))
    assert "action_dim: store 7, given 6" in str(error.value)
    EpisodeStore.open_or_create(path, LOW_DIM).close()  # and the refusal left no lock behind


def test_create_refuses_a_folder_that_holds_something(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS)
    (tmp_path / "file").write_text("")
    for taken in (path, tmp_path / "file"):
        with pytest.raises(StoreError, match="exists already"):
            EpisodeStore.create(taken, LOW_DIM)
    (tmp_path / "empty").mkdir()
    EpisodeStore.create(tmp_path / "empty", LOW_DIM).close()


def test_a_place_that_cannot_be_written_is_a_clear_error():
    with pytest.raises(StoreError, match="cannot create"):
        EpisodeStore.create("/proc/nowhere/a.zarr", LOW_DIM)


def test_a_closed_store_takes_nothing_more(tmp_path):
    store = EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM)
    store.close()
    store.close()
    with pytest.raises(StoreError, match="closed"):
        store.append(make_episode())


def test_an_append_that_fails_leaves_the_store_as_it_was(tmp_path, monkeypatch):
    path = make_store(tmp_path / "a.zarr", KINDS[:2], WITH_IMAGES)
    before = StoreReader(path).episode(1)
    with EpisodeStore.open(path) as store:
        with monkeypatch.context() as patch:
            patch.setattr(EpisodeStore, "_write_row", _no_space)
            with pytest.raises(StoreError, match="No space left"):
                store.append(make_episode("lost", 40, spec=WITH_IMAGES))
        assert len(StoreReader(path)) == 2
        store.append(make_episode("kept", 6, spec=WITH_IMAGES))
    reader = StoreReader(path)
    assert [meta.id for meta in reader.episodes()] == ["0", "1", "kept"]
    assert_same(reader.episode(1), before)
    assert_same(reader.episode(2), make_episode("kept", 6, spec=WITH_IMAGES))


def test_an_episode_grows_block_by_block_and_is_seen_when_committed(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS[:1], WITH_IMAGES)
    episode = make_episode("grown", 23, FailureType.DROP, WITH_IMAGES, seed=5)
    with EpisodeStore.open(path) as store:
        for start, stop in ((0, 3), (3, 17), (17, 23)):
            store.write(steps(episode, start, stop))
            assert len(StoreReader(path)) == 1
        assert (store.pending, store.steps_to_shard_end) == (23, 7 - (store.steps + 23) % 7)
        assert store.commit(episode.meta) == 1
        assert store.pending == 0
    assert_same(StoreReader(path).episode(1), episode)


def test_steps_that_are_discarded_leave_no_trace(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS[:1], WITH_IMAGES)
    kept = make_episode("kept", 6, spec=WITH_IMAGES)
    with EpisodeStore.open(path) as store:
        store.write(make_episode("dropped", 23, spec=WITH_IMAGES, seed=3))
        store.discard()
        with pytest.raises(StoreError, match="no steps"):
            store.commit(kept.meta)
        for block in (steps(kept, 0, 2), steps(kept, 2, 6)):
            store.write(block)
        store.commit(kept.meta)
    reader = StoreReader(path)
    assert [meta.id for meta in reader.episodes()] == ["0", "kept"]
    assert_same(reader.episode(1), kept)


def test_steps_that_were_never_committed_are_trimmed(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS[:1], WITH_IMAGES)
    before = StoreReader(path)
    with EpisodeStore.open(path) as store:
        store.write(make_episode("lost", 40, spec=WITH_IMAGES))
        assert store._group["data/images_front"].shape[0] > before.steps
    with EpisodeStore.open(path) as store:
        assert (len(store), store.pending) == (1, 0)
    for _, array in zarr.open_group(path)["data"].arrays():
        assert array.shape[0] == before.steps


def test_a_block_that_goes_back_in_time_is_refused(tmp_path):
    episode = make_episode("0", 20, spec=WITH_IMAGES)
    with EpisodeStore.create(tmp_path / "a.zarr", WITH_IMAGES) as store:
        store.write(steps(episode, 0, 10))
        with pytest.raises(StoreError, match="after step 9"):
            store.write(steps(episode, 9, 20))
        store.write(steps(episode, 10, 20))
        store.commit(episode.meta)
    assert_same(StoreReader(tmp_path / "a.zarr").episode(0), episode)


def test_a_disk_that_takes_no_more_drops_the_episode_in_flight(tmp_path, monkeypatch):
    path = make_store(tmp_path / "a.zarr", KINDS[:1], WITH_IMAGES)
    kept = make_episode("kept", 6, spec=WITH_IMAGES)
    with EpisodeStore.open(path) as store:
        store.write(make_episode("lost", 20, spec=WITH_IMAGES))
        later = make_episode("lost", 20, spec=WITH_IMAGES)
        later = dataclasses.replace(later, stamp_ns=later.stamp_ns + 10**12)
        with monkeypatch.context() as patch:
            patch.setattr(zarr.Array, "__setitem__", _no_space)
            with pytest.raises(StoreError, match="No space left"):
                store.write(later)
        assert store.pending == 0
        store.append(kept)
    assert_same(StoreReader(path).episode(1), kept)
    assert verify(path).problems == ()


def test_images_may_be_kept_as_jpeg(tmp_path):
    spec = dataclasses.replace(WITH_IMAGES, image_size=(48, 64), image_codec="jpeg")
    rng = np.random.default_rng(0)
    smooth = np.linspace(0, 255, 64)[None, :, None] * np.linspace(0.2, 1, 48)[:, None, None]
    frames = (smooth * rng.random((9, 1, 1, 3))).astype(np.uint8)
    episode = make_episode("0", 9, spec=spec)
    episode = dataclasses.replace(episode, images={"front": frames, "wrist": frames[::-1]})
    with EpisodeStore.create(tmp_path / "a.zarr", spec) as store:
        store.append(episode)
    code = (
        "import sys, numpy as np; from salus_ros.episodes import StoreReader;"
        "images = StoreReader(sys.argv[1]).episode(0).images;"
        "np.save(sys.argv[2], images['front'])"
    )
    out = tmp_path / "front.npy"  # by a process that has not heard of the codec yet
    subprocess.run([sys.executable, "-c", code, tmp_path / "a.zarr", out], check=True)
    read = np.load(out)
    assert read.shape == frames.shape
    assert np.abs(read.astype(int) - frames).max() <= 6
    assert not np.array_equal(read, frames)  # else the codec was not used
    assert verify(tmp_path / "a.zarr").problems == ()


def test_an_image_codec_that_does_not_exist_is_refused():
    with pytest.raises(StoreError, match="'gif' is not known; allowed are lossless, jpeg"):
        StoreSpec(state_dim=7, action_dim=7, image_codec="gif")


def _no_space(*_):
    raise OSError(28, "No space left on device")


def test_a_person_can_correct_the_outcome(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS)
    with EpisodeStore.open(path) as store:
        store.relabel(1, Outcome.FAILURE, FailureType.COLLISION, 4)
        store.relabel(0, Outcome.SUCCESS, FailureType.NONE, -1)
        with pytest.raises(StoreError, match="a failure has a type"):
            store.relabel(2, Outcome.SUCCESS, FailureType.DROP, -1)
        with pytest.raises(StoreError, match="lies after"):
            store.relabel(2, Outcome.FAILURE, FailureType.DROP, 1000)
        with pytest.raises(StoreError, match="no episode 9"):
            store.relabel(9, Outcome.SUCCESS, FailureType.NONE, -1)
    metas = StoreReader(path).episodes()
    assert (metas[1].outcome, metas[1].failure_type) == (Outcome.FAILURE, FailureType.COLLISION)
    assert metas[1].failure_step == 4
    assert (metas[0].outcome, metas[0].failure_step) == (Outcome.SUCCESS, -1)
    assert metas[2].failure_type == FailureType.TIMEOUT
    # The world's own words stay only with the type they belong to.
    assert [meta.failure_cause for meta in metas[:3]] == ["", "", "made-up timeout"]
    with EpisodeStore.open(path) as store:
        assert store.relabel(2, Outcome.FAILURE, FailureType.TIMEOUT, 3).failure_cause


def test_half_a_label_reads_as_unknown(tmp_path):
    path = make_store(tmp_path / "a.zarr", KINDS)
    zarr.open_group(path, mode="r+")["meta/outcome"].with_config(STRICT)[0] = Outcome.UNKNOWN
    reader = StoreReader(path)
    assert (reader.meta(0).failure_type, reader.meta(0).failure_cause) == (FailureType.NONE, "")
    assert not reader.meta(0).labelled
    assert reader.table()["failure_step"][0] == -1
