import dataclasses
import json
import multiprocessing
import os
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.pack import pack, select_episodes
from salus_ros.training.dataset import load_samples

KINDS = (FailureType.DROP, FailureType.NONE, FailureType.TIMEOUT)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """Two stores with images: more frames than a chunk holds, no episode on its border."""
    folder = tmp_path_factory.mktemp("recorded")
    for seed in (1, 2):
        make_store(folder / f"{seed}.zarr", KINDS, WITH_IMAGES, seed=seed, lengths=(20, 50))
    return folder


@pytest.fixture(scope="module")
def packed_once(recorded, tmp_path_factory):
    folder = tmp_path_factory.mktemp("packed")
    return pack(select_episodes([recorded / "1.zarr"]), folder / "a.zarr.zip").path


@pytest.fixture
def packed_file(packed_once, tmp_path):
    """The first store, packed."""
    return Path(shutil.copy(packed_once, tmp_path))


@pytest.fixture
def stores(recorded, tmp_path):
    """A copy of them."""
    shutil.copytree(recorded, tmp_path, dirs_exist_ok=True)
    return [tmp_path / "1.zarr", tmp_path / "2.zarr"]


def assert_same(episode, expected):
    np.testing.assert_equal(dataclasses.asdict(episode), dataclasses.asdict(expected))


