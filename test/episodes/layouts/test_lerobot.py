import dataclasses
import io
import json
import os
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.layouts.lerobot import export_lerobot
from salus_ros.episodes.layouts.lerobot_import import import_lerobot
from salus_ros.policies.conformance import check_policy

JOINTS = tuple(f"joint_{n}" for n in range(7))
SPEC = dataclasses.replace(
    WITH_IMAGES,
    image_size=(64, 96),
    streams=("front", "prediction"),
    state_names=JOINTS,
    action_names=tuple("xyzrpg_"),
)
LEFT_OUT = ("embedding", "chunk_statistics", "probability", "risk", "alarm", "plan", "plan_step")
LEFT_OUT += ("plan_samples", "visual_embedding", "expert_embedding")
LEFT_OUT += ("joint_position", "joint_effort", "lookahead", "truth", "episode_outputs")
AGES = np.array([4.0, np.nan], np.float32)


def with_ages(episode, *, no_front=slice(0, 0)):
    """As a recorder writes it, black frames where there were none."""
    ages = np.tile(AGES, (len(episode), 1))
    ages[no_front, 0] = np.nan
    images = {camera: frames.copy() for camera, frames in episode.images.items()}
    images["front"][no_front] = 0
    return dataclasses.replace(episode, age_ms=ages, images=images)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("store") / "a.zarr"
    with EpisodeStore.create(path, SPEC) as store:
        for n, kind in enumerate((FailureType.DROP, FailureType.NONE)):
            store.append(with_ages(make_episode(str(n), 6 + 2 * n, kind, SPEC, seed=n)))
    return path


@pytest.fixture(scope="module")
def exported(store, tmp_path_factory):
    done, path = [], tmp_path_factory.mktemp("exported") / "a"
    result = export_lerobot(StoreReader(store), path, done.append)
    assert (result.episodes, result.steps, result.gaps) == (2, 14, ())
    assert sorted(result.left_out) == sorted(LEFT_OUT)
    assert done == [1, 2]
    return path


def test_what_was_exported_is_imported(store, exported, tmp_path):
    imported = import_lerobot(exported, tmp_path / "b.zarr")
    before, after = StoreReader(store), StoreReader(tmp_path / "b.zarr")
    assert (imported.episodes, imported.steps) == (2, before.steps)
    assert after.spec.state_names == before.spec.state_names == JOINTS
    assert after.spec.action_names == before.spec.action_names
    assert after.spec.streams == before.spec.streams
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
    valid = episode.signals_valid[t]
    np.testing.assert_array_equal(frame["salus.signals_valid"], valid)
    np.testing.assert_array_equal(frame["salus.signals"], np.where(valid, episode.signals[t], 0))
    np.testing.assert_array_equal(frame["salus.age_ms"], [4, -1])
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
    found = {one.check: one for one in check_policy(trained, num_samples=2)}
    assert not [one for one in found.values() if one.passed is False]
    assert "state 7, action 7, 4 of 4 steps executed, K = 2" in found["loads"].detail


def test_a_policy_takes_state_action_and_cameras_but_not_our_signals(exported):
    from lerobot.datasets.lerobot_dataset import LeRobotDatasetMetadata
    from lerobot.utils.feature_utils import dataset_to_policy_features

    features = dataset_to_policy_features(LeRobotDatasetMetadata("local/a", exported).features)
    cameras = {f"observation.images.{name}" for name in SPEC.cameras}
    assert set(features) == {"observation.state", "action"} | cameras


@pytest.mark.parametrize("spec", [SPEC, WITH_IMAGES], ids=["usual", "small"])
def test_cameras_may_be_videos(tmp_path, spec):
    path = make_store(tmp_path / "a.zarr", (FailureType.NONE,), spec, lengths=(5, 6))
    export_lerobot(StoreReader(path), tmp_path / "a", videos=True)
    assert list((tmp_path / "a" / "videos").rglob("*.mp4"))
    import_lerobot(tmp_path / "a", tmp_path / "b.zarr")
    before, after = StoreReader(path).episode(0), StoreReader(tmp_path / "b.zarr").episode(0)
    np.testing.assert_array_equal(after.state, before.state)
    assert after.images["front"].shape == before.images["front"].shape
    correlation = np.corrcoef(after.images["front"].ravel(), before.images["front"].ravel())
    assert correlation[0, 1] > 0.5  # noise, which a codec likes least


def test_a_video_leaves_the_priority_of_the_process_alone(tmp_path):
    """Some encoders make all threads of a process of root's real-time ones, for good."""
    path = make_store(tmp_path / "a.zarr", (FailureType.NONE,), SPEC, lengths=(5, 6))
    export_lerobot(StoreReader(path), tmp_path / "a", videos=True)
    threads = [int(task.name) for task in Path("/proc/self/task").iterdir()]
    assert not {os.SCHED_FIFO, os.SCHED_RR} & {os.sched_getscheduler(one) for one in threads}


