import json
import zipfile

import numpy as np
import pytest
from synthetic_episodes import WITH_IMAGES, make_episode
from typer.testing import CliRunner

from salus_ros.cli import app
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.clip import (
    ClipInfo,
    ClipStore,
    Ending,
    Reason,
    clip_info,
    is_clip,
    make_clip,
    remove_leftovers,
)
from salus_ros.labelling.work import Labelling
from salus_ros.view.stored import Recording

UNKNOWN = {"outcome": Outcome.UNKNOWN, "failure_type": FailureType.NONE, "failure_step": -1}
SCORES = {"episode_failure": 0.9, "episode_threshold": float("inf"), "lead_s": 0.4}
ALARM = Reason("alarm", 5, 1.5, 4, "ep", 104, "drop", 0.8, 0.5, **SCORES)
ENDING = Ending("other", 4, "success")
INFO = ClipInfo((ALARM, Reason("call", 7, 2.5)), "s", (ENDING,), 3, 2, "short")


@pytest.fixture
def clip(tmp_path):
    with EpisodeStore.create(tmp_path / "work" / "clip.zarr", WITH_IMAGES) as store:
        store.append(make_episode("ep", 20, spec=WITH_IMAGES, **UNKNOWN))
    path = tmp_path / "a.zarr.zip"
    make_clip(tmp_path / "work" / "clip.zarr", path, INFO)
    return path


def test_a_clip_is_a_store_that_says_why_it_was_saved(clip):
    reader = StoreReader(clip)
    found = clip_info(reader)
    assert (found.reasons[0], found.endings, found.note) == (ALARM, INFO.endings, "short")
    assert (found.more, found.unsaved) == (3, 2)
    assert np.isnan(found.reasons[1].risk)
    expected = make_episode("ep", 20, spec=WITH_IMAGES, **UNKNOWN)
    episode = reader.episode(0)
    np.testing.assert_array_equal(episode.images["wrist"], expected.images["wrist"])
    np.testing.assert_array_equal(episode.signals, expected.signals)
    assert ALARM.words() == "alarm: drop, risk 0.80 (threshold 0.50) in 'ep' at step 104"


def test_a_clip_is_shown_with_its_reasons(clip):
    recording = Recording(clip)
    shown = recording.update(0)["parts"]["episode"]
    assert shown["clip, step 4"] == ALARM.words()
    assert shown["clip"] == "called for"
    assert recording.jpeg(0, "front", 19)[:2] == b"\xff\xd8"


def test_a_clip_is_labelled_in_place(clip):
    before = StoreReader(clip).episode(0)
    result = CliRunner().invoke(
        app, ["label", str(clip), "--index", "0", "--outcome", "failure", "--type", "drop",
              "--step", "12", "--json"],
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["changed"][0]["after"]["failure_step"] == 12
    reader = StoreReader(clip)
    after = reader.episode(0)
    assert (after.meta.ending, after.meta.failure_step) == ("drop", 12)
    assert clip_info(reader).reasons[0] == ALARM
    for camera, frames in before.images.items():
        np.testing.assert_array_equal(after.images[camera], frames)
    np.testing.assert_array_equal(after.action, before.action)
    names = zipfile.ZipFile(clip).namelist()
    assert len(names) == len(set(names))
    assert [path.name for path in clip.parent.iterdir() if path.is_file()] == [clip.name]
    with Labelling([clip], everything=True) as work:  # and taken back
        work.answer(Outcome.SUCCESS, FailureType.NONE, -1)
        assert StoreReader(clip).meta(0).outcome == Outcome.SUCCESS
        work.undo()
    assert StoreReader(clip).meta(0).ending == "drop"


def test_a_clip_has_one_who_labels_it(clip):
    with ClipStore(clip), pytest.raises(StoreError, match="is being written by process"):
        ClipStore(clip)


def test_what_is_no_whole_clip_is_refused(clip, tmp_path):
    with EpisodeStore.create(tmp_path / "b.zarr", WITH_IMAGES) as store:
        store.append(make_episode("ep", 20, spec=WITH_IMAGES))
    assert clip_info(StoreReader(tmp_path / "b.zarr")) is None
    cut = tmp_path / "cut.zarr.zip"
    cut.write_bytes(clip.read_bytes()[:-1000])
    assert not is_clip(cut)
    with pytest.raises(StoreError, match="is a packed store"):
        Labelling([cut])
    content = zipfile.ZipFile(clip).read("zarr.json").decode()
    odd = tmp_path / "odd.zarr.zip"
    with zipfile.ZipFile(odd, "w") as other, zipfile.ZipFile(clip) as whole:
        for name in whole.namelist():
            data = whole.read(name)
            other.writestr(name, content.replace('"alarm"', '"of late"') * (name == "zarr.json")
                           or data)  # fmt: skip
    with pytest.raises(StoreError, match="does not say why it was saved"):
        clip_info(StoreReader(odd))


def test_a_clip_that_cannot_be_written_leaves_nothing(clip, tmp_path, monkeypatch):
    content = clip.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("salus_ros.episodes.clip.os.fsync", full)
    with pytest.raises(StoreError, match="No space left on device"):
        make_clip(tmp_path / "work" / "clip.zarr", tmp_path / "c.zarr.zip", INFO)
    with ClipStore(clip) as store, pytest.raises(StoreError, match="No space"):
        store.relabel(0, Outcome.SUCCESS, FailureType.NONE, -1)
    assert clip.read_bytes() == content
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr.zip", "work"]


def test_what_a_killed_process_left_is_removed_and_what_a_living_one_makes_is_not(tmp_path):
    (tmp_path / ".clip-dead" / "clip.zarr").mkdir(parents=True)
    (tmp_path / ".clip-dead" / "clip.zarr.lock").write_text("{}")
    with EpisodeStore.create(tmp_path / ".clip-alive" / "clip.zarr", WITH_IMAGES):
        remove_leftovers(tmp_path)
        assert [path.name for path in tmp_path.iterdir()] == [".clip-alive"]
