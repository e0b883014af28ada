import dataclasses
import json
import shutil
import sys
import zipfile

import numpy as np
import pytest
import zarr
from synthetic_episodes import WITH_IMAGES, make_episode, make_store

from salus_ros.cli import main
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.layout import ArrayLayout
from salus_ros.episodes.pack import pack, select_episodes
from salus_ros.episodes.verify import verify

KINDS = (FailureType.DROP, FailureType.NONE, FailureType.TIMEOUT)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    return make_store(
        tmp_path_factory.mktemp("recorded") / "a.zarr", KINDS, WITH_IMAGES, lengths=(10, 30)
    )


@pytest.fixture
def store(recorded, tmp_path):
    return shutil.copytree(recorded, tmp_path / "a.zarr")


def flip(file, place):
    content = bytearray(file.read_bytes())
    content[place] ^= 0x10
    file.write_bytes(content)


def chunk_files(store):
    return sorted(path for path in store.rglob("c/**/*") if path.is_file())


def array_of(store, file):
    return "/".join(file.relative_to(store).parts[:2])


def test_a_whole_store_is_sound_and_read_to_the_end(store):
    shares = []
    result = verify(store, shares.append)
    assert (result.episodes, result.steps) == (3, StoreReader(store).steps)
    assert (result.problems, result.uncommitted_rows, result.without_checksum) == ((), 0, ())
    assert shares == sorted(shares)
    assert shares[-1] == 1


SPOILS = ("flip", "cut", "empty", "gone")


