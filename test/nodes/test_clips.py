"""Clips of what a recorder hears, with real messages and real files."""

import errno
import os
import shutil
from collections import namedtuple

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from fake_robot import CAMERAS, PERIOD_NS, Robot
from std_srvs.srv import Trigger

from salus_msgs.msg import FailureHorizons
from salus_ros.core import schema
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.clip import clip_info

SAME = ("action", "state", "signals", "stamp_ns", "age_ms", "probability", "risk", "alarm")


@pytest.fixture
def make(graph, tmp_path):
    """A robot whose recorder saves clips of 0.5 s before and 0.2 s after."""

    def robot(**parameters):
        given = {"clips": str(tmp_path / "clips"), "clip_before_s": 0.5, "clip_after_s": 0.2}
        return Robot(graph, tmp_path / "a.zarr", **(given | parameters))

    return robot


def clips_of(robot):
    return robot.node._recorder.clips


def steps(robot, first, last, *, alarms=(), episode="ep", **options):
    """Steps of an episode, one heard after the other; it alarms at those that are named."""
    for step in range(first, last):
        robot.step(
            episode,
            step,
            skip=("prediction", *options.get("skip", ())),
            **({name: value for name, value in options.items() if name != "skip"}),
        )
        robot.horizons.publish(
            FailureHorizons(
                header=robot.header,
                episode_id=episode,
                step=step,
                horizons=np.float32(schema.HORIZONS_S),
                failure_types=[1, 2, 3, 4],
                probability=np.full(16, 0.3, np.float32),
                risk=0.75 if step in alarms else 0.25,
                threshold=0.5,
                alarm=step in alarms,
                most_likely_type=FailureType.DROP,
                time_to_failure=0.4,
                model_id="m1",
            )
        )
        robot.graph.until(lambda: clips_of(robot)._lookback.newest_ns >= robot.tick * PERIOD_NS)
        robot.graph.until(lambda: clips_of(robot)._alarmed == (episode, step in alarms))  # noqa: B023


def saved(robot, number=1):
    """The clips that there are, once there are so many."""
    robot.graph.until(lambda: clips_of(robot).saved == number, f"{number} clips")
    folder = robot.path.with_name("clips")
    readers = [StoreReader(path) for path in folder.iterdir()]  # nothing else lies there
    return sorted(readers, key=lambda one: clip_info(one).reasons[0].wall_s)


def said(graph, text):
    """Wait until the recorder's diagnostics say something; returns their figures then."""
    found = []
    graph.until(lambda: found or found.extend(_found(graph, text)), text)
    return {value.key: value.value for value in found[0].values}


def _found(graph, text):
    name = f"{graph.namespace[1:]}/recorder"
    every = [one for array in graph.diagnostics for one in array.status if one.name == name]
    return [one for one in every if text in one.message]


@pytest.fixture
def graph(graph):
    graph.diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    return graph


def test_an_alarm_saves_what_was_before_and_after_as_it_is_recorded(make):
    robot = make()
    steps(robot, 0, 40, alarms=range(20, 24))
    (reader,) = saved(robot)
    info = clip_info(reader)
    (reason,) = info.reasons
    assert (reason.why, reason.episode_id, reason.step, reason.kind) == ("alarm", "ep", 20, "drop")
    assert (reason.risk, reason.threshold) == (0.75, 0.5)
    assert reason.lead_s == pytest.approx(0.4)
    assert (info.endings, info.more, info.unsaved, info.note) == ((), 0, 0, "")
    clip = reader.episode(0)
    assert len(clip) == 15 + 1 + 6
    assert clip.stamp_ns[reason.row] == reason.stamp_ns == 21 * PERIOD_NS
    assert (clip.meta.id, clip.meta.outcome) == ("ep", Outcome.UNKNOWN)
    assert (clip.meta.policy_id, clip.meta.model_id) == ("tiny", "m1")
    for i, camera in enumerate(CAMERAS):
        shown = clip.images[camera][:, 0, 0, 0]
        np.testing.assert_allclose(shown, 10 * i + 5 + np.arange(22), atol=2)  # JPEG
    robot.end("ep", 40)
    robot.committed(1)
    recorded = StoreReader(robot.path).episode(0)
    for name in SAME:
        np.testing.assert_array_equal(getattr(clip, name), getattr(recorded, name)[5:27], name)


