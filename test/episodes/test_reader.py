import shutil

import numpy as np
import pytest
import zarr
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.files import STRICT

KINDS = (FailureType.DROP, FailureType.NONE, FailureType.TIMEOUT)


@pytest.fixture
def path(tmp_path):
    return make_store(tmp_path / "a.zarr", KINDS, WITH_IMAGES, lengths=(8, 20))


def test_rows_cover_every_step_once(path):
    reader = StoreReader(path)
    rows = [reader.rows(index) for index in range(3)]
    assert rows[0].start == 0
    assert [part.stop for part in rows] == reader.episode_ends.tolist()
    assert [part.start for part in rows[1:]] == [part.stop for part in rows[:-1]]


def test_table_has_one_row_per_episode(path):
    table = StoreReader(path).table()
    assert {len(column) for column in table.values()} == {3}
    assert table["outcome"].tolist() == [Outcome.FAILURE, Outcome.SUCCESS, Outcome.FAILURE]
    assert table["length"].sum() == StoreReader(path).steps


def test_low_dimensional_arrays_are_read_without_the_images(path):
    reader = StoreReader(path)
    shutil.rmtree(path / "data" / "images_front")
    shutil.rmtree(path / "data" / "images_wrist")
    arrays = reader.to_numpy()
    assert not [name for name in arrays if "images" in name]
    assert {len(array) for array in arrays.values()} == {reader.steps}
    part = reader.to_numpy(["action"], reader.rows(1))["action"]
    np.testing.assert_array_equal(part, arrays["action"][reader.rows(1)])


def test_frames_of_some_steps(path):
    reader = StoreReader(path)
    whole = reader.frames("wrist", 1)
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(reader.frames("wrist", 1, slice(2, 7, 2)), whole[2:7:2])
    np.testing.assert_array_equal(reader.frames("wrist", 1, slice(-2, None)), whole[-2:])


def test_unknown_names_are_answered_with_the_known_ones(path):
    reader = StoreReader(path)
    with pytest.raises(StoreError, match="no camera 'top'; it has"):
        reader.frames("top", 0)
    with pytest.raises(StoreError, match="no episode 3; its episodes are 0 to 2"):
        reader.meta(3)
    with pytest.raises(StoreError, match="no episode -1"):
        reader.rows(-1)
    with pytest.raises(StoreError, match="no array \\['torque'\\]"):
        reader.to_numpy(["torque"])


def test_an_empty_store_is_readable(tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM).close()
    reader = StoreReader(tmp_path / "a.zarr")
    assert (len(reader), reader.steps, reader.episodes()) == (0, 0, [])
    assert reader.to_numpy()["signals"].shape == (0, 12)
    with pytest.raises(StoreError, match="it is empty"):
        reader.episode(0)


def test_refresh_takes_in_what_was_committed_since(path):
    reader = StoreReader(path)
    with EpisodeStore.open(path) as store:
        store.append(make_episode("new", 10, spec=WITH_IMAGES))
        assert len(reader) == 3
        assert reader.refresh() == 4
    assert reader.episode(3).meta.id == "new"


def test_arrays_that_were_read_before_show_what_was_committed_since(path):
    reader = StoreReader(path)
    reader.episode(2)
    new = make_episode("new", 10, spec=WITH_IMAGES)
    with EpisodeStore.open(path) as store:
        store.append(new)
    reader.refresh()
    np.testing.assert_array_equal(reader.episode(3).action, new.action)
    np.testing.assert_array_equal(reader.frames("front", 3), new.images["front"])


def test_an_episode_on_its_way_is_out_of_sight(path):
    group = zarr.open_group(path, mode="r+")
    array = group["data/action"]
    array.resize((array.shape[0] + 5, 7))
    group["meta/episode_ends"].resize((4,))  # enlarged, not yet filled in
    assert len(StoreReader(path)) == 3


@pytest.mark.parametrize("name", ["absent", "file", "folder", "group"])
def test_what_is_no_store_is_refused(tmp_path, name):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    zarr.create_group(tmp_path / "group")
    for use in (StoreReader, EpisodeStore.open):
        with pytest.raises(StoreError) as error:
            use(tmp_path / name)
        assert "give" in str(error.value)
        assert name in str(error.value)
    assert not list(tmp_path.glob("*.lock"))


def test_a_store_of_another_version_is_refused(path):
    for other in (1, 99):
        zarr.open_group(path, mode="r+").attrs["schema_version"] = other
        for use in (StoreReader, EpisodeStore.open):
            with pytest.raises(StoreError, match=f"schema version {other}.* or record it again"):
                use(path)


def damage_attributes(path):
    (path / "zarr.json").write_text('{"zarr_format": 3')


def damage_sizes(path):
    zarr.open_group(path, mode="r+").attrs["image_size"] = "large"


def damage_array(path):
    shutil.rmtree(path / "data" / "signals")


def damage_array_metadata(path):
    (path / "data" / "signals" / "zarr.json").write_text("")


def damage_row_shape(path):
    group = zarr.open_group(path, mode="r+")
    del group["data/signals"]
    group.create_array("data/signals", shape=(1000, 11), dtype="f4")


def damage_length(path):
    array = zarr.open_group(path, mode="r+")["data/signals"]
    array.resize((array.shape[0] - 1, 12))


def damage_ends(path):
    zarr.open_group(path, mode="r+")["meta/episode_ends"].with_config(STRICT)[1] = 1


@pytest.mark.parametrize(
    "damage",
    [
        damage_attributes,
        damage_sizes,
        damage_array,
        damage_array_metadata,
        damage_row_shape,
        damage_length,
        damage_ends,
    ],
)
def test_a_damaged_store_is_named_when_it_is_opened(path, damage):
    damage(path)
    for use in (StoreReader, EpisodeStore.open):
        with pytest.raises(StoreError):
            use(path)
    assert not path.with_name("a.zarr.lock").exists()


def test_lost_and_cut_chunks_are_errors_not_zeros(path):
    reader = StoreReader(path)
    chunk = next(file for file in (path / "data" / "action" / "c").rglob("*") if file.is_file())
    content = chunk.read_bytes()
    for left in (content[: len(content) // 2], b""):
        chunk.write_bytes(left)
        with pytest.raises(StoreError, match="damaged"):
            reader.to_numpy(["action"])
    chunk.unlink()
    with pytest.raises(StoreError, match="damaged"):
        reader.to_numpy(["action"])


def test_lost_and_cut_shards_are_errors_not_black_frames(path):
    reader = StoreReader(path)
    shard = next(
        file for file in (path / "data" / "images_front" / "c").rglob("*") if file.is_file()
    )
    content = shard.read_bytes()
    shard.write_bytes(content[: len(content) // 2])
    with pytest.raises(StoreError, match="images of episode"):
        [reader.frames("front", index) for index in range(3)]
    shard.unlink()
    with pytest.raises(StoreError, match="images of episode"):
        [reader.frames("front", index) for index in range(3)]