@pytest.mark.parametrize("spoil", SPOILS)
def test_whatever_happens_to_a_chunk_is_found_and_its_array_named(store, spoil):
    """Every file is spoilt in one of the ways."""
    rng = np.random.default_rng(0)
    files = chunk_files(store)
    assert len(files) > 30
    for file in files[SPOILS.index(spoil) :: len(SPOILS)]:
        content = file.read_bytes()
        if spoil == "flip":
            flip(file, int(rng.integers(len(content))))
        elif spoil == "cut":
            file.write_bytes(content[: len(content) // 2])
        elif spoil == "empty":
            file.write_bytes(b"")
        else:
            file.unlink()
        problems = verify(store).problems
        assert {problem.array for problem in problems} == {array_of(store, file)}, file
        file.write_bytes(content)
    assert verify(store).problems == ()


def test_every_byte_of_a_file_of_frames_is_checked_and_its_episode_named(store):
    ends = StoreReader(store).episode_ends
    file = sorted((store / "data" / "images_wrist" / "c").rglob("0/0/0"))[1]
    rows = range(WITH_IMAGES.shard_steps, 2 * WITH_IMAGES.shard_steps)
    expected = set(np.searchsorted(ends, list(rows), side="right").tolist())
    size = file.stat().st_size
    for place in np.linspace(0, size - 1, 25).astype(int):
        flip(file, place)
        problems = verify(store).problems
        assert problems
        assert {problem.episode for problem in problems} <= expected
        flip(file, place)


def test_one_bad_frame_leaves_the_others_whole(store):
    file = store / "data" / "images_front" / "c" / "0" / "0" / "0" / "0"
    flip(file, 40)  # in the first chunk that lies in the file
    (problem,) = verify(store).problems
    assert (problem.array, problem.episode) == ("data/images_front", 0)
    assert problem.what.startswith("1 of ")


def test_a_jpeg_that_still_decodes_to_another_frame_is_found(tmp_path):
    spec = dataclasses.replace(WITH_IMAGES, image_codec="jpeg")
    store = make_store(tmp_path / "a.zarr", KINDS[:1], spec, lengths=(10, 11))
    before = StoreReader(store).frames("front", 0, slice(1, 2))
    flip(store / "data" / "images_front" / "c" / "0" / "0" / "0" / "0", 40)  # of the first frame
    (problem,) = verify(store).problems
    assert (problem.array, problem.episode) == ("data/images_front", 0)
    assert problem.what.startswith("1 of ")
    np.testing.assert_array_equal(StoreReader(store).frames("front", 0, slice(1, 2)), before)


def test_a_packed_store_is_checked_too(store, tmp_path):
    path = pack(select_episodes([store]), tmp_path / "a.zarr.zip").path
    assert verify(path).problems == ()
    with zipfile.ZipFile(path) as content:
        chunks = [entry for entry in content.infolist() if "/c/" in entry.filename]
    for entry in chunks:
        place = entry.header_offset + 30 + len(entry.filename) + entry.compress_size // 2
        flip(path, place)
        problems = verify(path).problems
        name = "/".join(entry.filename.split("/")[:2])
        assert {problem.array for problem in problems} == {name}
        flip(path, place)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StoreError, match="cut short"):
        verify(path)


def test_arrays_that_are_gone_short_or_of_another_form_are_named(store):
    steps, group = StoreReader(store).steps, zarr.open_group(store, mode="r+")
    group["data/risk"].resize((5,))
    (store / "data" / "alarm" / "zarr.json").unlink()
    del group["data/action"]
    group.create_array("data/action", shape=(99, 6), dtype=np.float32)
    found = {problem.array: problem.what for problem in verify(store).problems}
    assert set(found) == {"data/risk", "data/alarm", "data/action"}
    assert found["data/risk"] == f"has 5 rows, {steps} were committed"
    assert "expected" in found["data/action"]


def test_rows_of_an_episode_in_flight_are_no_problem(store):
    state = zarr.open_group(store, mode="r+")["data/state"]
    state.resize((state.shape[0] + 4, 7))
    result = verify(store)
    assert (result.problems, result.uncommitted_rows) == ((), 4)


def test_values_that_cannot_be_are_named_by_episode(store):
    group, start = zarr.open_group(store, mode="r+"), StoreReader(store).rows(1).start
    group["data/signals"][start + 2, 4] = np.inf
    group["data/stamp_ns"][start + 5] = group["data/stamp_ns"][start + 4]
    group["meta/failure_step"][2] = 999
    found = {(p.array, p.episode): p.what for p in verify(store).problems}
    assert set(found) == {("data/signals", 1), ("data/stamp_ns", 1), ("meta", 2)}
    assert found["data/signals", 1] == "marked valid but not finite at 1 steps, the first is 2"
    assert found["data/stamp_ns", 1].startswith("does not increase to step 5")
    assert "failure step 999" in found["meta", 2]


def test_ends_that_do_not_increase_are_a_problem(store):
    zarr.open_group(store, mode="r+")["meta/episode_ends"][0] = 500
    (problem,) = verify(store).problems
    assert problem.array == "meta/episode_ends"


def test_a_store_from_before_checksums_is_read_appended_to_and_said_to_have_none(
    tmp_path, monkeypatch
):
    new = ArrayLayout.create_arguments

    def old(self):
        return {name: value for name, value in new(self).items() if name != "compressors"}

    with monkeypatch.context() as patch:
        patch.setattr(ArrayLayout, "create_arguments", old)
        path = make_store(tmp_path / "a.zarr", KINDS, WITH_IMAGES, lengths=(10, 30))
    with EpisodeStore.open(path) as store:
        store.append(make_episode("new", 9, spec=WITH_IMAGES))
    result = verify(path)
    assert (result.episodes, result.problems) == (4, ())
    assert {"data/images_front", "data/state", "meta/id"} <= set(result.without_checksum)


def test_an_empty_store_is_sound(tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", WITH_IMAGES).close()
    result = verify(tmp_path / "a.zarr")
    assert (result.episodes, result.problems) == (0, ())


def test_the_command_exits_with_1_when_something_is_wrong(store, monkeypatch, capsys):
    def salus(*arguments):
        monkeypatch.setattr(sys, "argv", ["salus", "info", str(store), "--verify", *arguments])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code or 0, capsys.readouterr().out

    code, out = salus()
    assert (code, "sound" in out) == (0, True)
    flip(store / "data" / "state" / "c" / "0" / "0", 50)
    code, out = salus()
    assert (code, "1 problems" in out, "data/state" in out) == (1, True, True)
    code, out = salus("--json")
    values = json.loads(out)
    assert (code, values["sound"], values["problems"][0]["array"]) == (1, False, "data/state")


@pytest.mark.parametrize(
    ("name", "place", "value", "said"),
    [
        ("plan", (3, 1, 0), np.nan, "infinite or partly missing at 1 steps, the first is 3"),
        ("plan_samples", (3, 1, 1, 0), np.inf, "infinite or partly missing"),
        ("visual_embedding", (3, 0, 1), np.nan, "infinite or partly missing"),
        ("expert_embedding", (slice(2, 4), slice(None)), -np.inf, "at 2 steps, the first is 2"),
        ("plan_step", 3, 4, "is no action of a plan of 4"),
        ("plan_step", 3, 0.5, "is no action of a plan of 4"),
        ("joint_effort", (3, 1), np.inf, "is infinite at 1 steps"),
    ],
)
def test_what_no_policy_plans_and_no_joint_has_is_found(store, name, place, value, said):
    array = zarr.open_group(store, mode="r+")[f"data/{name}"]
    array[place] = value
    (problem,) = verify(store).problems
    assert (problem.array, problem.episode) == (f"data/{name}", 0)
    assert said in problem.what


def test_steps_without_a_plan_or_a_joint_are_sound(store):
    data = zarr.open_group(store, mode="r+")["data"]
    for name in ("plan", "plan_step", "plan_samples", "visual_embedding", "expert_embedding"):
        data[name][3] = np.nan
    data["joint_position"][3, 0] = np.nan
    assert verify(store).problems == ()
