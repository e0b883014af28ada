"""The score of the alarm: the further of two probabilities above what successes reach."""

import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_samples

from salus_ros.core.failures import FailureType
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.predictor import Prediction, alarm_level
from salus_ros.training.alarm_score import (
    excess,
    references,
    references_of,
    success_maxima,
    thresholds,
)

EPISODES = (
    *(make_episode(str(n), 20) for n in range(10)),
    make_episode("f", 20, FailureType.DROP),
)
SAMPLES = make_samples(list(EPISODES), LOW_DIM)


def logit(p):
    return np.log(p / (1 - p))


def said(risk, ever):
    risk, ever = (np.asarray(values, np.float32) for values in (risk, ever))
    nothing = np.full((len(risk), 4, 4), np.nan, np.float32)
    return Prediction(nothing, nothing[..., 0], risk, nothing[:, 0, 0], risk, ever, ever)


@pytest.fixture(scope="module")
def prediction():
    rng = np.random.default_rng(0)
    steps = len(SAMPLES.step)
    return said(rng.uniform(0.01, 0.3, steps), rng.uniform(0.1, 0.9, steps))


def test_references_are_those_of_successes_alone(prediction):
    soon, ever = references(prediction, SAMPLES)
    maxima = [prediction.risk[rows].max() for rows in SAMPLES.slices[:10]]
    assert soon == pytest.approx(logit(np.quantile(maxima, 0.9)), rel=0.01)
    wild = replace(prediction, risk=prediction.risk.copy())
    wild.risk[SAMPLES.slices[10]] = 0.999
    assert references(wild, SAMPLES) == (soon, ever)


def test_what_is_above_the_limit_is_what_alarms(prediction):
    reached = references(prediction, SAMPLES)
    score = excess(prediction, reached)
    for limit in np.quantile(score, (0.2, 0.5, 0.9, 0.99)):
        soon, ever = thresholds(reached, float(limit))
        level = alarm_level(prediction.risk, prediction.episode_failure, soon, ever)
        by_hand = (prediction.risk > np.float32(soon)) | (
            prediction.episode_failure > np.float32(ever)
        )
        np.testing.assert_array_equal(level > 0, by_hand)
        away = np.abs(score - limit) > 1e-4  # but for rounding
        np.testing.assert_array_equal((level > 0)[away], (score > limit)[away])


@pytest.mark.parametrize("risk", [1e-8, 0.2, 0.7311, 1 - 1e-8])
def test_a_score_at_the_limit_is_not_above_it(risk):
    one = said([risk], [np.nan])
    (limit,) = excess(one, (0.3, 0.0))
    assert not (
        alarm_level(one.risk, one.episode_failure, *thresholds((0.3, 0.0), float(limit))) > 0
    ).any()


def test_a_failure_of_either_kind_is_seen():
    reached = float(logit(0.2)), float(logit(0.9))
    calm, sudden, slow = excess(said([0.1, 0.6, 0.1], [0.8, 0.8, 0.99]), reached)
    assert calm < 0 < min(sudden, slow)


def test_what_is_missing_is_left_out():
    assert np.isnan(excess(said([np.nan], [np.nan]), (0.0, 0.0))).all()
    assert excess(said([0.5], [np.nan]), (0.0, 0.0)) == 0.0
    nothing = said(np.full(len(SAMPLES.step), np.nan), np.full(len(SAMPLES.step), np.nan))
    assert references(nothing, SAMPLES) == (0.0, 0.0)
    assert thresholds((0.0, 0.0), math.inf) == (math.inf, math.inf)
    assert len(success_maxima(nothing.risk, SAMPLES)) == 0


def calibrated(limits):
    """With thresholds of the risk and of failing at all, by alpha."""
    return Calibration(
        model_id="",
        slope=((1.0,),),
        intercept=((0.0,),),
        eventual=(1.0, 0.0),
        shared=(),
        alpha=0.05,
        threshold=limits[0.05][0],
        thresholds={alpha: soon for alpha, (soon, _) in limits.items()},
        episode_threshold=limits[0.05][1],
        episode_thresholds={alpha: ever for alpha, (_, ever) in limits.items()},
        output_threshold=0.5,
        successes=10,
        probability_keys=(),
        threshold_keys=(),
    )


def test_a_calibration_ranks_as_the_scores_that_set_its_thresholds(prediction):
    reached = references(prediction, SAMPLES)
    score = excess(prediction, reached)
    limit = float(np.quantile(score, 0.9))
    never = (math.inf, math.inf)
    found = references_of(calibrated({0.01: never, 0.05: thresholds(reached, limit)}))
    again = excess(prediction, found)
    np.testing.assert_allclose(again, score - limit, atol=1e-4)


def test_a_calibration_without_a_second_probability_ranks_by_the_risk(prediction):
    found = references_of(calibrated({0.05: (0.2, math.inf)}))
    np.testing.assert_allclose(
        excess(prediction, found), logit(prediction.risk.astype("f8")) - logit(0.2), rtol=1e-6
    )
    assert references_of(calibrated({0.05: (math.inf, math.inf)})) is None
    one, surely = said([0.5], [1.0]), (0.5, 1.0)
    assert np.isfinite(excess(one, references_of(calibrated({0.05: surely})))).all()
