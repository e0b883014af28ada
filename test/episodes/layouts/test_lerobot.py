import dataclasses
import json
import shutil
import sys

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.layouts.lerobot import SIDECAR, export_lerobot, import_lerobot

SPEC = dataclasses.replace(WITH_IMAGES, image_size=(64, 96))
LEFT_OUT = ("embedding", "chunk_statistics", "age_ms", "probability", "risk", "alarm")


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    """A cache of its own for the library that lerobot reads with."""
    with pytest.MonkeyPatch.context() as patch:
        place = tmp_path_factory.mktemp("cache")
        patch.setattr("datasets.config.HF_DATASETS_CACHE", place)
        yield


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    return make_store(path, (FailureType.DROP, FailureType.NONE), SPEC, lengths=(5, 9))


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    done, path = [], tmp_path_factory.mktemp("exported") / "a"
    export_lerobot(StoreReader(store), path, done.append)
    assert done == [1, 2]
    return path


def test_what_was_exported_is_imported(store, exported, tmp_path):
    imported = import_lerobot(exported, tmp_path / "b.zarr")
    before, after = StoreReader(store), StoreReader(tmp_path / "b.zarr")
    assert (imported.episodes, imported.steps) == (2, before.steps)
    for index in range(2):
        kept = dataclasses.asdict(before.episode(index))
        read = dataclasses.asdict(after.episode(index))
        np.testing.assert_equal(
            {name: value for name, value in read.items() if name not in LEFT_OUT},
            {name: value for name, value in kept.items() if name not in LEFT_OUT},
        )


def test_lerobots_own_class_reads_our_frames(store, exported):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    dataset = LeRobotDataset("local/a", root=exported, video_backend="pyav")
    reader = StoreReader(store)
    assert (dataset.num_episodes, len(dataset), dataset.fps) == (2, reader.steps, 30)
    episode, t = reader.episode(1), 3
    frame = dataset[reader.rows(1).start + t]
    np.testing.assert_array_equal(frame["observation.state"], episode.state[t])
    np.testing.assert_array_equal(frame["action"], episode.action[t])
    np.testing.assert_array_equal(frame["salus.signals"], episode.signals[t])
    assert frame["task"] == episode.meta.task
    image = frame["observation.images.wrist"].numpy().transpose(1, 2, 0) * 255
    np.testing.assert_allclose(image, episode.images["wrist"][t], atol=1e-3)


def test_lerobots_own_training_takes_our_export(exported, tmp_path, monkeypatch):
    from lerobot.scripts import lerobot_train

    out = tmp_path / "trained"
    arguments = {
        "dataset.repo_id": "local/a",
        "dataset.root": exported,
        "dataset.video_backend": "pyav",
        "policy.type": "act",
        "policy.device": "cpu",
        "policy.push_to_hub": "false",
        "policy.pretrained_backbone_weights": "null",
        "policy.dim_model": 16,
        "policy.n_heads": 2,
        "policy.dim_feedforward": 32,
        "policy.n_encoder_layers": 1,
        "policy.n_vae_encoder_layers": 1,
        "policy.chunk_size": 4,
        "policy.n_action_steps": 4,
        "steps": 2,
        "batch_size": 2,
        "num_workers": 0,
        "output_dir": out,
    }
    options = [f"--{name}={value}" for name, value in arguments.items()]
    monkeypatch.setattr(sys, "argv", ["lerobot-train", *options])
    monkeypatch.setattr(lerobot_train, "init_logging", lambda **_: None)  # would outlive us
    lerobot_train.main()
    trained = out / "checkpoints" / "last" / "pretrained_model"
    config = json.loads((trained / "config.json").read_text())
    cameras = {f"observation.images.{name}" for name in SPEC.cameras}
    assert set(config["input_features"]) == {"observation.state"} | cameras
    assert set(config["output_features"]) == {"action"}
    assert (trained / "model.safetensors").is_file()


