import json
import math
from dataclasses import replace

import numpy as np
import pytest

from salus_ros.core.errors import CheckpointError
from salus_ros.prediction.calibration import FILE_NAME, Calibration
from salus_ros.prediction.predictor import Predictor


@pytest.fixture(scope="module")
def calibration(trained):
    return Calibration(
        model_id=Predictor.load(trained[0]).model_id,
        slope=((0.5, 1.0, 1.5, 2.0),) * 4,
        intercept=((-1.0, 0.0, 1.0, 0.5),) * 4,
        eventual=(2.0, -1.0),
        shared=("other",),
        alpha=0.1,
        threshold=0.25,
        thresholds={0.05: math.inf, 0.1: 0.25},
        episode_threshold=math.inf,
        episode_thresholds={0.05: math.inf, 0.1: math.inf},
        output_threshold=0.375,
        successes=12,
        probability_keys=("a", "b"),
        threshold_keys=("c",),
        no_progress=(0.5, 0.25),
        event_threshold=0.125,
    )


def test_a_calibrated_probability_is_the_sigmoid_of_a_line(calibration):
    logits = np.array([[[-2.0, 0.0, 1.0, 3.0]] * 4], np.float32)
    line = logits * calibration.slope + calibration.intercept
    np.testing.assert_allclose(calibration.apply(logits), 1 / (1 + np.exp(-line)), rtol=1e-6)
    episode = calibration.apply_episode(np.array([[1.5, -1.0], [0.0, 2.0]], np.float32))
    np.testing.assert_allclose(episode, [[2.0, -0.25], [-1.0, 1.25]])


def test_the_file_is_read_back_and_used_by_its_own_model_only(calibration, trained, tmp_path):
    for file in trained[0].iterdir():
        if file.is_file():
            (tmp_path / file.name).write_bytes(file.read_bytes())
    calibration.save(tmp_path)
    assert Calibration.load(tmp_path) == calibration
    loaded = Predictor.load(tmp_path)
    assert loaded.calibrated
    assert loaded.threshold == calibration.threshold
    assert loaded.event_threshold == 0.125
    replace(calibration, model_id="another").save(tmp_path)
    assert not Predictor.load(tmp_path).calibrated
    assert Calibration.load(trained[0]) is None
    assert math.isnan(Predictor.load(trained[0]).event_threshold)


def test_of_a_policy_that_it_was_not_made_with_it_says_so(calibration, tmp_path):
    assert calibration.doubt("any") == ""  # of which ones is not known
    named = replace(calibration, policies=("arm-1", "arm-2"))
    named.save(tmp_path)
    loaded = Calibration.load(tmp_path)
    assert loaded == named
    assert loaded.doubt("arm-2") == ""
    assert "arm-3" in loaded.doubt("arm-3")
    assert "arm-1, arm-2" in loaded.doubt("arm-3")
    assert "unnamed" in loaded.doubt("")


def test_a_threshold_of_events_that_there_is_not_is_none(calibration, tmp_path):
    path = replace(calibration, event_threshold=math.nan).save(tmp_path)
    assert json.loads(path.read_text())["event_threshold"] is None
    assert math.isnan(Calibration.load(tmp_path).event_threshold)
    values = json.loads(path.read_text())
    del values["event_threshold"]  # as files were before
    path.write_text(json.dumps(values))
    assert math.isnan(Calibration.load(tmp_path).event_threshold)


@pytest.mark.parametrize(
    "change",
    [
        lambda values: values.pop("format"),
        lambda values: values.update(slope=[[1.0]]),
        lambda values: values.update(slope=[[-1.0] * 4] * 4),
        lambda values: values.update(thresholds=3),
        lambda values: values.update(surprise=3),
        lambda values: values.pop("threshold_keys"),
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


def test_a_calibration_of_an_older_form_is_refused_and_says_what_to_do(calibration, tmp_path):
    """There probabilities and thresholds came from the same episodes: its promise is none."""
    path = calibration.save(tmp_path)
    values = json.loads(path.read_text())
    values["keys"] = values.pop("probability_keys") + values.pop("threshold_keys")
    del values["schema_version"]
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"schema version 1.*run `salus calibrate` again"):
        Calibration.load(tmp_path)
