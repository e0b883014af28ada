"""`salus adapt`: from episodes of one's own to a predictor that says what its alarm promises."""

import json

import pytest

from salus_ros.prediction.predictor import Predictor


def test_it_trains_calibrates_tests_and_says_what_is_promised(salus, store, tmp_path):
    given = ("--epochs", 2, "--model", "mlp")
    code, said, _ = salus("adapt", store, "--out", tmp_path, "--alpha", 0.05, *given, "--json")
    assert code == 0
    found = json.loads(said)
    promise = found["promise"]
    assert not promise["promised"]  # 8 successes in all
    assert promise["least_alpha"] == pytest.approx(1 / (promise["successes"] + 1))
    assert promise["more"] == 49 - 8
    assert found["episodes"]["calibration"] > 0
    assert found["tested"]["episodes"] == found["episodes"]["test"]
    predictor = Predictor.load(tmp_path)
    assert predictor.calibration is not None
    assert predictor.calibration.successes == promise["successes"]

    code, said, _ = salus(
        *("adapt", store, "--out", tmp_path / "b", "--alpha", 0.5, "--start", tmp_path),
        *("--epochs", 1),
    )
    assert code == 0
    assert "at most 50% of successful episodes alarm" in said
    assert Predictor.load(tmp_path / "b").checkpoint.config.model == "mlp"


def test_an_unknown_model_is_named(salus, store, tmp_path):
    code, _, said = salus("adapt", store, "--out", tmp_path, "--model", "big")
    assert code == 2
    assert "allowed is one of tcn, gru" in said


def test_a_declared_time_limit_makes_the_clock_an_input(salus, store, tmp_path):
    given = ("--epochs", 1, "--model", "mlp", "--time-limit-steps", 60)
    code, _, said = salus("adapt", store, "--out", tmp_path, "--alpha", 0.5, *given)
    assert code == 0, said
    config = Predictor.load(tmp_path).checkpoint.config
    assert (config.inputs[-1], config.time_limit_steps) == ("clock", 60)
    began = ("--start", tmp_path, "--time-limit-steps", 90)
    code, _, said = salus("adapt", store, "--out", tmp_path / "b", "--alpha", 0.5, *began)
    assert code == 2
    assert "has a time limit of 60 steps" in said