def test_a_policy_takes_state_action_and_cameras_but_not_our_signals(exported):
    from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
    from lerobot.utils.feature_utils import dataset_to_policy_features

    features = dataset_to_policy_features(LeRobotDatasetMetadata("local/a", exported).features)
    cameras = {f"observation.images.{name}" for name in SPEC.cameras}
    assert set(features) == {"observation.state", "action"} | cameras


def test_cameras_may_be_videos(tmp_path):
    path = make_store(tmp_path / "a.zarr", (FailureType.NONE,), SPEC, lengths=(5, 6))
    export_lerobot(StoreReader(path), tmp_path / "a", videos=True)
    assert list((tmp_path / "a" / "videos").rglob("*.mp4"))
    import_lerobot(tmp_path / "a", tmp_path / "b.zarr")
    before, after = StoreReader(path).episode(0), StoreReader(tmp_path / "b.zarr").episode(0)
    np.testing.assert_array_equal(after.state, before.state)
    assert after.images["front"].shape == before.images["front"].shape
    correlation = np.corrcoef(after.images["front"].ravel(), before.images["front"].ravel())
    assert correlation[0, 1] > 0.5  # noise, which a codec likes least


def test_a_dataset_of_others_has_unknown_outcomes_and_no_signals(tmp_path):
    from lerobot.datasets.lerobot_dataset import LeRobotDataset

    vector = {"dtype": "float32", "shape": (6,), "names": None}
    features = {"observation.state": vector, "action": vector}
    dataset = LeRobotDataset.create("local/o", 10, features, root=tmp_path / "o")
    for t in range(4):
        row = np.full(6, t, np.float32)
        dataset.add_frame({"observation.state": row, "action": row + 1, "task": "fold"})
    dataset.save_episode()
    dataset.finalize()
    import_lerobot(tmp_path / "o", tmp_path / "b.zarr")
    episode = StoreReader(tmp_path / "b.zarr").episode(0)
    assert (episode.meta.outcome, episode.meta.task) == (Outcome.UNKNOWN, "fold")
    assert episode.meta.rate_hz == 10
    assert (episode.action[:, 5] == [1, 2, 3, 4]).all()
    assert np.isnan(episode.signals).all()
    assert not episode.signals_valid.any()


def test_what_is_no_whole_dataset_is_refused_and_nothing_is_left(exported, tmp_path):
    with pytest.raises(StoreError, match="no LeRobotDataset"):
        import_lerobot(tmp_path, tmp_path / "b.zarr")
    broken = shutil.copytree(exported, tmp_path / "broken")
    sidecar = json.loads((broken / SIDECAR).read_text())
    sidecar["lengths"][0] += 1
    (broken / SIDECAR).write_text(json.dumps(sidecar))
    with pytest.raises(StoreError, match="other episodes"):
        import_lerobot(broken, tmp_path / "b.zarr")
    shutil.rmtree(broken / "data")
    with pytest.raises(StoreError, match="incomplete"):
        import_lerobot(broken, tmp_path / "b.zarr")
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_a_store_of_several_rates_is_refused(tmp_path):
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(make_episode())
        store.append(make_episode(rate_hz=12.5))
    with pytest.raises(StoreError, match="one whole number"):
        export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")


def test_the_command_goes_both_ways(store, tmp_path, salus):
    def run(*arguments):
        code, out, _ = salus(*arguments, "--layout", "lerobot")
        return code, out

    code, out = run("export", store, "--out", tmp_path / "a")
    assert (code, "wrote 2 episodes" in out) == (0, True)
    code, out = run("import", tmp_path / "a", "--out", tmp_path / "b.zarr", "--json")
    assert (code, json.loads(out)["episodes"]) == (0, 2)
    before, after = StoreReader(store).episode(1), StoreReader(tmp_path / "b.zarr").episode(1)
    np.testing.assert_array_equal(after.images["front"], before.images["front"])
