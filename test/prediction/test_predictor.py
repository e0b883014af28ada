import math

import numpy as np
import pytest
import torch

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.core.failures import FailureType
from salus_ros.evaluation.predictor_evaluation import weighted_loss
from salus_ros.prediction.predictor import Predictor, _crossing


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained[0])


def decide(predictor, probability):
    """What follows from these probabilities (B, H, K)."""
    probability = np.asarray(probability, dtype=np.float32)
    logits = np.log(probability) - np.log1p(-probability)
    known = np.ones(len(probability), bool)
    return predictor.decide(logits, np.full((len(logits), 2), np.nan, np.float32), known)


def test_shapes_and_ranges(predictor, samples):
    prediction = predictor.predict(samples.signals[:50], samples.valid[:50])
    assert prediction.probability.shape == (50, 4, 4)
    assert prediction.probability.dtype == np.float32
    assert prediction.any_failure.shape == (50, 4)
    assert prediction.risk.shape == prediction.time_to_failure_s.shape == (50,)
    assert ((prediction.probability >= 0) & (prediction.probability <= 1)).all()
    assert (np.diff(prediction.any_failure, axis=1) >= 0).all()
    np.testing.assert_array_equal(prediction.risk, prediction.any_failure.max(axis=1))
    assert set(prediction.most_likely_type) <= {int(kind) for kind in FailureType}


def test_live_one_by_one_agrees_with_offline_in_one_batch(predictor, samples):
    offline = predictor.predict(samples.signals, samples.valid)
    for row in range(0, len(samples.signals), 37):
        live = predictor.predict(samples.signals[row], samples.valid[row])
        np.testing.assert_allclose(live.probability[0], offline.probability[row], atol=1e-5)
        np.testing.assert_allclose(live.risk[0], offline.risk[row], atol=1e-5)
        np.testing.assert_allclose(
            live.time_to_failure_s[0], offline.time_to_failure_s[row], atol=1e-4
        )


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_cuda_agrees_with_the_cpu(predictor, samples, trained):
    cuda = Predictor.load(trained[0], "cuda").predict(samples.signals, samples.valid)
    cpu = predictor.predict(samples.signals, samples.valid)
    np.testing.assert_allclose(cuda.probability, cpu.probability, atol=1e-5)


def test_any_failure_by_hand(predictor):
    probability = np.full((1, 4, 4), 1e-7)
    probability[0, 0, :2] = 0.5
    probability[0, 1, 0] = 0.2  # less than the shorter horizon said
    probability[0, 2, 0] = 0.9
    prediction = decide(predictor, probability)
    np.testing.assert_allclose(prediction.any_failure[0], [0.75, 0.75, 0.9, 0.9], atol=1e-5)
    assert prediction.risk[0] == pytest.approx(0.9, abs=1e-5)
    assert prediction.most_likely_type[0] == FailureType.DROP
    # 0.75 is reached within 0.2 s, from 0 at 0 s
    assert prediction.time_to_failure_s[0] == pytest.approx(0.2 * 0.5 / 0.75, abs=1e-5)


def test_no_failure_is_the_likeliest_when_all_are_unlikely(predictor):
    prediction = decide(predictor, np.full((1, 4, 4), 0.05))
    assert prediction.most_likely_type[0] == FailureType.NONE
    assert math.isnan(prediction.time_to_failure_s[0])


def test_crossing_by_hand():
    any_failure = np.array(
        [[0.1, 0.4, 0.6, 0.9], [0.1, 0.2, 0.3, 0.4], [0.5, 0.5, 0.5, 0.5], [np.nan] * 4],
        dtype=np.float32,
    )
    times = _crossing(any_failure, (0.2, 0.3, 0.4, 0.5))
    np.testing.assert_allclose(times, [0.35, np.nan, 0.2, np.nan], atol=1e-6)


def test_no_valid_signal_is_no_prediction(predictor):
    signals = np.full((3, 12), np.nan, dtype=np.float32)
    signals[1] = 0.5
    prediction = predictor.predict(signals)
    assert np.isnan(prediction.probability[[0, 2]]).all()
    assert np.isnan(prediction.risk).tolist() == [True, False, True]
    assert prediction.most_likely_type[0] == FailureType.NONE
    assert not (prediction.risk[0] > predictor.threshold)


def test_the_value_of_an_invalid_signal_does_not_matter(predictor, samples):
    signals, valid = samples.signals[40].copy(), samples.valid[40].copy()
    valid[[2, 5]] = False
    given = []
    for value in (np.nan, 0.0, 1e9, np.inf):
        signals[[2, 5]] = value
        given.append(predictor.predict(signals, valid).probability)
    assert all(np.array_equal(given[0], other) for other in given)


def test_by_default_nan_is_missing(predictor, samples):
    with_mask = predictor.predict(samples.signals[:20], samples.valid[:20])
    without = predictor.predict(samples.signals[:20])
    np.testing.assert_array_equal(with_mask.probability, without.probability)


def test_wrong_sizes_are_refused(predictor):
    with pytest.raises(ObservationError, match=r"\(1, 11\).*allowed is \(B, 12\)"):
        predictor.predict(np.zeros(11, np.float32))
    with pytest.raises(ObservationError, match="validity"):
        predictor.predict(np.zeros(12, np.float32), np.ones(11, bool))
    with pytest.raises(ObservationError, match="marked valid"):
        predictor.predict(np.full(12, np.nan, np.float32), np.ones(12, bool))


def test_an_absent_device_is_named(trained):
    with pytest.raises(ConfigError, match="cuda:99"):
        Predictor.load(trained[0], "cuda:99")


def test_the_predictor_says_what_it_is(predictor, trained):
    assert predictor.model_id == trained[1]["model_id"]
    assert predictor.horizons_s == (0.2, 0.3, 0.4, 0.5)
    assert predictor.threshold == trained[1]["threshold"]
    assert predictor.calibrated is False


def test_weighted_loss_is_that_of_torch():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 4, 4)).astype(np.float32) * 5
    labels = rng.random((20, 4, 4)) < 0.2
    expected = torch.nn.functional.binary_cross_entropy_with_logits(
        torch.from_numpy(logits), torch.from_numpy(labels).float(), pos_weight=torch.tensor(3.0)
    )
    assert weighted_loss(logits, labels, 3.0) == pytest.approx(float(expected), rel=1e-5)
