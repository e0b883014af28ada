"""The predictor that ships, on episodes that ship."""

import numpy as np
import pytest

from salus_ros.episodes.shipped import shipped
from salus_ros.evaluation.episode_evaluation import episodes_of, evaluate_episodes
from salus_ros.evaluation.predictor_evaluation import held_out
from salus_ros.policies.checkpoint import policy_id
from salus_ros.policies.tiny import shipped_policy
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.shipped import FOLDER, SHIPPED, predictor_path
from salus_ros.worlds.physics import ENV_ID


@pytest.fixture(scope="module")
def predictor():
    return Predictor.load(SHIPPED)


def test_its_name_stands_for_its_folder_and_no_other_name_does(tmp_path):
    assert predictor_path("shipped") == FOLDER
    assert predictor_path(tmp_path / "shipped") == tmp_path / "shipped"


def test_it_is_of_the_policy_and_of_the_default_network(predictor):
    assert predictor.calibration.policies == (policy_id(shipped_policy(ENV_ID)),)
    assert predictor.checkpoint.config.model == "tcn"
    assert predictor.checkpoint.config.inputs == PRESETS["tcn"].inputs


def test_it_has_seen_none_of_the_shipped_episodes_and_its_alarm_is_worth_something(predictor):
    samples, left_out, learnt = held_out(predictor, [shipped("standard")])
    assert (left_out["seen_in_training"], left_out["used_in_calibration"], learnt) == (0, 0, ())
    assert not predictor.doubt(samples.records[0].meta.policy_id)
    some = samples.subset(range(0, len(samples.records), 5))
    level = predictor.alarm_level(predictor.predict_episodes(*some.inputs))
    alarm = evaluate_episodes(some, level, predictor.calibration.alpha)["alarm"]
    assert alarm["false_alarm_interval"][0] <= 0.05
    assert alarm["detection_rate"] > 0.3 > alarm["false_alarm_share"]
    assert np.isfinite(level).mean() > 0.9
    assert episodes_of(some).failed.sum() > 40