@pytest.mark.parametrize("rates", [(30, 12.5), (30, 25), (29.5,), (29.97,), (0.2,)])
def test_a_store_without_one_whole_rate_is_refused_with_what_to_do(tmp_path, rates):
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        for rate_hz in rates:
            store.append(make_episode(rate_hz=rate_hz))
    with pytest.raises(StoreError, match=r"one whole number.* give --fps \d+"):
        export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")


@pytest.mark.parametrize("rate_hz", [30.000000300000004, 14.99999985])
def test_a_rate_that_stands_for_a_whole_number_is_that(tmp_path, rate_hz):
    """As of a period in whole nanoseconds."""
    fps = round(rate_hz)
    stamps = 1 + np.arange(30) * round(1e9 / rate_hz)
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        episode = make_episode(rate_hz=rate_hz)
        store.append(dataclasses.replace(episode, stamp_ns=stamps))
    result = export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")
    assert (result.steps, result.gaps) == (30, ())
    assert info_of(tmp_path / "a")["fps"] == fps
    import_lerobot(tmp_path / "a", tmp_path / "b.zarr")
    read = StoreReader(tmp_path / "b.zarr").episode(0)
    assert read.meta.rate_hz == rate_hz
    np.testing.assert_array_equal(read.stamp_ns, stamps)


def test_a_rate_may_be_given_and_what_was_not_recorded_at_it_is_left_out(tmp_path):
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        for rate_hz in (29.7, 15):
            stamps = 1 + np.round(np.arange(30) * 1e9 / rate_hz).astype(np.int64)
            store.append(dataclasses.replace(make_episode(rate_hz=rate_hz), stamp_ns=stamps))
    result = export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a", fps=30)
    assert (result.episodes, result.steps) == (1, 30)
    assert {gap.episode for gap in result.gaps} == {1}
    assert info_of(tmp_path / "a")["fps"] == 30


def info_of(path):
    return json.loads((path / "meta" / "info.json").read_text())


def frames_of(path):
    files = sorted((path / "data").rglob("*.parquet"))
    return pa.concat_tables([parquet.read_table(file) for file in files]).to_pandas()


def all_finite(values):
    if isinstance(values, dict):
        return all(map(all_finite, values.values()))
    return bool(np.isfinite(np.asarray(values, float)).all())


def test_gaps_are_left_out_and_the_rest_is_whole(tmp_path):
    """Frames that are missing, actions that are NaN and a hole of 2 s, in one failed episode."""
    episode = make_episode("bag", 30, FailureType.DROP, SPEC, failure_step=29)
    action, stamps = episode.action.copy(), episode.stamp_ns.copy()
    action[:3, 1] = np.nan
    stamps[20:] += 2 * 10**9
    episode = with_ages(episode, no_front=slice(10, 15))
    with EpisodeStore.create(tmp_path / "a.zarr", SPEC) as store:
        store.append(dataclasses.replace(episode, action=action, stamp_ns=stamps))
    result = export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")
    assert [(gap.first, gap.stop) for gap in result.gaps] == [(0, 3), (10, 15), (20, 20)]
    assert (result.episodes, result.steps) == (3, 22)
    kept = [*range(3, 10), *range(15, 30)]
    frames = frames_of(tmp_path / "a")
    np.testing.assert_array_equal(np.stack(frames["action"]), episode.action[kept])
    assert frames["salus.stamp_ns"].tolist() == stamps[kept].tolist()
    times = frames["timestamp"].to_numpy()
    real = (stamps[kept] - stamps[np.repeat([3, 15, 20], [7, 5, 10])]) / 1e9
    np.testing.assert_allclose(times, real, atol=1e-3)
    images = [
        np.array(Image.open(io.BytesIO(i["bytes"]))) for i in frames["observation.images.front"]
    ]
    assert all(image.any() for image in images)
    stats = json.loads((tmp_path / "a" / "meta" / "stats.json").read_text())
    assert {"action", "salus.signals", "salus.age_ms"} <= set(stats)
    assert all_finite(stats)
    ends = frames["episode_index"].diff(-1).ne(0).to_numpy()
    np.testing.assert_array_equal(frames["next.done"], np.arange(22) == 21)
    np.testing.assert_array_equal(frames["next.truncated"], ends & (np.arange(22) != 21))
    assert not frames["next.success"].any()
    import_lerobot(tmp_path / "a", tmp_path / "b.zarr")
    reader = StoreReader(tmp_path / "b.zarr")
    metas = reader.episodes()
    assert [meta.outcome for meta in metas] == [Outcome.UNKNOWN] * 2 + [Outcome.FAILURE]
    assert (metas[2].failure_step, metas[2].id) == (9, "bag_steps_20_to_29")
    np.testing.assert_array_equal(reader.episode(1).age_ms, np.tile(AGES, (5, 1)))


