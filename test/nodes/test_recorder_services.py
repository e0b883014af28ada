import math
import re
import threading

import pytest
from fake_robot import Robot
from std_srvs.srv import Trigger

from salus_msgs.msg import RecorderStatus
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.messages.stamps import to_ns
from salus_ros.recording.writer import EpisodeWriter


@pytest.fixture
def robot(graph, tmp_path):
    return Robot(graph, tmp_path / "runs" / "a.zarr")


def test_who_listens_late_gets_the_newest_status_first(graph, robot):
    graph.until(lambda: len(robot.heard) > 3)
    newest = to_ns(robot.heard[-1].header.stamp)
    late = graph.listen(RecorderStatus, "recorder_status", status=True)
    graph.until(lambda: late)
    assert to_ns(late[0].header.stamp) >= newest


def test_stop_and_start(graph, robot):
    robot.step("a", 0)
    graph.until(lambda: robot.node._recorder._assembler.steps("a") == 1)
    response = graph.call(Trigger, "recorder/stop", Trigger.Request())
    assert response.success
    assert "the episode in flight is dropped" in response.message
    robot.run("b")
    assert graph.call(StartEpisode, "recorder/start", StartEpisode.Request()).success
    robot.run("c")
    robot.committed(1)
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["c"]


def test_a_recorder_may_wait_to_be_started(graph, tmp_path):
    robot = Robot(graph, tmp_path / "a.zarr", record=False)
    robot.run("a")
    assert graph.call(StartEpisode, "recorder/start", StartEpisode.Request()).success
    robot.run("b")
    robot.committed(1)
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["b"]


def label(graph, episode_id="", outcome=2, failure_type=1, failure_step=2, failure_time=0.0):
    request = LabelEpisode.Request(
        episode_id=episode_id,
        outcome=outcome,
        failure_type=failure_type,
        failure_step=failure_step,
        failure_time=failure_time,
    )
    return graph.call(LabelEpisode, "recorder/label", request)


def test_the_last_episode_is_labelled(graph, robot):
    assert "no episode has been recorded yet" in label(graph).message
    robot.run("a")
    robot.committed(1)
    response = label(graph)
    assert response.success
    assert (
        "labelled failure by drop at step 2" in response.message
    )  # now, or soon where it is busy
    graph.until(lambda: StoreReader(robot.path).meta(0).failure_step == 2)
    meta = StoreReader(robot.path).meta(0)
    assert (meta.outcome, meta.failure_type, meta.failure_step) == (2, 1, 2)


def test_a_label_for_the_last_episode_is_no_earlier_ones_where_that_was_dropped(graph, robot):
    robot.run("a")
    robot.committed(1)
    robot.step("b", 0)
    graph.until(lambda: robot.node._recorder._assembler.steps("b") == 1)
    assert graph.call(Trigger, "recorder/discard", Trigger.Request()).success
    refused = label(graph)
    assert not refused.success
    assert "the last episode, 'b', was dropped: " in refused.message
    assert label(graph, "a").success
    robot.run("c")
    robot.committed(2)
    assert label(graph).success


def test_a_misplaced_release_is_labelled(graph, robot):
    robot.run("a")
    robot.committed(1)
    response = label(graph, failure_type=FailureType.MISPLACED_RELEASE)
    assert "labelled failure by misplaced_release at step 2" in response.message
    graph.until(lambda: StoreReader(robot.path).meta(0).failure_step == 2)
    assert StoreReader(robot.path).meta(0).failure_type == FailureType.MISPLACED_RELEASE


def test_the_running_episode_is_labelled(graph, robot):
    robot.step("a", 0)
    graph.until(lambda: robot.node._recorder._assembler.steps("a") == 1)
    assert label(graph, failure_step=1).success
    for step in (1, 2):
        robot.step("a", step)
    robot.end("a", 3)
    robot.committed(1)
    assert StoreReader(robot.path).meta(0).failure_step == 1


def test_the_moment_of_a_failure_may_be_a_time(graph, robot):
    robot.step("a", 0)
    graph.until(lambda: robot.node._recorder._assembler.steps("a") == 1)
    response = label(graph, failure_step=-1, failure_time=0.067)
    assert response.message == "a will be labelled failure by drop after 0.07 s when it is written"
    for step in (1, 2):
        robot.step("a", step)
    robot.end("a", 3)
    robot.committed(1)
    assert StoreReader(robot.path).meta(0).failure_step == 2
    response = label(graph, failure_step=-1, failure_time=0.033)
    assert "labelled failure by drop at step 1" in response.message
    graph.until(lambda: StoreReader(robot.path).meta(0).failure_step == 1)


