import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from synthetic_episodes import make_store

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeMeta
from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.episode_metrics import raise_alarms
from salus_ros.evaluation.metrics import Decisions
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.alarm_score import success_maxima
from salus_ros.training.calibrate import _platt, calibrate, halves, promise
from salus_ros.training.conformal import conformal_rank, conformal_threshold
from salus_ros.training.dataset import EpisodeRecord, load_samples
from salus_ros.training.train import fit_checkpoint, without_lacking

KINDS = (FailureType.NONE, FailureType.NONE, FailureType.DROP, FailureType.TIMEOUT)


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained[0])


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Episodes that the predictor never saw."""
    return load_samples(
        [make_store(tmp_path_factory.mktemp("others") / "b.zarr", KINDS * 20, seed=5)]
    )


@pytest.fixture(scope="module")
def calibration(predictor, others):
    return calibrate(predictor, others, 0.1)


def cross_entropy(probability, labels):
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return -np.where(labels, np.log(p), np.log1p(-p)).mean()


def test_probabilities_become_truer_and_keep_their_ranks(predictor, others, calibration):
    rows = others.usable
    before = predictor.predict_episodes(*others.inputs).rows(rows).probability
    calibrated = Predictor(predictor.checkpoint, calibration=calibration)
    after = calibrated.predict_episodes(*others.inputs).rows(rows).probability
    labels = others.labels[rows]
    assert cross_entropy(after, labels) < cross_entropy(before, labels)
    assert abs(after.mean() - labels.mean()) < abs(before.mean() - labels.mean())
    for h in range(4):
        order = np.argsort(before[:, h, 0])
        assert (np.diff(after[order, h, 0]) > -1e-6).all()  # but for rounding


def test_platt_finds_the_line_that_made_the_labels():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=50_000) * 3
    labels = rng.random(logits.size) < 1 / (1 + np.exp(-(0.5 * logits - 1.0)))
    slope, intercept = _platt(logits, labels)
    assert slope == pytest.approx(0.5, abs=0.03)
    assert intercept == pytest.approx(-1.0, abs=0.05)


def test_one_class_alone_is_never_certain():
    logits = np.linspace(-1, 1, 100)
    slope, intercept = _platt(logits, np.zeros(100, bool))
    probability = 1 / (1 + np.exp(-(slope * logits + intercept)))
    assert probability.mean() == pytest.approx(1 / 102, rel=0.1)


def test_types_that_hardly_failed_share_a_fit(calibration):
    assert calibration.shared == ("collision", "other")
    slope = np.asarray(calibration.slope)
    assert (slope[:, 1] == slope[:, 3]).all()
    assert (slope[:, 0] != slope[:, 1]).any()


def test_thresholds_are_conformal_on_the_successes_of_their_half(predictor, others, calibration):
    calibrated = Predictor(predictor.checkpoint, calibration=calibration)
    risk = calibrated.predict_episodes(*others.inputs).risk
    successes = [
        np.nanmax(risk[rows])
        for rows, record in zip(others.slices, others.records, strict=True)
        if record.stratum == "success" and record.key in calibration.threshold_keys
    ]
    assert calibration.successes == len(successes) == 20
    assert calibration.thresholds[0.05] == pytest.approx(max(successes), rel=1e-5)
    assert calibration.threshold == pytest.approx(np.sort(successes)[18], rel=1e-5)  # ceil(21 0.9)
    assert (np.array(successes) > np.float32(calibration.threshold)).sum() == 1
    assert calibration.episode_threshold == math.inf  # this model does not tell it
    assert calibration.thresholds[0.01] == math.inf
    said = promise(calibration, 0.01)
    assert said == "cannot be promised with 20 successes of its own: 99 are needed"
    assert promise(calibration, 0.1) == "at most 10% of successful episodes alarm"


def test_types_but_the_timeout_have_a_threshold_of_their_own(predictor, others, calibration):
    """It has the best F1 of them on the episodes of both halves, whatever timeouts would want."""
    keys = set(calibration.keys)
    used = others.subset([n for n, record in enumerate(others.records) if record.key in keys])
    calibrated = Predictor(predictor.checkpoint, calibration=calibration)
    probability = calibrated.predict_episodes(*used.inputs).probability[used.usable]
    events = [0, 1, 3]
    p, y = probability[..., events], used.labels[used.usable][..., events]
    best = Decisions.of(p > calibrated.event_threshold, y).f1
    assert best > 0
    for other in np.linspace(0, 1, 40):
        assert Decisions.of(p > other, y).f1 <= best + 1e-9


def test_what_chose_the_epoch_fits_the_probabilities_and_what_is_kept_sets_the_thresholds(
    predictor, samples
):
    split = predictor.checkpoint.split
    calibration = calibrate(predictor, samples, 0.2)
    assert set(calibration.probability_keys) == set(split["validation"])
    assert set(calibration.threshold_keys) == set(split["calibration"])
    assert not set(split["validation"]) & set(split["calibration"])
    good = {one.key for one in samples.records if one.stratum == "success"}
    assert calibration.successes == len(good & set(split["calibration"]))


def test_without_what_chose_the_epoch_what_is_kept_does_for_both(predictor, samples):
    """So it is too where that part has one ending alone."""
    split = predictor.checkpoint.split
    for ending in ("none", "success"):
        places = [
            n
            for n, one in enumerate(samples.records)
            if one.key not in split["validation"] or one.stratum == ending
        ]
        calibration = calibrate(predictor, samples.subset(places), 0.2)
        probability, threshold = set(calibration.probability_keys), set(calibration.threshold_keys)
        assert probability | threshold == set(split["calibration"])
        assert not probability & threshold
        assert min(len(probability), len(threshold)) >= len(split["calibration"]) // 2 - 1


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.booleans()), max_size=60))
def test_halves_share_no_episode_and_have_either_ending(pairs):
    records = [record(f"{n:02}", failed) for n, failed in dict(pairs).items()]
    records += records[:5]  # repeats
    parts = halves(records, range(len(records)))
    keys = [[records[place].key for place in half] for half in parts]
    assert sorted(keys[0] + keys[1]) == sorted({one.key for one in records})
    for kind in ("success", "drop"):
        count = [sum(records[place].stratum == kind for place in half) for half in parts]
        assert count[0] - count[1] in (0, 1)


def test_a_repeated_episode_counts_once_and_is_in_one_half(predictor, others):
    twice = others.subset([*range(len(others.records)), *range(0, len(others.records), 3)])
    once = calibrate(predictor, others, 0.1)
    assert calibrate(predictor, twice, 0.1) == once
    assert not set(once.probability_keys) & set(once.threshold_keys)


def record(key, failed):
    kind = FailureType.DROP if failed else FailureType.NONE
    outcome = Outcome.FAILURE if failed else Outcome.SUCCESS
    return EpisodeRecord(key, "", 0, EpisodeMeta(key, "", outcome, kind, 1 if failed else -1), 1)


def test_episodes_that_chose_the_model_break_the_promise_and_ours_hold_it():
    """Of many equal models the best is chosen; its threshold is set by the same episodes, or not.

    What chooses a model by its scores of successes finds one whose largest of them is low by
    chance, and on new ones it is not.
    """
    rng = np.random.default_rng(0)
    trials, models, count, alpha = 2000, 30, 19, 0.05
    records = [record(f"{n:016x}", n >= 2 * count) for n in range(2 * count + 8)]
    used, own = halves(records, range(len(records)))
    used, own = ([n for n in half if n < 2 * count] for half in (used, own))
    assert len(used) == len(own) == count
    reused = kept = 0
    for _ in range(trials):
        score = rng.normal(size=(2 * count + 1, models))  # the last is a new success
        chosen = int(np.argmin(score[used].max(axis=0)))
        reused += score[-1, chosen] > conformal_threshold(score[used, chosen], alpha)
        kept += score[-1, chosen] > conformal_threshold(score[own, chosen], alpha)
    exact = 1 - conformal_rank(count, alpha) / (count + 1)
    assert binom.ppf(0.001, trials, exact) <= kept <= binom.ppf(0.999, trials, alpha)
    assert reused > 2 * binom.ppf(0.999, trials, alpha)


def test_without_both_endings_there_is_nothing_to_calibrate(predictor, others):
    for ending in ("success", "drop"):
        places = [n for n, record in enumerate(others.records) if record.stratum == ending]
        with pytest.raises(ConfigError, match="both successes and failures"):
            calibrate(predictor, others.subset(places), 0.1)
    with pytest.raises(ConfigError, match="alpha is 2"):
        calibrate(predictor, others, 2.0)


@pytest.fixture(scope="module")
def eventual(planted):
    """A model that tells the eventual failure, and its calibration."""
    config = replace(
        PRESETS["tcn"], hidden=(16,) * 3, epochs=10, batch_size=64, learning_rate=3e-3
    )
    config = without_lacking(config, planted)
    split = {"train": tuple(range(30)), "validation": ()}
    checkpoint, _ = fit_checkpoint(planted, split, config)
    plain = Predictor(checkpoint)
    calibration = calibrate(plain, planted.subset(range(30, 80)), 0.2)
    return plain, Predictor(checkpoint, calibration=calibration)


def test_risk_and_eventual_failure_share_the_promise(eventual, planted):
    predictor = eventual[1]
    calibration = predictor.calibration
    keys = set(calibration.threshold_keys)
    others = planted.subset([n for n, r in enumerate(planted.records) if r.key in keys])
    prediction = predictor.predict_episodes(*others.inputs)
    assert calibration.successes == 12
    assert 0 < predictor.threshold < 1
    assert 0 < predictor.episode_threshold < 1
    level = predictor.alarm_level(prediction)
    known = ~np.isnan(level)
    by_hand = (prediction.risk > predictor.threshold) | (
        prediction.episode_failure > predictor.episode_threshold
    )
    assert np.array_equal((level > 0)[known], by_hand[known])
    # ceil(13 * 0.8) = 11 of 12 do not alarm, and any less would let the next one.
    assert (success_maxima(level, others) > 0).sum() == 1
    for one, two in zip(
        *(t.values() for t in (calibration.thresholds, calibration.episode_thresholds)),
        strict=True,
    ):
        assert (one == math.inf) == (two == math.inf)  # they move together
    assert "99 are needed" in promise(calibration, 0.01)
    assert promise(calibration, 0.2) == "at most 20% of successful episodes alarm"


def test_an_episode_fails_no_less_likely_than_it_fails_soon(eventual):
    plain = eventual[0]
    logits = np.full((2, len(plain.horizons_s), len(plain.failure_types)), -9, np.float32)
    logits[1] = 2
    known = np.array([True, True])
    episode = np.array([[-1, -2], [-1, 3]], np.float32)
    prediction = plain.decide(logits, episode, known)
    assert prediction.episode_failure[0] == pytest.approx(1 / (1 + math.e))
    assert prediction.episode_failure[1] == prediction.risk[1] > 0.9
    assert prediction.no_progress[0] == pytest.approx(1 / (1 + math.e**2))
    assert prediction.no_progress[1] == pytest.approx(1 / (1 + math.e**-3))
    prediction = plain.decide(logits[:1], np.array([[-1, 1]], np.float32), known[:1])
    assert prediction.no_progress == prediction.episode_failure  # never above it


def test_the_eventual_failure_alarms_where_it_is_told(eventual, planted):
    """Every failed episode of the planted ones shows it from its first step on."""
    predictor = eventual[1]
    others = planted.subset(range(30, 80))
    prediction = predictor.predict_episodes(*others.inputs)
    alarms = raise_alarms(predictor.alarm_level(prediction), episodes_of(others), 0.0)
    assert alarms.detection_rate() > 0.8


def test_uncalibrated_only_the_risk_can_alarm(eventual, planted):
    plain = replace(eventual[0].checkpoint, threshold=0.3)
    predictor = Predictor(plain)
    prediction = predictor.predict_episodes(*planted.inputs)
    level = predictor.alarm_level(prediction)
    np.testing.assert_array_equal(level, prediction.risk - np.float32(0.3))
    none = Predictor(replace(plain, threshold=math.nan))
    assert not (none.alarm_level(prediction) > 0).any()


def test_both_thresholds_survive_the_file(eventual, tmp_path):
    calibration = eventual[1].calibration
    calibration.save(tmp_path)
    assert Calibration.load(tmp_path) == calibration
