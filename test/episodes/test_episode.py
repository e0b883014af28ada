import dataclasses

import numpy as np
import pytest
from synthetic_episodes import WITH_IMAGES, make_episode

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta


def test_values_are_cast_to_the_types_of_the_store():
    episode = make_episode()
    assert episode.action.dtype == episode.signals.dtype == np.float32
    assert episode.stamp_ns.dtype == np.int64
    assert make_episode(spec=WITH_IMAGES).embedding.dtype == np.float16


def test_a_signal_that_is_not_valid_is_nan_whatever_was_given():
    episode = make_episode()
    assert np.isnan(episode.signals[~episode.signals_valid]).all()
    assert np.isfinite(episode.signals[episode.signals_valid]).all()


def test_signals_may_all_be_missing():
    episode = make_episode()
    empty = dataclasses.replace(
        episode,
        signals=np.full_like(episode.signals, np.nan),
        signals_valid=np.zeros_like(episode.signals_valid),
    )
    assert np.isnan(empty.signals).all()


def replaced(**changes):
    return dataclasses.replace(make_episode(spec=WITH_IMAGES), **changes)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"action": np.zeros(30)}, "action is float64 (30,); allowed is float32 with 2"),
        ({"state": np.zeros((29, 7))}, "same number of steps"),
        ({"images": {"front": np.zeros((30, 8, 6, 3))}}, "images of 'front' is float64"),
        ({"images": {"front": np.zeros((30, 8, 6), np.uint8)}}, "uint8 (T, H, W, 3)"),
        ({"stamp_ns": np.zeros(30, np.int64)}, "stamp_ns must increase"),
        ({"stamp_ns": np.arange(30.0)}, "stamp_ns is float64"),
        ({"signals": np.full((30, 12), np.inf)}, "marked valid is not finite"),
        ({"signals_valid": np.ones((30, 12))}, "signals_valid is float64"),
        ({"probability": np.zeros((30, 16))}, "probability is float64 (30, 16)"),
    ],
)
def test_arrays_of_another_form_are_refused(change, said):
    with pytest.raises(StoreError) as error:
        replaced(**change)
    assert said in str(error.value)


def test_no_steps_is_no_episode():
    with pytest.raises(StoreError, match="at least one"):
        make_episode(length=0)


@pytest.mark.parametrize(
    ("known", "said"),
    [
        ({"outcome": Outcome.FAILURE}, "a failure has a type"),
        ({"outcome": Outcome.SUCCESS, "failure_type": FailureType.DROP}, "a failure has a type"),
        ({"outcome": Outcome.SUCCESS, "failure_step": 3}, "use -1"),
        ({"outcome": Outcome.UNKNOWN, "fault_step": 3}, "no fault"),
        ({"outcome": Outcome.UNKNOWN, "fault": "slip", "fault_step": -2}, "fault step -2"),
        ({"outcome": Outcome.UNKNOWN, "fault_strength": 0.1}, "without a fault; use NaN"),
        ({"outcome": Outcome.UNKNOWN, "rate_hz": 0.0}, "rate_hz"),
        ({"outcome": Outcome.UNKNOWN, "rate_hz": float("nan")}, "rate_hz"),
    ],
)
def test_an_outcome_that_contradicts_itself_is_refused(known, said):
    with pytest.raises(StoreError, match=said):
        EpisodeMeta(id="a", task="", **known)


def test_a_failure_after_the_end_is_refused():
    with pytest.raises(StoreError, match="after its 30 steps"):
        make_episode(kind=FailureType.DROP, failure_step=31)


def test_a_fault_may_start_after_the_end_or_at_an_unknown_moment():
    assert make_episode(fault="slip", fault_step=99, fault_strength=0.1).meta.fault_step == 99
    assert make_episode(fault="force").meta.fault_step == -1


WORLDS_OWN = EpisodeMeta(
    "a", "", Outcome.FAILURE, FailureType.DROP, 3, failure_cause="misplaced release"
)


def test_the_cause_refines_the_type():
    assert WORLDS_OWN.finest_type == FailureType.MISPLACED_RELEASE
    assert WORLDS_OWN.ending == "drop"  # as the world published it
    assert dataclasses.replace(WORLDS_OWN, failure_cause="drop").finest_type == FailureType.DROP
    assert EpisodeMeta("a", "", Outcome.SUCCESS).finest_type == FailureType.NONE


@pytest.mark.parametrize(
    ("kind", "cause", "finest"),
    [
        (FailureType.DROP, "misplaced release", FailureType.MISPLACED_RELEASE),
        (FailureType.MISPLACED_RELEASE, "misplaced release", FailureType.MISPLACED_RELEASE),
        (FailureType.COLLISION, "", FailureType.COLLISION),
    ],
)
def test_the_cause_stays_where_a_person_judges_alike(kind, cause, finest):
    judged = WORLDS_OWN.judged(Outcome.FAILURE, kind, 5)
    assert (judged.failure_type, judged.failure_cause) == (kind, cause)
    assert judged.finest_type == finest


def test_a_person_who_tells_them_apart_contradicts_the_world():
    meta = dataclasses.replace(WORLDS_OWN, failure_cause="drop")
    judged = meta.judged(Outcome.FAILURE, FailureType.MISPLACED_RELEASE, 3)
    assert (judged.failure_cause, judged.finest_type) == ("", FailureType.MISPLACED_RELEASE)


def test_only_a_known_ending_can_be_labelled():
    assert EpisodeMeta("a", "", Outcome.SUCCESS).labelled
    assert EpisodeMeta("a", "", Outcome.FAILURE, FailureType.DROP, 0).labelled
    assert not EpisodeMeta("a", "", Outcome.FAILURE, FailureType.DROP).labelled
    assert not EpisodeMeta("a", "", Outcome.UNKNOWN).labelled
