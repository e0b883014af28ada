import math
from types import SimpleNamespace

import numpy as np
import pytest

from salus_ros.core import schema
from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FailureType
from salus_ros.messages.signals import (
    check_form,
    read_prediction,
    read_signals,
)


def signals(embedding=(), **change):
    values = {name: float(i) for i, name in enumerate(schema.SIGNAL_NAMES)}
    values |= {"valid": [True] * 12, "fresh": True, "embedding": np.float32(embedding)}
    values |= {"num_samples": 2, "episode_id": "e"}  # as every version of the message has them
    return SimpleNamespace(**values | change)


def horizons(**change):
    values = {
        "horizons": np.float32(schema.HORIZONS_S),
        "failure_types": [1, 2, 3, 4],
        "probability": np.arange(16, dtype=np.float32) / 16,
        "risk": 0.25,
        "alarm": True,
        "model_id": "m",
    }
    return SimpleNamespace(**values | change)


def test_signals_of_a_step():
    row = read_signals(signals([1, -2.5], valid=[True] * 11 + [False]))
    np.testing.assert_array_equal(row.signals, [*range(11), np.nan])
    assert row.signals.dtype == np.float32
    assert row.valid.tolist() == [True] * 11 + [False]
    assert row.fresh is True
    assert row.embedding.dtype == np.float16
    np.testing.assert_array_equal(row.embedding, [1, -2.5])
    assert row.chunk_statistics is None


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e300])
def test_a_signal_that_is_not_finite_is_not_valid_whatever_the_message_says(bad):
    row = read_signals(signals(attention_shift=bad))
    place = schema.SIGNAL_NAMES.index("attention_shift")
    assert np.flatnonzero(~row.valid).tolist() == [place]
    assert np.flatnonzero(np.isnan(row.signals)).tolist() == [place]


def test_no_embedding_is_an_empty_one():
    assert read_signals(signals()).embedding.shape == (0,)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_an_embedding_with_a_value_that_is_not_finite_is_no_number_throughout(bad):
    row = read_signals(signals([1, bad, 3]))
    assert np.isnan(row.embedding).all()
    assert row.embedding.shape == (3,)


def test_an_embedding_that_float16_cannot_hold_is_refused_not_made_infinite():
    np.testing.assert_array_equal(read_signals(signals([65504])).embedding, [65504])
    with pytest.raises(ObservationError, match="up to 70000; the store keeps float16") as caught:
        read_signals(signals([0, -70000]))
    with pytest.raises(ObservationError, match="up to 65510; the store keeps float16"):
        read_signals(signals([65510]))  # which float16 would round to its largest
    assert "70000" not in caught.value.cause


def test_the_plan_and_what_the_policy_sees():
    plan = np.arange(6, dtype=np.float32) / 10
    row = read_signals(
        signals(
            plan=plan,
            plan_length=3,
            plan_step=2,
            plan_samples=np.concatenate([plan, plan + 1]),
            visual_cameras=["front", "wrist"],
            visual_embedding=np.arange(8, dtype=np.float32),
            expert_embedding=np.float32([1, 2]),
        )
    )
    assert row.plan.shape == (3, 2)
    assert row.plan.dtype == np.float16
    np.testing.assert_allclose(row.plan, plan.reshape(3, 2), rtol=2**-11)
    assert (row.plan_samples.shape, row.plan_step) == ((2, 3, 2), 2)
    np.testing.assert_array_equal(row.plan_samples[0], row.plan)
    np.testing.assert_array_equal(row.visual_embedding, np.arange(8).reshape(2, 4))
    np.testing.assert_array_equal(row.expert_embedding, [1, 2])
    assert (row.visual_cameras, row.episode_id) == (("front", "wrist"), "e")


def test_a_message_of_an_older_version_has_none_of_it():
    row = read_signals(signals())
    assert row.plan is row.plan_samples is row.visual_embedding is row.expert_embedding is None
    assert (row.plan_step, row.visual_cameras) == (-1, ())
    assert (row.further, row.further_names) == (None, ())


def test_signals_beyond_the_twelve_have_a_name_and_a_value():
    given = np.float32([0.5, np.inf])
    row = read_signals(signals(further_names=["hesitation", "regret"], further=given))
    np.testing.assert_array_equal(row.further, np.float32([0.5, np.nan]))
    assert row.further_names == ("hesitation", "regret")
    assert given[1] == np.inf  # the message is not written to


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a"], "1 names of further signals and 2 values"),
        (["a", "a"], "allowed are up to 256 different names"),
        (["a", ""], "different names of 1 to 80"),
        (["a", "x" * 81], "of 1 to 80 characters"),
        (["a", "latent_ood"], "none of them one of the twelve"),
    ],
)
def test_further_signals_that_contradict_themselves_are_refused(names, said):
    with pytest.raises(ObservationError, match=said):
        read_signals(signals(further_names=names, further=np.zeros(2, np.float32)))


