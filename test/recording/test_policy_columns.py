"""Plans and embeddings of messages as columns: what is wrong is refused by itself."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from salus_ros.episodes import StoreSpec
from salus_ros.messages.signals import SignalsRow
from salus_ros.recording.policy_columns import policy_columns, policy_sizes, signals_row
from salus_ros.recording.rows import SIGNALS, Row

SPEC = StoreSpec(
    state_dim=1,
    action_dim=2,
    plan_length=3,
    plan_samples=2,
    visual_cameras=("front", "wrist"),
    visual_dim=4,
    expert_dim=5,
    further_signals=("hesitation", "regret"),
)
NAMES = ("plan", "plan_step", "plan_samples", "visual_embedding", "expert_embedding")
NAMES += ("further_signals",)


def said(step=0, **change):
    plans = np.arange(12, dtype=np.float16).reshape(2, 3, 2) + np.float16(step)
    given = SignalsRow(
        signals=np.zeros(12, np.float32),
        valid=np.ones(12, bool),
        fresh=step == 0,
        embedding=np.zeros(0, np.float16),
        plan=plans[0],
        plan_samples=plans,
        visual_embedding=np.full((2, 4), step, np.float16),
        expert_embedding=np.full(5, step, np.float16),
        plan_step=step,
        visual_cameras=("front", "wrist"),
        further=np.float32([step, 0.5]),
        further_names=("hesitation", "regret"),
    )
    return replace(given, **change)


def rows(*samples):
    return [Row(t, t, samples={SIGNALS: one}) for t, one in enumerate(samples)]


def columns(*samples, spec=SPEC):
    refused = []
    made = policy_columns(rows(*samples), spec, lambda name, error: refused.append((name, error)))
    return made, refused


def test_sizes_are_those_of_what_is_said():
    sizes = policy_sizes(rows(None, said()), 2)
    assert StoreSpec(state_dim=1, action_dim=2, **sizes) == SPEC
    assert policy_sizes(rows(None, said(plan_samples=None)), 2)["plan_samples"] == 0


def test_a_store_is_not_made_for_what_is_unsound():
    first = said(
        plan=np.zeros((3, 9), np.float16),  # of another width than an action
        visual_embedding=np.full((2, 7), np.nan, np.float16),
        expert_embedding=np.full(8, np.inf, np.float16),
        further=None,
    )
    assert policy_sizes(rows(first), 2) == {}
    assert policy_sizes(rows(first, said()), 2)["plan_length"] == 3
    bare = said(plan=None, plan_samples=None, visual_embedding=None, expert_embedding=None)
    bare = replace(bare, further=None)
    assert policy_sizes(rows(bare, None), 2) == {}


def test_columns_hold_what_is_said_and_nothing_where_nothing_is():
    made, refused = columns(said(0), None, said(2))
    assert set(made) == set(NAMES)
    np.testing.assert_array_equal(made["plan"][2], said(2).plan)
    np.testing.assert_array_equal(made["plan_samples"][2], said(2).plan_samples)
    np.testing.assert_array_equal(made["plan_step"], [0, np.nan, 2])
    assert all(np.isnan(values[1]).all() for values in made.values())
    assert refused == []


def test_a_store_without_the_columns_takes_none():
    assert columns(said(), spec=StoreSpec(state_dim=1, action_dim=2)) == ({}, [])


@pytest.mark.parametrize(
    ("change", "refused", "reason"),
    [
        ({"plan": np.zeros((3, 3), np.float16)}, "plan", r"\(3, 3\), the store takes \(3, 2\)"),
        ({"plan": np.zeros(6, np.float16)}, "plan", r"\(6,\), the store takes"),
        ({"plan": np.full((3, 2), np.nan, np.float16)}, "plan", "not finite"),
        ({"plan": np.full((3, 2), np.inf, np.float16)}, "plan", "65504"),
        ({"plan_step": 3}, "plan", "action 3 of a plan of 3"),
        ({"plan_samples": np.zeros((4, 3, 2), np.float16)}, "plan", r"\(4, 3, 2\)"),
        ({"visual_cameras": ("wrist", "front")}, "visual_embedding", "of the cameras"),
        ({"visual_embedding": np.zeros((3, 4), np.float16)}, "visual_embedding", "shape|takes"),
        ({"expert_embedding": np.full(5, np.nan, np.float16)}, "expert_embedding", "not finite"),
        ({"further_names": ("hesitation", "joy")}, "further_signals", "hesitation.*joy.*regret"),
    ],
)
def test_what_does_not_fit_is_refused_alone(change, refused, reason):
    made, found = columns(said(1), said(1, **change))
    assert [name for name, _ in found] == [refused]
    with pytest.raises(type(found[0][1]), match=reason):
        raise found[0][1]
    lost = ("plan", "plan_step", "plan_samples") if refused == "plan" else (refused,)
    for name in NAMES:
        assert np.isnan(made[name][1]).all() == (name in lost), name
        assert np.isfinite(made[name][0]).all()


def test_samples_that_are_not_published_leave_the_plan():
    made, refused = columns(said(plan_samples=None))
    assert np.isnan(made["plan_samples"]).all()
    assert np.isfinite(made["plan"]).all()
    assert refused == []


def test_a_further_signal_that_does_not_exist_yet_is_a_gap_and_no_fault():
    made, refused = columns(said(further=np.float32([np.nan, 2])), said(further=None))
    np.testing.assert_array_equal(made["further_signals"], [[np.nan, 2], [np.nan, np.nan]])
    assert refused == []


@pytest.mark.parametrize("samples", [False, True])
def test_an_answer_of_a_policy_as_its_message_would_say_it(samples):
    plans = np.random.default_rng(0).normal(size=(2, 3, 2)).astype(np.float32)
    plans[1, 0, 0] = 70000
    answer = SimpleNamespace(
        signals=np.zeros(12), valid=np.ones(12, bool), fresh=True, embedding=np.zeros(2),
        chunk_statistics=np.zeros(5), plans=plans, plan_step=1, inference_ms=1.0,
        visual_embedding=np.zeros((2, 4)), expert_embedding=np.zeros(5),
        further=np.float32([1, np.nan]),
    )  # fmt: skip
    row = signals_row(answer, ["front", "wrist"], ["hesitation", "regret"], samples=samples)
    np.testing.assert_array_equal(row.further, [1, np.nan])
    assert row.further_names == ("hesitation", "regret")
    np.testing.assert_allclose(row.plan, plans[0], rtol=2**-11)
    assert (row.plan_samples is not None) == samples
    assert (row.plan_step, row.visual_cameras) == (1, ("front", "wrist"))
    if samples:
        assert np.isinf(row.plan_samples[1, 0, 0])
