import json
import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_store

from salus_ros.core.errors import CheckpointError, ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.prediction.calibration import FILE_NAME, Calibration, _platt, calibrate, promise
from salus_ros.prediction.dataset import load_samples
from salus_ros.prediction.predictor import Predictor

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