@pytest.mark.parametrize("moment", [{"failure_step": 15}, {"failure_time": 0.51}])
def test_a_failure_is_saved_with_its_moment_and_its_end(make, moment):
    robot = make()
    steps(robot, 0, 20)
    robot.end("ep", 20, Outcome.FAILURE, FailureType.COLLISION, **moment)
    steps(robot, 0, 12, episode="next")  # time goes on
    (reader,) = saved(robot)
    info = clip_info(reader)
    assert [(one.why, one.kind, one.step) for one in info.reasons] == [
        ("failure", "collision", 15)
    ]
    (ending,) = info.endings
    assert (ending.episode_id, ending.outcome, ending.kind) == ("ep", "failure", "collision")
    clip = reader.episode(0)
    assert clip.stamp_ns[clip.meta.failure_step] == ending.failure_ns == 16 * PERIOD_NS
    assert clip.meta.failure_step == info.reasons[0].row
    assert clip.stamp_ns[-1] > 21 * PERIOD_NS  # of the next episode
    assert clips_of(robot).reasons == {"failure": 1}


def test_a_call_saves_what_is_seen_while_nothing_is_recorded_and_nothing_runs(graph, make):
    robot = make(record=False, clip_after_s=0.0)
    call = Trigger.Request()
    refused = graph.call(Trigger, "recorder/clip", call)
    assert (refused.success, "has been heard" in refused.message) == (False, True)
    for step in range(6):  # images and joints alone
        robot.tick += 1
        robot.images["front"].publish(robot.image(np.full((24, 32, 3), step, np.uint8), "rgb8"))
        graph.until(lambda: clips_of(robot)._lookback.newest_ns >= robot.tick * PERIOD_NS)
    answer = graph.call(Trigger, "recorder/clip", call)
    assert answer.success
    (reader,) = saved(robot)
    assert str(reader.path) in answer.message
    info = clip_info(reader)
    assert [one.why for one in info.reasons] == ["call"]
    assert "no image of 'side' has come; no image of 'wrist' has come" in info.note
    clip = reader.episode(0)
    assert reader.spec.cameras == ("front",)
    np.testing.assert_array_equal(clip.images["front"][:, 0, 0, 0], np.arange(6))
    assert np.isnan(clip.action).all()
    assert np.isnan(clip.state).all()
    assert np.isnan(clip.age_ms[:, 1:]).all()
    assert not robot.path.exists()


