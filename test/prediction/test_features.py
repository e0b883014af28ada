import numpy as np
import pytest

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.prediction.features import CLOSE_STEPS, INPUTS, Features

LIMIT = 140


@pytest.fixture
def steps():
    rng = np.random.default_rng(0)
    signals = rng.normal(3, 2, size=(50, 12)).astype(np.float32)
    valid = np.ones(signals.shape, bool)
    valid[:, 11] = False
    embedding = rng.normal(-1, 4, size=(50, 6)).astype(np.float16)
    return signals, valid, {"embedding": embedding}


def test_inputs_stand_in_one_order_and_are_standardised(steps):
    features = Features.fit(
        ("embedding", "clock", "signals", "validity"), *steps, time_limit_steps=LIMIT
    )
    assert features.inputs == tuple(n for n in INPUTS if n in features.inputs)
    assert features.inputs == ("signals", "validity", "embedding", "clock")
    values = features.apply(*steps, np.arange(50))
    assert values.shape == (50, features.width) == (50, 12 + 12 + 7 + 1 + len(CLOSE_STEPS))
    assert values.dtype == np.float32
    for columns in (slice(0, 11), slice(24, 30)):
        np.testing.assert_allclose(values[:, columns].mean(axis=0), 0, atol=1e-3)
        np.testing.assert_allclose(values[:, columns].std(axis=0), 1, atol=1e-3)
    assert (values[:, 12:23] == 1).all()  # valid
    assert not values[:, [11, 23]].any()  # never valid
    assert values[-1, 31] == np.float32(49 / LIMIT)


def test_the_clock_is_fine_near_the_limit_and_coarse_before(steps):
    features = Features.fit(("clock",), *steps, time_limit_steps=LIMIT)
    signals, valid = (array[:5] for array in steps[:2])
    left = np.array([LIMIT, 64, 4, 0, -7])
    elapsed, *close = features.apply(signals, valid, None, LIMIT - left).T
    np.testing.assert_allclose(elapsed, 1 - left / LIMIT, atol=1e-6)
    for tau, values in zip(CLOSE_STEPS, close, strict=True):
        np.testing.assert_allclose(values, 2 * np.exp(-left.clip(0) / tau), rtol=1e-6)
    at_once = features.apply(signals[:2], valid[:2], None, LIMIT - np.array([6, 9]))  # 0.2, 0.3 s
    assert np.abs(np.diff(at_once[:, 1:], axis=0)).max() > 0.2


def test_a_clock_without_a_limit_is_refused(steps):
    with pytest.raises(ConfigError, match="give --time-limit-steps"):
        Features.fit(("signals", "clock"), *steps)


def test_what_is_missing_is_zero_and_flagged(steps):
    features = Features.fit(("signals", "validity", "embedding"), *steps)
    signals, valid = (array[:3].copy() for array in steps[:2])
    embedding = steps[2]["embedding"][:3].copy()
    signals[0, 2], valid[0, 2] = np.inf, False
    embedding[1, 4] = np.nan
    values = features.apply(signals, valid, {"embedding": embedding})
    assert values[0, 2] == values[0, 14] == 0
    assert values[1, 14] == 1
    assert not values[1, 24:].any()
    assert values[0, 30] == values[2, 30] == 1
    assert not features.apply(signals, valid, None)[:, 24:].any()


def test_signals_beyond_the_twelve_are_missing_one_by_one(steps):
    signals, valid, _ = steps
    further = np.random.default_rng(1).normal(5, 3, size=(50, 3)).astype(np.float32)
    further[:, 1] = np.nan  # never there in training
    features = Features.fit(("further",), signals, valid, {"further": further})
    assert (features.width, features.spans) == (6, {"further": slice(0, 6)})
    given = further[:2].copy()
    given[0, 0], given[0, 1] = np.nan, 7.0
    values = features.apply(signals[:2], valid[:2], {"further": given})
    np.testing.assert_array_equal(values[:, 3:], [[0, 0, 1], [1, 0, 1]])
    assert not values[0, :2].any()
    assert values[1, 0] != 0
    assert features.missing({"further": given}) == {}  # as of signals, that is no fault
    assert features.missing({}) == {"further": "no further"}
    assert not features.apply(signals[:2], valid[:2], {}).any()


def test_a_signal_that_is_left_out_does_not_count(steps):
    gone = np.arange(12) == 4
    features = Features.fit(("signals", "validity"), *steps[:2], left_out=gone)
    values = features.apply(*steps[:2])
    assert not values[:, [4, 16]].any()
    assert values[:, 3].any()


def test_other_sizes_and_values_that_lie_are_refused(steps):
    signals, valid, extras = steps
    features = Features.fit(("signals", "embedding"), *steps)
    with pytest.raises(ObservationError, match="11"):
        features.apply(signals[:, :11], valid[:, :11], extras)
    with pytest.raises(ObservationError, match="5"):
        features.apply(signals, valid, {"embedding": extras["embedding"][:, :5]})
    signals[7, 3] = np.nan
    with pytest.raises(ObservationError, match="marked valid"):
        features.apply(signals, valid, extras)


def test_the_columns_of_an_input_are_known(steps):
    signals, valid, extras = steps
    extras = extras | {"joints": extras["embedding"][:, :2]}
    inputs = ("signals", "validity", "embedding", "joints", "clock")
    features = Features.fit(inputs, signals, valid, extras, time_limit_steps=LIMIT)
    assert features.spans == {"embedding": slice(24, 31), "joints": slice(31, 34)}
    assert features.width == 34 + 1 + len(CLOSE_STEPS)
    gone = features.apply(signals, valid, {"joints": extras["joints"]})
    whole = features.apply(signals, valid, extras)
    whole[:, features.spans["embedding"]] = 0
    np.testing.assert_array_equal(gone, whole)
