"""Where something else than the policy acted, as a store keeps it."""

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_store

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.interventions import (
    Span,
    by_step,
    is_name,
    joined,
    names_by_step,
    parse,
    within,
    written,
)

TEXT = "2-4 scripted@alarm timeout; 7-7 person@takeover"
SPANS = (Span(2, 5, "scripted@alarm timeout"), Span(7, 8, "person@takeover"))


def test_a_text_says_which_steps_and_what_acted_why():
    assert parse(TEXT) == SPANS
    assert written(SPANS) == TEXT
    assert (parse(""), written(())) == ((), "")
    first, second = SPANS
    assert (first.mechanism, first.trigger, first.kind) == ("scripted", "alarm", "timeout")
    assert (second.mechanism, second.trigger, second.kind) == ("person", "takeover", "")


def test_steps_join_to_stretches():
    spans = ()
    names = ["", "a@b", "a@b", "c@d", "", "c@d"]
    for step, name in enumerate(names):
        spans = joined(spans, step, name)
    assert written(spans) == "1-2 a@b; 3-3 c@d; 5-5 c@d"
    assert names_by_step(written(spans), len(names)) == names


def test_each_step_has_its_number_and_a_part_counts_from_its_first():
    np.testing.assert_array_equal(by_step(TEXT, 9), [0, 0, 1, 1, 1, 0, 0, 2, 0])
    assert within(TEXT, 3, 8) == "0-1 scripted@alarm timeout; 4-4 person@takeover"
    assert within(TEXT, 5, 7) == ""


@pytest.mark.parametrize(
    "text", ["scripted@alarm", "2-4 scripted", "4-2 a@b", "2-4 a@b; 4-5 a@b", "2-4 a@b;5-6 a@b"]
)
def test_what_is_none_is_refused(text):
    with pytest.raises(StoreError, match="intervention"):
        parse(text)


@pytest.mark.parametrize("name", ["scripted", "a@b c d", "a@b;c", "@b", "a@", "a@b " + "x" * 100])
def test_what_cannot_be_kept_is_no_name(name):
    assert not is_name(name)
    assert is_name("held@alarm:drop/collision timeout")


def test_a_store_keeps_them_and_one_of_before_goes_on(tmp_path):
    path = make_store(tmp_path / "a.zarr", (FailureType.NONE,), LOW_DIM)
    with EpisodeStore.open(path) as store:
        store.append(make_episode("new", 9, spec=LOW_DIM, interventions=TEXT))
    reader = StoreReader(path)
    assert [meta.interventions for meta in reader.episodes()] == ["", TEXT]
    assert not reader.intervention(0).any()
    np.testing.assert_array_equal(reader.intervention(1), by_step(TEXT, 9))
    with pytest.raises(StoreError, match="go beyond its 7 steps"):
        make_episode("short", 7, spec=LOW_DIM, interventions=TEXT)
