import dataclasses
import json
import shutil

import numpy as np
import pytest
from synthetic_episodes import WITH_IMAGES, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import StoreReader
from salus_ros.episodes.layouts.lerobot import SIDECAR, export_lerobot
from salus_ros.episodes.layouts.lerobot_import import import_lerobot

LARGER = dataclasses.replace(WITH_IMAGES, image_size=(64, 64))


def of_others(path, *, episodes=1, names=None, cameras=(), size=(48, 64, 3)):
    """A dataset as other programs write it: episodes of four steps, camera n is 10 n + 10."""
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    vector = {"dtype": "float32", "shape": (6,), "names": names}
    image = {"dtype": "image", "shape": size, "names": ["height", "width", "channels"]}
    features = {"observation.state": vector, "action": vector} | dict.fromkeys(cameras, image)
    dataset = LeRobotDataset.create("local/o", 10, features, root=path, use_videos=False)
    frames = {key: np.full(size, 10 * n + 10, np.uint8) for n, key in enumerate(cameras)}
    for _ in range(episodes):
        for t in range(4):
            row = np.full(6, t, np.float32)
            vectors = {"observation.state": row, "action": row + 1, "task": "fold"}
            dataset.add_frame(vectors | frames)
        dataset.save_episode()
    dataset.finalize()
    return path


def change_info(path, **changes):
    file = path / "meta" / "info.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported")
    store = make_store(folder / "a.zarr", (FailureType.DROP,) * 2, WITH_IMAGES, lengths=(5, 9))
    export_lerobot(StoreReader(store), folder / "a")
    return folder / "a"


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return of_others(tmp_path_factory.mktemp("plain") / "o", episodes=2)


@pytest.fixture
def copy(plain, tmp_path):
    """A copy of a dataset of two episodes, to be spoilt."""
    return shutil.copytree(plain, tmp_path / "data")


def test_a_dataset_of_others_has_unknown_outcomes_and_no_signals(tmp_path):
    of_others(tmp_path / "o")
    import_lerobot(tmp_path / "o", tmp_path / "b.zarr")
    episode = StoreReader(tmp_path / "b.zarr").episode(0)
    assert (episode.meta.outcome, episode.meta.task) == (Outcome.UNKNOWN, "fold")
    assert episode.meta.rate_hz == 10
    assert (episode.action[:, 5] == [1, 2, 3, 4]).all()
    assert np.isnan(episode.signals).all()
    assert not episode.signals_valid.any()


@pytest.mark.parametrize(
    ("names", "read"),
    [
        (list("abcdef"), tuple("abcdef")),
        ({"motors": list("abcdef")}, tuple("abcdef")),
        ({"left": list("abc"), "right": list("def")}, tuple("abcdef")),
        (["motor"], ()),
        (list("aabcde"), ()),
        (None, ()),
    ],
)
def test_names_of_joints_are_read_in_the_forms_that_datasets_have(tmp_path, names, read):
    import_lerobot(of_others(tmp_path / "o", names=names), tmp_path / "b.zarr")
    spec = StoreReader(tmp_path / "b.zarr").spec
    assert (spec.state_names, spec.action_names) == (read, read)


def test_cameras_whose_names_would_be_one_are_refused_with_both(tmp_path):
    keys = ("observation.images.cam.front", "observation.images.cam_front")
    of_others(tmp_path / "o", cameras=keys)
    with pytest.raises(StoreError, match="both call 'cam_front'") as error:
        import_lerobot(tmp_path / "o", tmp_path / "b.zarr")
    assert all(f"'{key}'" in str(error.value) for key in keys)
    assert not (tmp_path / "b.zarr").exists()


def test_cameras_keep_their_images_apart(tmp_path):
    of_others(tmp_path / "o", cameras=("observation.images.cam.front", "observation.side"))
    import_lerobot(tmp_path / "o", tmp_path / "b.zarr")
    images = StoreReader(tmp_path / "b.zarr").episode(0).images
    assert {name: int(frames[3, 5, 7, 0]) for name, frames in images.items()} == {
        "cam_front": 10,
        "side": 20,
    }


def test_what_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(StoreError, match="no LeRobotDataset"):
        import_lerobot(tmp_path, tmp_path / "b.zarr")


@pytest.mark.parametrize("lengths", [[6, 5], [5], None])
def test_the_outcomes_of_other_episodes_are_refused(exported, tmp_path, lengths):
    broken = shutil.copytree(exported, tmp_path / "broken")
    sidecar = json.loads((broken / SIDECAR).read_text())
    sidecar["lengths"] = lengths
    (broken / SIDECAR).write_text(json.dumps(sidecar))
    with pytest.raises(StoreError, match=r"other episodes|salus.json.*damaged"):
        import_lerobot(broken, tmp_path / "b.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"total_episodes": 4}, "info.json counts 4 episodes, meta/episodes has 2"),
        ({"total_frames": 20}, "counts 20 frames, the episodes in meta/episodes have 8"),
        ({"codebase_version": "v2.1"}, "version v2.1, allowed is v3"),
        ({"features": None}, "info.json.*damaged"),
        ({"total_episodes": "many"}, "info.json.*damaged"),
    ],
)
def test_counts_that_do_not_agree_are_named(copy, tmp_path, changes, message):
    change_info(copy, **changes)
    refused(copy, tmp_path, message)


@pytest.mark.parametrize(
    "lost", ["meta/tasks.parquet", "meta/episodes", "data/chunk-000/file-000.parquet"]
)
def test_files_that_are_missing_are_named(copy, tmp_path, lost):
    place = copy / lost
    shutil.rmtree(place) if place.is_dir() else place.unlink()
    refused(copy, tmp_path, f"incomplete: {lost} missing")


@pytest.mark.parametrize("spoilt", ["meta/info.json", "data/chunk-000/file-000.parquet"])
def test_files_that_are_cut_short_are_named(copy, tmp_path, spoilt):
    content = (copy / spoilt).read_bytes()
    (copy / spoilt).write_bytes(content[: len(content) // 2])
    refused(copy, tmp_path, f"{spoilt}'.*damaged")


def test_videos_that_are_missing_are_named(exported, tmp_path):
    store = make_store(tmp_path / "a.zarr", (FailureType.NONE,), LARGER, lengths=(5, 6))
    export_lerobot(StoreReader(store), tmp_path / "v", videos=True)
    shutil.rmtree(tmp_path / "v" / "videos" / "observation.images.wrist")
    refused(tmp_path / "v", tmp_path, "incomplete: videos/observation.images.wrist/chunk-000")


def refused(source, folder, message):
    with pytest.raises(StoreError, match=message) as error:
        import_lerobot(source, folder / "b.zarr")
    assert "huggingface" not in str(error.value)
    assert not (folder / "b.zarr").exists()
