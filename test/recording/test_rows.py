import pytest

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.recording.rows import Label, step_at

MS = 1_000_000
STAMPS_NS = [1_000 * MS, 1_100 * MS, 1_200 * MS, 1_900 * MS]
"""With a pause before the last step."""


@pytest.mark.parametrize(
    ("time_s", "step"),
    [(0.01, 0), (0.06, 1), (0.24, 2), (0.5, 2), (0.6, 3), (0.9, 3), (0.99, 4), (1.04, 4)],
)
def test_a_moment_is_the_nearest_step(time_s, step):
    assert step_at(STAMPS_NS, time_s) == step


def test_an_episode_of_one_step_has_the_period_that_is_usual():
    assert step_at([5], 0.01) == 0
    assert step_at([5], 0.03) == 1


def test_a_moment_after_the_end_is_refused():
    with pytest.raises(StoreError, match=r"1\.20 s lies after the end of the episode at 1\.00 s"):
        step_at(STAMPS_NS, 1.2)


def test_a_label_is_put_on_an_episode_by_its_stamps():
    meta = EpisodeMeta("a", "", Outcome.UNKNOWN, rate_hz=30.0)
    label = Label(Outcome.FAILURE, FailureType.DROP, failure_time_s=0.2)
    assert label.on(meta, STAMPS_NS).failure_step == 2
    assert Label(Outcome.FAILURE, FailureType.DROP, 4).on(meta, STAMPS_NS).failure_step == 4
    assert Label(Outcome.FAILURE, FailureType.DROP).on(meta, STAMPS_NS).failure_step == -1
    with pytest.raises(StoreError, match="failure step 5 lies after its 4 steps"):
        Label(Outcome.FAILURE, FailureType.DROP, 5).on(meta, STAMPS_NS)


@pytest.mark.parametrize(
    "label",
    [
        Label(Outcome.SUCCESS, failure_time_s=0.2),
        Label(Outcome.SUCCESS, FailureType.DROP),
        Label(Outcome.FAILURE),
        Label(Outcome.SUCCESS, failure_step=3),
    ],
)
def test_a_label_that_contradicts_itself_is_refused(label):
    with pytest.raises(StoreError):
        label.check()


@pytest.mark.parametrize(
    ("label", "words"),
    [
        (Label(Outcome.SUCCESS), "success"),
        (Label(Outcome.FAILURE, FailureType.DROP), "failure by drop"),
        (Label(Outcome.FAILURE, FailureType.DROP, 3), "failure by drop at step 3"),
        (Label(Outcome.FAILURE, FailureType.DROP, -1, 0.25), "failure by drop after 0.25 s"),
    ],
)
def test_it_is_said_in_words(label, words):
    assert label.words() == words