def test_what_is_packed_is_what_was_recorded(stores, tmp_path):
    done = []
    chosen = select_episodes(stores)
    packed = pack(chosen, tmp_path / "a.zarr.zip", on_episode=done.append)
    reader = StoreReader(packed.path)
    sources = [StoreReader(store) for store in stores]
    assert reader.spec == sources[0].spec
    assert (packed.episodes, packed.steps) == (len(reader), reader.steps) == (6, reader.steps)
    assert reader.steps == sum(source.steps for source in sources)
    for index in range(6):
        assert_same(reader.episode(index), sources[index // 3].episode(index % 3))
    assert done == [1, 2, 3, 4, 5, 6]
    assert reader.refresh() == 6
    assert load_samples(stores).data_hash() == load_samples([packed.path]).data_hash()


def test_jpeg_frames_lose_nothing_more(tmp_path):
    spec = dataclasses.replace(WITH_IMAGES, image_codec="jpeg")
    store = make_store(tmp_path / "a.zarr", KINDS, spec, lengths=(20, 50))
    reader = StoreReader(pack(select_episodes([store]), tmp_path / "a.zarr.zip").path)
    assert reader.spec.image_codec == "lossless"
    for index in range(len(KINDS)):
        assert_same(reader.episode(index), StoreReader(store).episode(index))


def test_the_file_is_plain_zarr_and_each_entry_is_written_once(stores, tmp_path):
    path = pack(select_episodes(stores), tmp_path / "a.zarr.zip").path
    with zipfile.ZipFile(path) as content:
        names = content.namelist()
        assert len(names) == len(set(names))
        assert content.testzip() is None
    root = zarr.open_group(zarr.storage.ZipStore(path), mode="r")
    first = StoreReader(stores[0])
    np.testing.assert_array_equal(root["data/action"][: first.steps], first.to_numpy()["action"])
    codecs = {
        codec["name"]
        for name in names
        if name.endswith("zarr.json") and name.count("/") == 2
        for codec in root[name.removesuffix("/zarr.json")].metadata.to_dict()["codecs"]
    }
    assert codecs <= {"transpose", "bytes", "blosc", "zstd", "vlen-utf8"}


def test_sizes_are_told_by_array(stores, tmp_path):
    packed = pack(select_episodes(stores), tmp_path / "a.zarr.zip")
    assert packed.size_bytes == packed.path.stat().st_size
    images = [size for name, size in packed.array_bytes.items() if "images" in name]
    assert len(images) == 2
    assert sum(packed.array_bytes.values()) < packed.size_bytes


def test_still_frames_cost_next_to_nothing(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (8, 6, 3), dtype=np.uint8)
    episode = dataclasses.replace(
        make_episode(length=60, spec=WITH_IMAGES),
        images={camera: np.tile(noise, (60, 1, 1, 1)) for camera in WITH_IMAGES.cameras},
    )
    with EpisodeStore.create(tmp_path / "a.zarr", WITH_IMAGES) as store:
        store.append(episode)
    sizes = pack(select_episodes([store.path]), tmp_path / "a.zarr.zip").array_bytes
    assert sizes["data/images_front"] < 60 * noise.nbytes / 4


def test_images_can_be_left_out_and_then_do_not_hinder(stores, tmp_path):
    other = dataclasses.replace(WITH_IMAGES, cameras=("front",), image_size=(4, 4))
    lone = make_store(tmp_path / "lone.zarr", KINDS[:1], other, seed=5)
    with pytest.raises(StoreError) as error:
        select_episodes([*stores, lone])
    assert "cameras: ['front', 'wrist'], there ['front']" in str(error.value)
    assert "image_size: [8, 6], there [4, 4]" in str(error.value)
    path = pack(select_episodes([*stores, lone], images=False), tmp_path / "a.zarr.zip").path
    reader = StoreReader(path)
    assert len(reader) == 7
    assert reader.spec.cameras == ()
    assert_same(reader.episode(6), StoreReader(lone).episode(0, images=False))


def test_sizes_that_differ_are_named(stores, tmp_path):
    low = make_store(tmp_path / "low.zarr", KINDS, LOW_DIM)
    with pytest.raises(StoreError, match="embedding_dim: 5, there 0"):
        select_episodes([*stores, low], images=False)


def test_an_episode_is_packed_once_and_its_first_label_counts(stores, tmp_path):
    first = pack(select_episodes(stores), tmp_path / "a.zarr.zip").path
    with EpisodeStore.open(stores[0]) as store:
        store.relabel(0, Outcome.SUCCESS, FailureType.NONE, -1)
    chosen = select_episodes([stores[1], first, stores[0]])
    assert (len(chosen), chosen.repeated) == (6, 6)
    metas = StoreReader(pack(chosen, tmp_path / "b.zarr.zip").path).episodes()
    assert metas[3].outcome == Outcome.FAILURE


def test_a_label_given_later_is_not_lost_to_an_unlabelled_copy(stores, tmp_path):
    shutil.copytree(stores[0], tmp_path / "copy.zarr")
    with EpisodeStore.open(stores[0]) as store:
        store.relabel(0, Outcome.UNKNOWN, FailureType.NONE, -1)
        store.relabel(2, Outcome.FAILURE, FailureType.OTHER, -1)
    chosen = select_episodes([*stores, tmp_path / "copy.zarr"])
    assert (len(chosen), chosen.repeated) == (6, 3)
    metas = StoreReader(pack(chosen, tmp_path / "b.zarr.zip").path).episodes()
    copied = list(map(dataclasses.asdict, StoreReader(tmp_path / "copy.zarr").episodes()))
    np.testing.assert_equal(list(map(dataclasses.asdict, metas[:3])), copied)
    assert all(meta.labelled for meta in metas)


def test_the_first_episodes_alone(stores, tmp_path):
    chosen = select_episodes(stores, limit=4)
    reader = StoreReader(pack(chosen, tmp_path / "a.zarr.zip").path)
    assert [meta.seed for meta in reader.episodes()] == [
        meta.seed for store in stores for meta in StoreReader(store).episodes()
    ][:4]


def test_nothing_to_pack_is_an_error(tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM).close()
    for given in ([], [tmp_path / "a.zarr"]):
        with pytest.raises(StoreError, match=r"no episode (store|to pack)"):
            select_episodes(given)


def test_a_file_is_replaced_only_by_force(stores, packed_file, tmp_path):
    before = packed_file.read_bytes()
    both = select_episodes(stores)
    with pytest.raises(StoreError, match=r"exists already.*--force"):
        pack(both, packed_file)
    assert packed_file.read_bytes() == before
    assert pack(both, packed_file, force=True).episodes == len(StoreReader(packed_file)) == 6
    with pytest.raises(StoreError, match=r"must end in '.zip', as in '.*/b\.zarr\.zip'"):
        pack(both, tmp_path / "b.zarr")


def test_a_pack_that_fails_leaves_the_old_file_and_no_part(stores, packed_file, tmp_path):
    before = packed_file.read_bytes()
    chosen = select_episodes(stores)
    shard = next(p for p in (stores[1] / "data/images_wrist/c").rglob("*") if p.is_file())
    shard.write_bytes(shard.read_bytes()[:100])
    with pytest.raises(StoreError, match=r"2\.zarr.*damaged"):
        pack(chosen, packed_file, force=True)
    assert packed_file.read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["1.zarr", "2.zarr", "a.zarr.zip"]
    with pytest.raises(StoreError, match="cannot write"):
        pack(select_episodes(stores[:1]), packed_file / "below" / "b.zarr.zip")


def test_a_packed_store_is_never_written(packed_file, tmp_path):
    for use in (
        EpisodeStore.open,
        lambda p: EpisodeStore.create(p, WITH_IMAGES),
        lambda p: EpisodeStore.open_or_create(p, WITH_IMAGES),
        lambda p: EpisodeStore.open_or_create(p.with_name("new.zarr.zip"), WITH_IMAGES),
    ):
        with pytest.raises(StoreError, match="can only be read; record into a folder"):
            use(packed_file)
    assert not list(tmp_path.glob("*.lock")) + list(tmp_path.glob("new*"))


def cut(path):
    path.write_bytes(path.read_bytes()[:-200])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("not a zip")


@pytest.mark.parametrize("damage", [cut, empty, text])
def test_a_file_that_is_cut_short_says_so(packed_file, damage):
    damage(packed_file)
    with pytest.raises(StoreError, match=r"a\.zarr\.zip' is no whole zip file.*copy it again"):
        StoreReader(packed_file)


@pytest.mark.parametrize("name", ["action", "images_front", "embedding", "signals_valid"])
def test_a_flipped_bit_is_an_error(packed_file, name):
    with zipfile.ZipFile(packed_file) as content:
        entry = next(e for e in content.infolist() if e.filename.startswith(f"data/{name}/c/"))
    place = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
    content = bytearray(packed_file.read_bytes())
    content[place] ^= 1
    packed_file.write_bytes(content)
    reader = StoreReader(packed_file)
    with pytest.raises(StoreError, match="damaged"):
        [reader.episode(index) for index in range(3)]


def test_what_is_no_packed_store_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as content:
        content.writestr("readme.txt", "")
    (tmp_path / "folder.zip").mkdir()
    for name, said in (
        ("other.zip", "not an episode store"),
        ("folder.zip", "is no file"),
        ("absent.zarr.zip", "does not exist"),
    ):
        with pytest.raises(StoreError, match=said):
            StoreReader(tmp_path / name)


def read_often(reader, expected, errors):
    for _ in range(20):
        for index, episode in enumerate(expected):
            if not np.array_equal(reader.frames("wrist", index), episode.images["wrist"]):
                errors.append(index)


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_threads_and_forked_processes_read_beside_each_other(stores, packed_file):
    expected = [StoreReader(stores[0]).episode(index) for index in range(3)]
    reader, errors = StoreReader(packed_file), []
    threads = [threading.Thread(target=read_often, args=(reader, expected, errors)) for _ in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors

    def in_child():
        wrong = []
        read_often(reader, expected, wrong)
        os._exit(len(wrong) > 0)

    child = multiprocessing.get_context("fork").Process(target=in_child)
    child.start()
    read_often(reader, expected, errors)
    child.join(60)
    assert child.exitcode == 0
    assert not errors


def test_the_verb_packs_and_every_verb_reads_it(stores, tmp_path, salus):
    path = tmp_path / "a.zarr.zip"
    arguments = ("pack", *stores, "--out", path, "--no-images", "--episodes", 5)
    code, out, _ = salus(*arguments, "--json")
    said = json.loads(out)
    assert (code, said["episodes"], said["repeated_episodes_left_out"]) == (0, 5, 0)
    assert said["bytes_per_step"]["data/embedding"] > 0
    code, out, _ = salus("info", path, "--json")
    described = json.loads(out)
    assert (code, described["episodes"], described["spec"]["cameras"]) == (0, 5, [])
    assert described["megabytes"] == said["megabytes"] > 0

    code, _, err = salus(*arguments)
    assert code == 2
    assert "exists already" in err
    code, out, _ = salus("pack", stores[0], path, "--out", path, "--no-images", "--force")
    assert code == 0
    assert "repeated, left out" in out
    assert len(StoreReader(path)) == 5


def test_columns_that_are_not_wanted_are_left_out(stores, tmp_path):
    without = ("embedding", "chunk_statistics", "plan", "visual_embedding", "joints")
    reader = StoreReader(
        pack(select_episodes(stores[:1], without=without), tmp_path / "a.zarr.zip").path
    )
    episode, whole = reader.episode(0), StoreReader(stores[0]).episode(0)
    left = {f.name for f in dataclasses.fields(episode) if getattr(episode, f.name) is None}
    assert left == {"embedding", "chunk_statistics", "plan", "plan_step", "plan_samples"} | {
        "visual_embedding", "joint_position", "joint_velocity", "joint_effort"
    }  # fmt: skip
    np.testing.assert_array_equal(episode.expert_embedding, whole.expert_embedding)
    np.testing.assert_array_equal(episode.images["wrist"], whole.images["wrist"])
    with pytest.raises(StoreError, match="signals cannot be left out; allowed are embedding"):
        select_episodes(stores, without=("signals",))


def test_stores_with_and_without_plans_are_packed_without(stores, tmp_path):
    older = WITH_IMAGES.without(("plan", "joints"))
    path = make_store(tmp_path / "older.zarr", KINDS[:1], older, seed=7)
    with pytest.raises(StoreError, match=r"plan_length: 4, there 0.*leave out what differs"):
        select_episodes([stores[0], path])
    assert len(select_episodes([stores[0], path], without=("plan", "joints"))) == len(KINDS) + 1


def test_columns_are_rounded_to_the_bits_asked_for_and_what_counts_stays_exact(stores, tmp_path):
    packed = pack(select_episodes(stores[:1], keep_bits=6), tmp_path / "a.zarr.zip")
    reader, whole = StoreReader(packed.path), StoreReader(stores[0])
    assert reader.spec == dataclasses.replace(whole.spec, kept_bits=6)
    rounded = ("embedding", "chunk_statistics", "plan", "plan_samples", "visual_embedding")
    rounded += ("expert_embedding", "lookahead", "truth", "joint_position", "joint_effort")
    for index in range(len(whole)):
        given = dataclasses.asdict(whole.episode(index))
        found = dataclasses.asdict(reader.episode(index))
        for name in rounded:
            exact, values = given.pop(name), found.pop(name)
            exact = exact.astype(np.float64)
            bits = np.finfo(values.dtype).nmant
            assert not (values.view(f"u{values.itemsize}") & ((1 << (bits - 6)) - 1)).any()
            error = np.abs(values - exact) / np.abs(exact)
            assert 0 < np.nanmax(error) <= 2.0**-7
            np.testing.assert_array_equal(np.isnan(values), np.isnan(exact))
        np.testing.assert_equal(found, given)  # state, action, signals, plan_step, predictions


def test_the_largest_numbers_stay_finite_and_what_is_missing_stays_so(tmp_path):
    spec = dataclasses.replace(LOW_DIM, embedding_dim=4)
    episode = make_episode(length=20, spec=spec)
    row = np.array([65504, -65504, np.nan, 0], np.float16)
    row[2:3].view(np.uint16)[:] = 0x7FFF  # not a number, whatever its bits
    given = np.tile(row, (len(episode.action), 1))
    with EpisodeStore.create(tmp_path / "a.zarr", spec) as store:
        store.append(dataclasses.replace(episode, embedding=given))
    packed = pack(select_episodes([tmp_path / "a.zarr"], keep_bits=3), tmp_path / "a.zarr.zip")
    np.testing.assert_array_equal(StoreReader(packed.path).episode(0).embedding, given)


def test_what_was_rounded_once_stays_known_as_that(stores, packed_file, tmp_path, salus):
    path = tmp_path / "b.zarr.zip"
    assert salus("pack", stores[1], "--out", path, "--keep-bits", 8)[0] == 0
    assert "to 8 bits of the mantissa" in salus("info", path)[1]
    assert select_episodes([packed_file, path]).spec.kept_bits == 8
    assert select_episodes([packed_file, path], keep_bits=7).spec.kept_bits == 7
    assert select_episodes([path], keep_bits=12).spec.kept_bits == 8
