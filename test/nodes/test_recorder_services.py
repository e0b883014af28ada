import re

import pytest
from fake_robot import PERIOD_NS, Robot
from std_srvs.srv import Trigger

from salus_msgs.msg import EpisodeStatus
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import StoreReader


@pytest.fixture
def robot(graph, tmp_path):
    return Robot(graph, tmp_path / "runs" / "a.zarr")


def test_stop_and_start(graph, robot):
    robot.step("a", 0)
    graph.until(lambda: robot.node._assembler.steps("a") == 1)
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
    assert response.message == "a is now labelled failure by drop at step 2"
    meta = StoreReader(robot.path).meta(0)
    assert (meta.outcome, meta.failure_type, meta.failure_step) == (2, 1, 2)


def test_the_running_episode_is_labelled(graph, robot):
    robot.step("a", 0)
    graph.until(lambda: robot.node._assembler.steps("a") == 1)
    assert label(graph, failure_step=1).success
    for step in (1, 2):
        robot.step("a", step)
    robot.end("a", 3)
    robot.committed(1)
    assert StoreReader(robot.path).meta(0).failure_step == 1


def test_the_moment_of_a_failure_may_be_a_time(graph, robot):
    robot.step("a", 0)
    graph.until(lambda: robot.node._assembler.steps("a") == 1)
    response = label(graph, failure_step=-1, failure_time=0.067)
    assert response.message == "a will be labelled failure by drop after 0.07 s when it is written"
    for step in (1, 2):
        robot.step("a", step)
    robot.end("a", 3)
    robot.committed(1)
    assert StoreReader(robot.path).meta(0).failure_step == 2
    response = label(graph, failure_step=-1, failure_time=0.033)
    assert response.message == "a is now labelled failure by drop at step 1"
    assert StoreReader(robot.path).meta(0).failure_step == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"episode_id": "zz"}, "no episode 'zz' in .* the last are a"),
        ({"outcome": 1}, "does not go with failure type 'drop'"),
        ({"outcome": 9}, "9 is not a valid Outcome"),
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


@pytest.fixture
def arm(graph, tmp_path):
    """A robot on which nobody says what an episode is."""
    return Robot(graph, tmp_path / "a.zarr", episode_source="service", task="lift")


def start(graph, **request):
    return graph.call(StartEpisode, "recorder/start", StartEpisode.Request(**request))


def call(graph, name):
    return graph.call(Trigger, f"recorder/{name}", Trigger.Request())


def act(arm, episode, steps):
    """A few steps of a policy, stamped by the clock that stamps episodes too."""
    for step in range(steps):
        arm.tick = arm.node.get_clock().now().nanoseconds / PERIOD_NS
        arm.observe(episode, step)
        arm.answer(episode, step)
        arm.graph.until(lambda step=step: arm.node._assembler.steps(episode) > step)


def test_a_person_begins_ends_and_labels_an_episode(graph, arm):
    begun = start(graph)
    assert begun.success
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d", begun.episode_id)
    act(arm, begun.episode_id, 3)
    assert call(graph, "stop").success
    arm.committed(1)
    (running, ended) = arm.announced
    assert (running.phase, ended.phase) == (
        EpisodeStatus.PHASE_RUNNING,
        EpisodeStatus.PHASE_ENDED,
    )
    assert (running.task, running.rate_hz, ended.seed) == ("lift", 30.0, -1)
    meta = StoreReader(arm.path).meta(0)
    assert (meta.id, meta.task, meta.outcome) == (begun.episode_id, "lift", Outcome.UNKNOWN)
    assert (meta.seed, meta.fault, meta.fault_step) == (-1, "none", -1)
    assert label(graph, failure_step=1).success
    meta = StoreReader(arm.path).meta(0)
    assert (meta.outcome, meta.failure_type) == (Outcome.FAILURE, FailureType.DROP)


def test_episodes_of_a_person_follow_each_other(graph, arm):
    for name in ("a", "b"):
        assert start(graph, task="stack", episode_id=name).message.startswith(
            f"recording '{name}'"
        )
        act(arm, name, 3)
        assert call(graph, "stop").success
    arm.committed(2)
    metas = StoreReader(arm.path).episodes()
    assert [(m.id, m.task) for m in metas] == [("a", "stack"), ("b", "stack")]


def test_one_episode_at_a_time(graph, arm):
    assert not call(graph, "stop").success
    assert start(graph, episode_id="a").success
    again = start(graph, episode_id="b")
    assert not again.success
    assert "episode 'a' is running; call ~/stop or ~/discard" in again.message


def test_an_episode_of_a_person_is_discarded(graph, arm):
    start(graph, episode_id="a")
    act(arm, "a", 3)
    assert call(graph, "discard").message == "'a' will not be recorded"
    assert arm.failed("it was discarded").episodes_committed == 0
    graph.until(lambda: arm.announced[-1].phase == EpisodeStatus.PHASE_ENDED)
    start(graph, episode_id="b")
    act(arm, "b", 3)
    call(graph, "stop")
    arm.committed(1)
    assert [m.id for m in StoreReader(arm.path).episodes()] == ["b"]


def test_a_recorder_that_ends_ends_its_episode(graph, arm):
    start(graph, episode_id="a")
    act(arm, "a", 2)
    arm.close()
    graph.until(lambda: arm.announced[-1].phase == EpisodeStatus.PHASE_ENDED)
    assert not arm.path.exists()


def test_where_a_world_says_what_an_episode_is_nobody_else_does(graph, robot):
    refused = start(graph, task="stack")
    assert not refused.success
    assert "set the parameter episode_source to service" in refused.message


def test_an_episode_of_a_world_is_discarded(graph, robot):
    assert not call(graph, "discard").success
    robot.step("a", 0)
    graph.until(lambda: robot.node._assembler.steps("a") == 1)
    assert call(graph, "discard").success
    robot.step("a", 1)
    robot.end("a", 2)
    robot.run("b")
    robot.committed(1)
    assert [m.id for m in StoreReader(robot.path).episodes()] == ["b"]