def test_without_a_folder_there_are_no_clips(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr")
    assert robot.node._recorder.clips is None
    answer = graph.call(Trigger, "recorder/clip", Trigger.Request())
    assert (answer.success, "clips:=FOLDER" in answer.message) == (False, True)
    with pytest.raises(ConfigError, match="folder of this machine"):
        Robot(graph, tmp_path / "b.zarr", clips="s3://bucket/clips")


def test_a_storm_of_alarms_is_merged_counted_and_bounded(graph, make):
    robot = make(clips_per_minute=1)
    steps(robot, 0, 30, alarms=range(0, 14, 2))  # each within 0.2 s of the one before
    (reader,) = saved(robot)
    assert [one.step for one in clip_info(reader).reasons] == [0, 2, 4, 6, 8, 10, 12]
    assert len(reader.episode(0)) == 12 + 1 + 6
    steps(robot, 30, 36, alarms=(30, 32, 34))
    values = said(graph, "3 alarms or failures have no clip: 1 clips were begun in a minute")
    assert values["alarms"] == "10"
    assert values["merged into a clip that was there"] == "6"
    assert values["without a clip"] == "3"
    robot.graph.until(lambda: "have no clip" in robot.heard[-1].warning)
    assert graph.call(Trigger, "recorder/clip", Trigger.Request()).success  # a person may
    steps(robot, 36, 60)
    assert clip_info(saved(robot, 2)[1]).unsaved == 3


def test_a_clip_that_alarms_keep_going_is_cut(make, monkeypatch):
    monkeypatch.setattr("salus_ros.recording.clips.GOES_ON_S", 0.5)
    robot = make()
    steps(robot, 0, 30, alarms=range(0, 30, 2))
    robot.close()
    notes = [
        clip_info(StoreReader(path)).note
        for path in sorted(robot.path.with_name("clips").iterdir(), key=os.path.getmtime)
    ]
    assert notes == ["cut short: it had lasted 1.2 s", "cut short: the recorder ended"]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
def test_a_full_disk_is_told_and_leaves_nothing(graph, make, monkeypatch, when):
    robot = make(min_free_mb=10)
    full = namedtuple("usage", "total used free")(10**9, 10**9, 5_000_000)
    write, usage = EpisodeStore.write, shutil.disk_usage

    def refuse(self, block):
        if self.path.name == "clip.zarr":
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(self, block)

    with monkeypatch.context() as patch:
        if when == "before":
            here = str(robot.path.with_name("clips"))
            patch.setattr(shutil, "disk_usage", lambda p: full if str(p) == here else usage(p))
        else:
            patch.setattr(EpisodeStore, "write", refuse)
        steps(robot, 0, 20, alarms=(2,))
        word = "5 MB are free" if when == "before" else "No space left on device"
        values = said(graph, "a clip was not saved: ")
        assert _found(graph, word)
        assert (values["clips saved"], values["without a clip"]) == ("0", "1")
    assert list(robot.path.with_name("clips").iterdir()) == []
    steps(robot, 20, 40, alarms=(22,))
    assert clip_info(saved(robot)[0]).unsaved == 1
    robot.end("ep", 40)
    assert robot.committed(1).steps_recorded == 40


def test_too_many_bytes_of_clips_end_them(graph, make):
    robot = make(clips_max_mb=1)
    folder = robot.path.with_name("clips")
    folder.mkdir()
    (folder / "old.zarr.zip").write_bytes(bytes(2_000_000))
    steps(robot, 0, 6, alarms=(2,))
    said(graph, "clips take 2 MB of 1 MB (clips_max_mb)")
    assert [path.name for path in folder.iterdir()] == ["old.zarr.zip"]


def test_memory_is_bounded_and_the_clip_says_that_it_is_short(graph, make):
    robot = make(clip_buffer_mb=16, clip_after_s=30.0)
    steps(robot, 0, 40, alarms=range(10, 40), size=(256, 256))  # of 0.59 MB
    assert clips_of(robot)._lookback.size <= 16_000_000
    (reader,) = saved(robot)
    assert clip_info(reader).note == "cut short: clip_buffer_mb was full"
    assert clip_info(reader).reasons[0].row == 10
    assert len(reader.episode(0, images=False)) > 20
    said(graph, "s, a clip takes 30.5 s")


def test_a_clock_that_jumps_back_ends_the_clip_before_it(make):
    robot = make()
    robot.tick = 300
    steps(robot, 0, 20, alarms=(18,))
    robot.tick = 0
    for step in range(20):
        robot.step("again", step, skip=("prediction",))
    (reader,) = saved(robot)
    assert clip_info(reader).note == "cut short: the clock may have jumped back"
    clip = reader.episode(0)
    assert clip.stamp_ns[0] > 300 * PERIOD_NS
    assert len(clip) == 15 + 2


def test_a_camera_that_cannot_be_read_is_left_out_of_the_clip(make):
    robot = make(clip_after_s=0.0)
    odd = robot.image
    sizes = {"side": (12, 16)}

    def observe(pixels, encoding):
        camera = CAMERAS[observe.count % 3]
        observe.count += 1
        if camera in sizes:
            pixels = np.zeros((*sizes[camera], 3), np.uint8)
        return odd(pixels, "32FC7" if camera == "wrist" else encoding)

    observe.count = 0
    robot.image = observe
    steps(robot, 0, 20, alarms=(8,))
    (reader,) = saved(robot)
    assert reader.spec.cameras == ("front",)
    note = clip_info(reader).note
    assert "'side' is left out: its images are 16x12, those of 'front' 32x24" in note
    assert "'wrist' is left out: camera 'wrist' sends encoding '32FC7'" in note
