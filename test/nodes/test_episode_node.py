"""The episode node: an arm without a recorder, by the services a person calls."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from std_srvs.srv import Trigger

from salus_msgs.msg import EpisodeStatus
from salus_msgs.srv import LabelEpisode, StartEpisode
from salus_ros.core.failures import Outcome
from salus_ros.nodes.episode import EpisodeNode


@pytest.fixture
def heard(graph):
    """What it says, from its first word on."""
    graph.add(EpisodeNode, task="lift", rate_hz=20.0)
    said = graph.listen(EpisodeStatus, "episode", status=True)
    graph.until(lambda: said)
    return said


def start(graph, **request):
    return graph.call(StartEpisode, "episode/start", StartEpisode.Request(**request))


def call(graph, name):
    return graph.call(Trigger, f"episode/{name}", Trigger.Request())


def test_a_person_begins_ends_and_labels(graph, heard):
    assert heard[-1].phase == EpisodeStatus.PHASE_IDLE
    answer = start(graph, episode_id="a")
    assert (answer.success, answer.episode_id) == (True, "a")
    assert call(graph, "stop").message == "'a' has ended; say how it went with ~/label"
    # What a person types is `{outcome: 1}`; everything else has its default.
    label = graph.call(LabelEpisode, "episode/label", LabelEpisode.Request(outcome=1))
    assert label.message == "'a' has ended and is labelled success"
    graph.until(lambda: len(heard) == 4)
    phases = [status.phase for status in heard[1:]]
    assert phases == [1, 2, 2]
    assert [status.outcome for status in heard[1:]] == [0, 0, Outcome.SUCCESS]
    assert {(status.episode_id, status.task, status.rate_hz) for status in heard[1:]} == {
        ("a", "lift", 20.0)
    }
    stamps = [(s.header.stamp.sec, s.header.stamp.nanosec) for s in heard]
    assert stamps == sorted(stamps)


def test_a_refusal_is_an_answer_and_publishes_nothing(graph, heard):
    assert not call(graph, "stop").success
    refused = graph.call(LabelEpisode, "episode/label", LabelEpisode.Request(outcome=9))
    assert "no episode has been begun yet" in refused.message
    start(graph, episode_id="a")
    refused = graph.call(LabelEpisode, "episode/label", LabelEpisode.Request(outcome=9))
    assert refused.message == "outcome is 9; allowed are 0 (unknown), 1 (success), 2 (failure)"
    graph.until(lambda: len(heard) == 2)


def test_a_discarded_episode_is_announced_as_one(graph, heard):
    start(graph, episode_id="a", task="push")
    assert call(graph, "discard").message == "'a' is over and not to be kept"
    graph.until(lambda: heard[-1].phase == EpisodeStatus.PHASE_DISCARDED)
    assert (heard[-1].episode_id, heard[-1].task) == ("a", "push")


def test_a_node_that_ends_discards_what_runs(graph, heard):
    start(graph, episode_id="a")
    graph.remove(graph.nodes[0])
    graph.until(lambda: heard[-1].phase == EpisodeStatus.PHASE_DISCARDED)


def test_who_comes_late_hears_what_runs(graph, heard):
    start(graph, episode_id="a")
    late = graph.listen(EpisodeStatus, "episode", status=True)
    graph.until(lambda: late and late[-1].episode_id == "a")


def test_its_state_is_in_the_diagnostics(graph, heard):
    diagnostics = graph.listen(DiagnosticArray, "/diagnostics")
    start(graph, episode_id="a")
    name = f"{graph.namespace[1:]}/episode"
    graph.until(
        lambda: any(
            status.name == name and status.message == "'a' is running"
            for array in diagnostics
            for status in array.status
        )
    )
