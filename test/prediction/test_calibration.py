import json
import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_store

from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.episode_metrics import raise_alarms
from salus_ros.prediction.calibration import (
    FILE_NAME,
    Calibration,
    _platt,
    calibrate,
    promise,
    success_maxima,
)
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.dataset import load_samples
from salus_ros.training.training import fit_checkpoint

KINDS = (FailureType.NONE, FailureType.NONE, FailureType.DROP, FailureType.TIMEOUT)


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained[0])


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Episodes that the predictor never saw."""
    return load_samples(
        [make_store(tmp_path_factory.mktemp("others") / "b.zarr", KINDS * 10, seed=5)]
    )


@pytest.fixture(scope="module")
def calibration(predictor, others):
    return calibrate(predictor, others, 0.1)


def cross_entropy(probability, labels):
    p = np.clip(probability.astype(np.float64), 1e-7, 1 - 1e-7)
    return -np.where(labels, np.log(p), np.log1p(-p)).mean()


def test_probabilities_become_truer_and_keep_their_ranks(predictor, others, calibration):
    rows = others.usable
    before = predictor.predict_samples(others).rows(rows).probability
    calibrated = Predictor(predictor.checkpoint, calibration=calibration)
    after = calibrated.predict_samples(others).rows(rows).probability
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


def test_thresholds_are_conformal_on_the_successes(predictor, others, calibration):
    calibrated = Predictor(predictor.checkpoint, calibration=calibration)
    risk = calibrated.predict_samples(others).risk
    successes = [
        np.nanmax(risk[rows])
        for rows, record in zip(others.slices, others.records, strict=True)
        if record.stratum == "success"
    ]
    assert calibration.successes == len(successes) == 20
    assert calibration.thresholds[0.05] == max(successes)
    assert calibration.threshold == np.sort(successes)[18]  # ceil(21 * 0.9) = 19
    assert calibration.thresholds[0.01] == math.inf
    assert promise(calibration, 0.01) == "cannot be promised with 20: 99 are needed"
    assert promise(calibration, 0.1) == "at most 10% of successful episodes alarm"


def test_what_was_trained_on_or_is_kept_for_testing_is_not_used(predictor, samples):
    split = predictor.checkpoint.split
    used = set(calibrate(predictor, samples, 0.2).keys)
    assert used == set(split["validation"])


def test_without_both_endings_there_is_nothing_to_calibrate(predictor, others):
    for ending in ("success", "drop"):
        places = [n for n, record in enumerate(others.records) if record.stratum == ending]
        with pytest.raises(ConfigError, match="both successes and failures"):
            calibrate(predictor, others.subset(places), 0.1)
    with pytest.raises(ConfigError, match="alpha is 2"):
        calibrate(predictor, others, 2.0)


def test_the_file_is_read_back_and_used_by_its_own_model_only(calibration, trained, tmp_path):
    for file in trained[0].iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    calibration.save(tmp_path)
    assert Calibration.load(tmp_path) == calibration
    loaded = Predictor.load(tmp_path)
    assert loaded.calibrated
    assert loaded.threshold == calibration.threshold
    replace(calibration, model_id="another").save(tmp_path)
    assert not Predictor.load(tmp_path).calibrated
    assert Calibration.load(trained[0]) is None


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("format"),
        lambda values: values.update(slope=[[1.0]]),
        lambda values: values.update(slope=[[-1.0] * 4] * 4),
        lambda values: values.update(thresholds=3),
        lambda values: values.update(surprise=3),
    ],
)
def test_a_damaged_file_is_refused(calibration, tmp_path, change):
    path = calibration.save(tmp_path)
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match="salus calibrate"):
        Calibration.load(tmp_path)
    (tmp_path / FILE_NAME).write_text("{")
    with pytest.raises(CheckpointError, match="not a calibration"):
        Calibration.load(tmp_path)


@pytest.fixture(scope="module")
def eventual(planted):
    """A model that tells the eventual failure, and its calibration."""
    config = replace(
        PRESETS["tcn"], hidden=(16,) * 3, epochs=10, batch_size=64, learning_rate=3e-3
    )
    split = {"train": tuple(range(30)), "validation": (), "test": ()}
    checkpoint, _ = fit_checkpoint(planted, split, config)
    plain = Predictor(checkpoint)
    calibration = calibrate(plain, planted.subset(range(30, 80)), 0.2)
    return plain, Predictor(checkpoint, calibration=calibration)


def test_the_eventual_failure_has_the_whole_promise(eventual, planted):
    predictor = eventual[1]
    calibration = predictor.calibration
    others = planted.subset(range(30, 80))
    prediction = predictor.predict_samples(others)
    maxima = np.sort(success_maxima(prediction.episode_failure, others))
    assert len(maxima) == calibration.successes == 25
    assert predictor.episode_threshold == maxima[math.ceil(26 * 0.8) - 1]
    assert predictor.threshold == math.inf
    level = predictor.alarm_level(prediction)
    known = ~np.isnan(level)
    by_hand = prediction.episode_failure > predictor.episode_threshold
    assert np.array_equal((level > 0)[known], by_hand[known])
    assert (success_maxima(level, others) > 0).mean() <= 0.2
    assert "99 are needed" in promise(calibration, 0.01)
    assert promise(calibration, 0.2) == "at most 20% of successful episodes alarm"


def test_an_episode_fails_no_less_likely_than_it_fails_soon(eventual):
    plain = eventual[0]
    logits = np.full((2, len(plain.horizons_s), len(plain.failure_types)), -9, np.float32)
    logits[1] = 2
    known = np.array([True, True])
    prediction = plain.decide(logits, np.full(2, -1, np.float32), known)
    assert prediction.episode_failure[0] == pytest.approx(1 / (1 + math.e))
    assert prediction.episode_failure[1] == prediction.risk[1] > 0.9


def test_the_eventual_failure_alarms_where_it_is_told(eventual, planted):
    """Every failed episode of the planted ones shows it from its first step on."""
    predictor = eventual[1]
    others = planted.subset(range(30, 80))
    prediction = predictor.predict_samples(others)
    alarms = raise_alarms(predictor.alarm_level(prediction), episodes_of(others), 0.0)
    assert alarms.detection_rate() > 0.8


def test_uncalibrated_only_the_risk_can_alarm(eventual, planted):
    plain = replace(eventual[0].checkpoint, threshold=0.3)
    predictor = Predictor(plain)
    prediction = predictor.predict_samples(planted)
    level = predictor.alarm_level(prediction)
    np.testing.assert_array_equal(level, prediction.risk - np.float32(0.3))
    none = Predictor(replace(plain, threshold=math.nan))
    assert not (none.alarm_level(prediction) > 0).any()


def test_both_thresholds_survive_the_file(eventual, tmp_path):
    calibration = eventual[1].calibration
    calibration.save(tmp_path)
    assert Calibration.load(tmp_path) == calibration
