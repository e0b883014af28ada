import numpy as np
import pytest

from salus_ros.evaluation.readout import Readout
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.alarm_score import excess


def test_one_score_does_for_all_and_is_kept_once():
    score = np.arange(3.0)
    single = Readout.single(score)
    arrays = single.arrays("test")
    assert list(arrays) == ["test_ever"]
    again = Readout.from_arrays("test", arrays)
    assert again.soon is again.ever is score
    assert again.by_type is None


def test_what_is_kept_comes_back():
    several = Readout(np.zeros(2), np.ones(2), np.full(2, 2.0), np.full((2, 4), 3.0))
    arrays = several.arrays("held_out")
    again = Readout.from_arrays("held_out", arrays)
    for name in ("ever", "no_progress", "soon", "by_type"):
        np.testing.assert_array_equal(getattr(again, name), getattr(several, name))
    del arrays["held_out_no_progress"]
    with pytest.raises(KeyError):
        Readout.from_arrays("held_out", arrays)


def test_a_model_that_tells_nothing_of_the_whole_episode_says_it_by_its_risk(trained, samples):
    prediction = Predictor.load(trained[0]).predict_episodes(*samples.inputs)
    assert np.isnan(prediction.episode_failure).all()
    readout = Readout.of(prediction)
    np.testing.assert_array_equal(readout.ever, prediction.risk)
    np.testing.assert_array_equal(readout.no_progress, prediction.risk)
    np.testing.assert_array_equal(readout.by_type, prediction.probability.max(axis=1))


def test_a_calibrated_model_is_ranked_by_what_its_alarm_goes_by(trained, samples):
    prediction = Predictor.load(trained[0]).predict_episodes(*samples.inputs)
    reached = (-1.0, 2.0)
    readout = Readout.of(prediction, reached)
    np.testing.assert_array_equal(readout.ever, excess(prediction, reached))
    np.testing.assert_array_equal(readout.soon, prediction.risk)
    np.testing.assert_array_equal(readout.no_progress, prediction.risk)
