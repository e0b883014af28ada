"""What may be asked of an episode when; no ROS."""

import math
from dataclasses import dataclass
from typing import ClassVar

import pytest

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.nodes.announcer import Announcer, EpisodeError


@dataclass
class Status:
    """The fields and constants of EpisodeStatus that an announcer sets."""

    PHASE_RUNNING: ClassVar[int] = 1
    PHASE_ENDED: ClassVar[int] = 2
    PHASE_DISCARDED: ClassVar[int] = 4
    episode_id: str = ""
    phase: int = 0
    task: str = ""
    rate_hz: float = 0.0
    outcome: int = 0
    failure_type: int = 0
    failure_step: int = 0
    failure_time: float = 0.0
    seed: int = 0
    fault: str = ""
    fault_step: int = 0
    fault_strength: float = 0.0
    max_steps: int = 7


@pytest.fixture
def announcer():
    return Announcer(Status, rate_hz=10.0, task="lift")


def test_an_episode_runs_and_ends(announcer):
    running = announcer.start()
    assert (running.phase, running.task, running.rate_hz) == (1, "lift", 10.0)
    assert (running.seed, running.failure_step, running.fault, running.max_steps) == (
        -1, -1, "none", 0,
    )  # fmt: skip
    assert math.isnan(running.failure_time)
    assert announcer.running == running.episode_id != ""
    ended = announcer.stop()
    assert (ended.episode_id, ended.phase) == (running.episode_id, 2)
    assert running.phase == 1  # what was published is not changed behind its back
    assert announcer.running == ""


def test_names_never_come_twice(announcer):
    names = []
    for _ in range(3):  # within one second, mostly
        names.append(announcer.start().episode_id)
        announcer.stop()
    assert len(set(names)) == 3
    announcer.start(episode_id="a")
    announcer.discard()
    with pytest.raises(EpisodeError, match="there was an episode 'a' already"):
        announcer.start(episode_id="a")


def test_one_episode_at_a_time(announcer):
    announcer.start(episode_id="a")
    with pytest.raises(EpisodeError, match="'a' is running; call ~/stop or ~/discard"):
        announcer.start()


@pytest.mark.parametrize("ask", ["stop", "discard"])
def test_what_does_not_run_does_not_end(announcer, ask):
    with pytest.raises(EpisodeError, match="no episode is running"):
        getattr(announcer, ask)()


def test_a_label_after_the_end(announcer):
    announcer.start(episode_id="a")
    announcer.stop()
    status = announcer.label("", Outcome.FAILURE, FailureType.DROP, 5)
    assert (status.episode_id, status.phase) == ("a", 2)
    assert (status.outcome, status.failure_type, status.failure_step) == (2, 1, 5)
    assert status.failure_time == pytest.approx(0.5)
    assert announcer.said(status) == "'a' has ended and is labelled failure by drop at step 5"
    status = announcer.label("a", Outcome.SUCCESS, FailureType.NONE)
    assert (status.outcome, status.failure_type, status.failure_step) == (1, 0, -1)
    assert announcer.said(status) == "'a' has ended and is labelled success"


def test_a_label_while_it_runs_holds_at_the_end(announcer):
    announcer.start(episode_id="a")
    status = announcer.label("", Outcome.FAILURE, FailureType.OTHER, -1, 0.42)
    assert status.phase == 1
    said = "'a' is running; when it ends it is labelled failure by other after 0.42 s"
    assert announcer.said(status) == said
    ended = announcer.stop()
    assert (ended.outcome, ended.failure_type, ended.failure_step) == (2, 4, -1)
    assert ended.failure_time == pytest.approx(0.42)  # whoever knows the steps knows which


def test_a_failure_of_unknown_moment_has_none(announcer):
    announcer.start(episode_id="a")
    status = announcer.label("", Outcome.FAILURE, FailureType.OTHER)
    assert status.failure_step == -1
    assert math.isnan(status.failure_time)


def test_an_earlier_episode_can_still_be_labelled(announcer):
    for name in ("a", "b"):
        announcer.start(episode_id=name)
        announcer.stop()
    assert announcer.label("a", Outcome.SUCCESS, 0).episode_id == "a"
    assert announcer.label("", Outcome.SUCCESS, 0).episode_id == "b"


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("", 9, 0), r"outcome is 9; allowed are 0 \(unknown\), 1 \(success\), 2 \(failure\)"),
        (("", 2, 7), r"failure_type is 7; allowed are 0 \(none\), 1 \(drop\)"),
        (("", 1, 1), "outcome SUCCESS does not go with failure_type DROP"),
        (("", 2, 0), "outcome FAILURE does not go with failure_type NONE"),
        (("", 2, 1, -7), "failure_step is -7"),
        (("", 2, 1, -1, math.nan), "failure_time nan"),
        (("", 2, 1, -1, -0.5), "failure_time -0.5"),
        (("", 2, 1, 4, 0.5), "not both"),
        (("", 1, 0, 4), "outcome SUCCESS has no moment of failure"),
        (("zz", 1, 0), "no episode 'zz' was begun here; the last are a"),
    ],
)
def test_a_label_that_cannot_be_changes_nothing(announcer, given, said):
    announcer.start(episode_id="a")
    with pytest.raises(EpisodeError, match=said):
        announcer.label(*given)
    assert announcer.stop().outcome == Outcome.UNKNOWN


def test_what_became_of_a_discarded_episode_is_said(announcer):
    with pytest.raises(EpisodeError, match="no episode has been begun yet"):
        announcer.label("", 1, 0)
    announcer.start(episode_id="a")
    assert announcer.discard().phase == 4
    with pytest.raises(EpisodeError, match="'a' was discarded"):
        announcer.label("", 1, 0)


def test_an_end_without_a_word_discards_what_runs(announcer):
    assert announcer.close() is None
    announcer.start(episode_id="a")
    assert announcer.close().phase == 4