@pytest.mark.parametrize("length", [0, 4, 2**32 - 1])
def test_a_plan_of_another_length_than_it_says_is_of_no_shape(length):
    given = signals(plan=np.zeros(6), plan_length=length, plan_step=0)
    assert read_signals(given).plan.shape == (6,)


def test_the_message_is_not_written_to():
    given = signals([1, math.nan])
    read_signals(given)
    assert given.embedding[0] == 1


def test_signals_of_another_version_are_refused():
    given = signals(valid=[True] * 11)
    with pytest.raises(ObservationError, match="it says of 11 signals"):
        read_signals(given)
    del given.latent_ood
    with pytest.raises(ObservationError, match=r"it has no latent_ood; .* another version"):
        read_signals(given)


def test_a_prediction_of_a_step():
    row = read_prediction(horizons())
    assert row.probability.shape == (4, 4)
    assert row.probability[1, 2] == 6 / 16
    assert (row.risk, row.alarm, row.model_id) == (0.25, True, "m")
    assert row.horizons_s == schema.HORIZONS_S  # not what float32 makes of them
    assert row.failure_types[0] is FailureType.DROP


def test_a_prediction_may_tell_other_types_apart():
    row = read_prediction(horizons(failure_types=[1, 5, 2], probability=np.arange(12) / 16))
    assert row.failure_types[1] is FailureType.MISPLACED_RELEASE
    assert row.probability.shape == (4, 3)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"horizons": []}, "above 0 and ascend"),
        ({"horizons": [0.0, 0.1, 0.2, 0.3]}, "above 0 and ascend"),
        ({"horizons": [0.2, 0.1, 0.3, 0.4]}, "above 0 and ascend"),
        ({"horizons": [0.1, 0.2, 0.3, math.inf]}, "above 0 and ascend"),
        ({"horizons": [0.1, 0.2, math.nan, 0.4]}, "above 0 and ascend"),
        ({"failure_types": []}, r"its failure types are \[\]"),
        ({"failure_types": [1, 2, 3, 9]}, "allowed is each of"),
        ({"failure_types": [0, 1, 2, 3]}, "allowed is each of"),
        ({"failure_types": [1, 1, 2, 3]}, "allowed is each of"),
        ({"failure_types": [1, 2, 3]}, "16 probabilities; 4 horizons x 3 types need 12"),
        ({"probability": []}, "0 probabilities"),
        ({"probability": [math.nan] * 16}, "in \\[0, 1\\]"),
        ({"probability": [1.5] * 16}, "from 1.5 to 1.5"),
        ({"risk": math.nan}, "its risk is nan"),
        ({"risk": -0.1}, "its risk is -0.1"),
        ({"risk": math.inf}, "its risk is inf"),
    ],
)
def test_what_is_no_prediction_is_refused(change, said):
    with pytest.raises(ObservationError, match=said):
        read_prediction(horizons(**change))


def test_a_step_of_which_nothing_is_known_is_read_with_its_alarm():
    row = read_prediction(horizons(probability=[math.nan] * 16, risk=math.nan, alarm=True))
    assert np.isnan(row.probability).all()
    assert math.isnan(row.risk)
    assert row.alarm


def test_what_is_said_of_the_whole_episode_is_read_or_unknown():
    older = read_prediction(horizons())  # of a version that said neither
    assert np.isnan(older.episode_outputs).all()
    row = read_prediction(horizons(episode_failure=0.75, no_progress=math.nan))
    np.testing.assert_array_equal(row.episode_outputs, np.float32([0.75, math.nan]))
    for name in ("episode_failure", "no_progress"):
        for value in (1.5, -0.1, math.inf):
            with pytest.raises(ObservationError, match=r"both have to be in \[0, 1\], or NaN"):
                read_prediction(horizons(**{name: value}))


def test_what_float32_adds_to_a_probability_is_taken_away():
    row = read_prediction(horizons(probability=np.full(16, np.float32(1 + 1e-7)), risk=1 + 1e-7))
    assert row.probability.max() == 1
    assert row.risk == 1


def test_a_prediction_of_another_form_than_the_store_s_is_refused():
    given = horizons(horizons=[0.1, 0.2, 0.3, 0.4])
    with pytest.raises(ObservationError, match=r"has horizons \[0.1, 0.2, 0.3, 0.4\] s"):
        check_form(read_prediction(given), schema.HORIZONS_S, [1, 2, 3, 4])
    with pytest.raises(ObservationError, match=r"and types .1, 2, 3, 4.; the store takes"):
        check_form(read_prediction(horizons()), schema.HORIZONS_S, [1, 2])
    check_form(read_prediction(horizons()), schema.HORIZONS_S, [1, 2, 3, 4])