@pytest.mark.parametrize(
    ("time_s", "step"),
    [(0.29, 3), (0.31, 3), (0.45, 4), (0.9, -1)],
)
def test_a_failure_told_as_a_time_is_the_step_at_which_it_was(graph, robot, time_s, step):
    """A policy at a third of the rate that the status promises."""
    for number in range(4):
        robot.step("a", number)
        robot.tick += 2
    robot.end("a", 4, outcome=2, failure_type=1, failure_time=time_s)
    robot.committed(1)
    meta = StoreReader(robot.path).meta(0)
    assert (meta.outcome, meta.failure_type, meta.failure_step) == (2, 1, step)
    robot.end("a", 4, outcome=2, failure_type=2, failure_time=0.2)
    graph.until(lambda: StoreReader(robot.path).meta(0).failure_type == 2)
    graph.until(lambda: StoreReader(robot.path).meta(0).failure_step == 2)


@pytest.mark.parametrize("time_s", [0.05, math.nan, math.inf, -1.0])
def test_a_time_of_failure_without_a_failure_means_nothing(graph, robot, time_s):
    robot.run("a")
    for step in range(3):
        robot.step("b", step)
    robot.end("b", 3, failure_time=time_s)
    robot.run("c")
    robot.committed(3)
    assert [meta.outcome for meta in StoreReader(robot.path).episodes()] == [Outcome.SUCCESS] * 3


def test_a_label_whose_moment_is_after_the_end_costs_no_episode(graph, robot):
    robot.step("a", 0)
    graph.until(lambda: robot.node._recorder._assembler.steps("a") == 1)
    assert label(graph, failure_step=-1, failure_time=20.0).success
    for step in (1, 2):
        robot.step("a", step)
    robot.end("a", 3)
    robot.committed(1)
    assert StoreReader(robot.path).meta(0).outcome == Outcome.SUCCESS  # as it was told
    graph.until(lambda: "without its label" in robot.node._recorder.writer.fate["a"])
    response = label(graph, failure_step=-1, failure_time=20.0)
    assert not response.success
    assert "20.00 s lies after the end of the episode at 0.10 s" in response.message


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"episode_id": "zz"}, "no episode 'zz' in .* the last are a"),
        ({"outcome": 1}, "does not go with failure type 'drop'"),
        ({"outcome": 9}, "outcome is 9; allowed are 0 .unknown., 1 .success., 2 .failure."),
        ({"failure_step": 99}, "99"),
    ],
)
def test_a_label_that_cannot_be_is_refused(graph, robot, given, said):
    robot.run("a")
    robot.committed(1)
    response = label(graph, **given)
    assert not response.success
    assert re.search(said, response.message)
    assert StoreReader(robot.path).meta(0).outcome == Outcome.SUCCESS


def start(graph, **request):
    return graph.call(StartEpisode, "recorder/start", StartEpisode.Request(**request))


def call(graph, name):
    return graph.call(Trigger, f"recorder/{name}", Trigger.Request())


def test_where_a_world_says_what_an_episode_is_nobody_else_does(graph, robot):
    refused = start(graph, task="stack")
    assert not refused.success
    assert "give them to /episode/start" in refused.message


def test_an_episode_of_a_world_is_discarded(graph, robot):
    assert not call(graph, "discard").success
    robot.step("a", 0)
    graph.until(lambda: robot.node._recorder._assembler.steps("a") == 1)
    assert call(graph, "discard").success
    robot.step("a", 1)
    robot.end("a", 2)
    robot.run("b")
    robot.committed(1)
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["b"]


def test_a_label_does_not_wait_for_a_large_file(graph, robot, monkeypatch):
    robot.run("a")
    robot.committed(1)
    free, write = threading.Event(), EpisodeStore.write
    monkeypatch.setattr(EpisodeStore, "write", lambda self, b: (free.wait(), write(self, b))[1])
    robot.run("b")  # held up by its file
    graph.until(lambda: robot.node._recorder.writer.writing == "b")
    response = label(graph, "a", failure_step=1)
    assert response.message == "a will soon be labelled failure by drop at step 1"
    assert StoreReader(robot.path).meta(0).failure_step == -1
    free.set()
    robot.committed(2)
    graph.until(lambda: StoreReader(robot.path).meta(0).failure_step == 1)


def test_a_label_between_commit_and_end_is_not_lost(graph, robot, monkeypatch):
    """The store has the episode already, and its writer is not done with it yet."""
    free, settle = threading.Event(), EpisodeWriter._settle_label
    monkeypatch.setattr(
        EpisodeWriter, "_settle_label", lambda self, name: (free.wait(), settle(self, name))
    )
    robot.run("a")
    graph.until(lambda: robot.path.exists() and len(StoreReader(robot.path)) == 1)
    assert label(graph, "a", failure_step=1).success
    free.set()
    graph.until(lambda: StoreReader(robot.path).meta(0).failure_step == 1)
