"""Episodes as MCAP files: read back with the format's own library, nothing added or lost."""

import dataclasses
import json

import numpy as np
import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from mcap.reader import make_reader
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.layouts.mcap import LAYOUT_NAME, export_mcap, foxglove_layout

ALL = dataclasses.replace(WITH_IMAGES, streams=(*WITH_IMAGES.cameras, "state"))


def read(path):
    """Messages by topic, each with the time that it was logged at in ns."""
    found = {}
    with path.open("rb") as file:
        for form, channel, message in make_reader(file).iter_messages():
            if channel.message_encoding == "json":
                content = json.loads(message.data)
            else:
                pool = descriptor_pool.DescriptorPool()
                for one in descriptor_pb2.FileDescriptorSet.FromString(form.data).file:
                    pool.Add(one)
                kind = pool.FindMessageTypeByName(form.name)
                content = message_factory.GetMessageClass(kind).FromString(message.data)
            found.setdefault(channel.topic, []).append((message.log_time, content))
    return found


@pytest.fixture
def written(tmp_path):
    """An episode with a camera, of which one image, one state and some predictions are missing."""
    whole = make_episode("a/b", 12, FailureType.DROP, ALL)
    state, risk, ages = whole.state.copy(), np.linspace(0, 1, 12), np.zeros((12, 3))
    state[3], risk[:4], ages[5, 0] = np.nan, np.nan, np.nan
    probability = np.zeros((12, 4, 4), np.float32)
    probability[:4] = np.nan
    alarm = np.where(np.isnan(risk), np.nan, risk > 0.5)
    alarm[3] = 1.0  # blind, which alarms
    told = np.column_stack([risk, np.full(12, np.nan)])
    given = dataclasses.replace(
        whole, state=state, risk=risk, age_ms=ages, probability=probability, alarm=alarm,
        episode_outputs=told,
    )  # fmt: skip
    with EpisodeStore.create(tmp_path / "a.zarr", ALL) as store:
        store.append(given)
    reader = StoreReader(tmp_path / "a.zarr")
    done = []
    exported = export_mcap(reader, tmp_path / "out", done.append)
    assert done == [1]
    return reader, tmp_path / "out", exported


def test_what_was_recorded_is_there_at_its_stamp_and_what_was_not_is_not(written):
    reader, out, exported = written
    episode = reader.episode(0)
    stamps = episode.stamp_ns.tolist()
    found = read(out / "000000_a_b.mcap")
    camera = next(iter(episode.images))
    images = found[f"/camera/{camera}/image_raw"]
    assert [at for at, _ in images] == [stamp for n, stamp in enumerate(stamps) if n != 5]
    for at, image in images:
        frame = episode.images[camera][stamps.index(at)]
        assert (image.encoding, image.height, image.width) == ("rgb8", *frame.shape[:2])
        assert image.data == frame.tobytes()
        assert image.timestamp.ToNanoseconds() == at
    states = dict(found["/state"])
    assert set(states) == set(stamps) - {stamps[3]}
    np.testing.assert_array_equal(list(states[stamps[0]].values()), episode.state[0])
    said = dict(found["/signals"])
    first = {n: v for n, v in said[stamps[0]].items() if n in SIGNAL_NAMES}
    there = episode.signals_valid[0]
    assert list(first) == [
        name for name, is_there in zip(SIGNAL_NAMES, there, strict=True) if is_there
    ]
    np.testing.assert_array_equal(list(first.values()), episode.signals[0][there])
    risks = dict(found["/failure_horizons"])
    assert set(risks) == set(stamps[3:])
    assert "risk" not in risks[stamps[3]]
    assert risks[stamps[3]]["alarm"] is True
    last = risks[stamps[-1]]
    assert (last["risk"], last["alarm"], last["probability"]) == (1.0, True, [0.0] * 16)
    assert last["episode_failure"] == 1.0
    assert "no_progress" not in last
    [(at, about)] = found["/episode"]
    assert (at, about["id"], about["outcome"]) == (stamps[0], "a/b", "failure")
    [(at, logged)] = found["/log"]
    assert (at, logged.message) == (stamps[min(episode.meta.failure_step, 11)], "failure: drop")
    assert (exported.episodes, exported.steps, exported.marked) == (1, 12, 2)
    assert {"embedding", "plan", "truth"} <= set(exported.left_out)
    assert not {"state", "risk", "probability"} & set(exported.left_out)


def test_the_layout_shows_what_the_file_has(written):
    reader, out, _ = written
    text = (out / LAYOUT_NAME).read_text()
    assert text == foxglove_layout(reader.spec)
    layout = json.loads(text)
    found = read(out / "000000_a_b.mcap")
    topics = [topic for topic in found if topic.endswith("image_raw")]
    assert topics
    for topic in topics:
        assert f'"{topic}"' in json.dumps(layout)
    for path in ("/failure_horizons.risk", "/failure_horizons.episode_failure"):
        topic, _, field = path.partition(".")
        assert path in text
        assert field in found[topic][-1][1]
    for name in SIGNAL_NAMES:
        assert json.dumps(f'/signals."{name}"') in json.dumps(layout)


def test_a_folder_that_is_there_is_not_written_over(written):
    reader, out, _ = written
    with pytest.raises(StoreError, match="exists already"):
        export_mcap(reader, out)
    assert not out.with_name("out.partial").exists()


def test_an_empty_store_is_refused(tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM).close()
    with pytest.raises(StoreError, match="holds no episode to export"):
        export_mcap(StoreReader(tmp_path / "a.zarr"), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_store_without_cameras_and_predictions_has_what_it_has(tmp_path):
    path = make_store(tmp_path / "b.zarr", [FailureType.NONE], LOW_DIM)
    reader = StoreReader(path)
    exported = export_mcap(reader, tmp_path / "out")
    [file] = (tmp_path / "out").glob("*.mcap")
    found = read(file)
    assert "/log" not in found
    assert len(found["/action"]) == exported.steps == reader.steps
    json.loads((tmp_path / "out" / LAYOUT_NAME).read_text())


def test_the_command_exports_it_and_refuses_to_import_it(salus, written, tmp_path):
    reader, _, _ = written
    given = ("--layout", "mcap", "--out", tmp_path / "again")
    code, said, _ = salus("export", reader.path, *given)
    assert code == 0
    assert "2 steps that lack something have no message of it" in said
    assert (tmp_path / "again" / LAYOUT_NAME).exists()
    code, _, said = salus("import", tmp_path / "again", *given[:2], "--out", tmp_path / "c.zarr")
    assert code == 2
    assert "allowed are padded and lerobot" in said
