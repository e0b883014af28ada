import json

import pytest
from synthetic_episodes import make_store

from salus_ros.core.failures import FailureType
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import train_predictor

KINDS = (FailureType.NONE, FailureType.DROP)


@pytest.fixture
def model(tmp_path):
    store = make_store(tmp_path / "a.zarr", KINDS * 10)
    train_predictor(load_samples([store]), tmp_path / "model", evaluate, TrainingConfig(epochs=5))
    return tmp_path / "model"


def test_writes_what_the_predictor_then_uses(salus, model, tmp_path):
    store = make_store(tmp_path / "b.zarr", KINDS * 10, seed=3)
    code, out, _ = salus("calibrate", model, store, "--alpha", 0.2, "--json")
    values = json.loads(out)
    assert (code, values["successes"]) == (0, 5)
    assert values["thresholds"]["0.05"] is None
    predictor = Predictor.load(model)
    assert predictor.calibrated
    assert predictor.threshold == values["threshold"]
    code, out, _ = salus("calibrate", model, store)
    assert code == 0
    assert "19 are needed" in out


def test_errors_say_what_to_do(salus, model, tmp_path):
    successes = make_store(tmp_path / "c.zarr", KINDS[:1] * 4, seed=4)
    code, _, err = salus("calibrate", model, successes)
    assert code == 2
    assert "both successes and failures are needed" in err
    code, _, err = salus("calibrate", model, successes, "--alpha", 1.5)
    assert (code, "alpha" in err) == (2, True)
    code, _, err = salus("calibrate", tmp_path, successes)
    assert (code, "cannot read the predictor" in err) == (2, True)