@pytest.mark.parametrize("known", [True, False])
def test_the_end_of_a_success_is_marked_if_every_outcome_is_known(tmp_path, known):
    outcome = Outcome.SUCCESS if known else Outcome.UNKNOWN
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(make_episode("0", 5))
        store.append(make_episode("1", 4, outcome=outcome))
    export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")
    frames = frames_of(tmp_path / "a")
    assert ("next.success" in frames) == known
    assert np.flatnonzero(frames["next.done"]).tolist() == [4, 8]
    if known:
        assert np.flatnonzero(frames["next.success"]).tolist() == [4, 8]


def test_what_acted_in_the_policys_place_is_named_at_each_step(tmp_path):
    text = "1-2 scripted@alarm timeout"
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(make_episode("0", 4, interventions=text))
        store.append(make_episode("1", 3))
    export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")
    names = ["", *["scripted@alarm timeout"] * 2, ""]
    assert frames_of(tmp_path / "a")["salus.intervention"].tolist() == [*names, "", "", ""]
    import_lerobot(tmp_path / "a", tmp_path / "b.zarr")
    metas = StoreReader(tmp_path / "b.zarr").episodes()
    assert [meta.interventions for meta in metas] == [text, ""]


def test_names_of_joints_actions_and_cameras_are_those_of_the_store(exported):
    features = info_of(exported)["features"]
    assert features["observation.state"]["names"] == list(JOINTS)
    assert features["action"]["names"] == list("xyzrpg_")
    assert features["salus.age_ms"]["names"] == ["front", "prediction"]
    cameras = {key for key in features if key.startswith("observation.images.")}
    assert cameras == {"observation.images.front", "observation.images.wrist"}


def test_episodes_without_a_task_need_one(tmp_path):
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(make_episode("0", 5))
        store.append(make_episode("1", 5, task=" "))
    reader = StoreReader(tmp_path / "a.zarr")
    with pytest.raises(StoreError, match=r"no task in 1 of 2 episodes \(1\).* give --task"):
        export_lerobot(reader, tmp_path / "a")
    assert not list(tmp_path.glob("a.partial*"))
    export_lerobot(reader, tmp_path / "a", task="fold the towel")
    tasks = (
        parquet.read_table(tmp_path / "a" / "meta" / "tasks.parquet").to_pandas().index.tolist()
    )
    assert tasks == ["put the cube on the plate", "fold the towel"]


def test_a_store_without_a_whole_step_is_refused_with_the_reason(tmp_path):
    episode = make_episode("0", 5)
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(dataclasses.replace(episode, action=np.full((5, 7), np.nan)))
    with pytest.raises(StoreError, match=r"no whole steps to export: .* no action"):
        export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")


def test_images_that_no_video_can_have_are_refused(tmp_path):
    spec = dataclasses.replace(WITH_IMAGES, image_size=(6, 7))
    path = make_store(tmp_path / "a.zarr", (FailureType.NONE,), spec, lengths=(5, 6))
    with pytest.raises(StoreError, match="7x6 pixels; width and height of a video are even"):
        export_lerobot(StoreReader(path), tmp_path / "a", videos=True)


def test_a_camera_that_lerobot_cannot_name_is_refused(tmp_path):
    spec = dataclasses.replace(SPEC, cameras=("arm/front",), streams=())
    with EpisodeStore.create(tmp_path / "a.zarr", spec) as store:
        store.append(make_episode("0", 5, spec=spec))
    with pytest.raises(StoreError, match=r"'arm/front'.*no '/'"):
        export_lerobot(StoreReader(tmp_path / "a.zarr"), tmp_path / "a")


def test_the_command_goes_both_ways(store, tmp_path, salus):
    def run(*arguments):
        code, out, _ = salus(*arguments, "--layout", "lerobot")
        return code, out

    code, out = run("export", store, "--out", tmp_path / "a")
    assert (code, "wrote 2 episodes" in out) == (0, True)
    with EpisodeStore.create(tmp_path / "gap.zarr", SPEC) as gap:
        gap.append(with_ages(make_episode("g", 9, spec=SPEC), no_front=slice(4, 6)))
    code, out = run("export", gap.path, "--out", tmp_path / "g")
    assert (code, "steps 4 to 5 left out: no front" in out) == (1, True)
    code, out = run("import", tmp_path / "a", "--out", tmp_path / "b.zarr", "--json")
    assert (code, json.loads(out)["episodes"]) == (0, 2)
    before, after = StoreReader(store).episode(1), StoreReader(tmp_path / "b.zarr").episode(1)
    np.testing.assert_array_equal(after.images["front"], before.images["front"])
