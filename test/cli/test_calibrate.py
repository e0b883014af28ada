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
    assert (code, values["successes"]) == (0, 5)  # the other half fits the probabilities
    assert values["thresholds"]["0.05"] is None
    predictor = Predictor.load(model)
    assert predictor.calibrated
    assert predictor.threshold == values["threshold"]
    code, out, _ = salus("calibrate", model, store)
    assert code == 0
    assert "19 are needed" in out


def test_what_it_then_says_of_another_policy(salus, model, tmp_path):
    own = make_store(tmp_path / "b.zarr", KINDS * 10, seed=3, policy_id="arm-1")
    assert salus("calibrate", model, own, "--alpha", 0.2)[0] == 0
    code, out, _ = salus("evaluate", model, own, "--include-trained", "--json")
    assert (code, "arm-1" in out) == (0, False)
    other = make_store(tmp_path / "d.zarr", KINDS * 4, seed=6, policy_id="arm-2")
    code, out, _ = salus("evaluate", model, other, "--json")
    note = json.loads(out)["left_out"]["note"]
    assert "the policy is arm-2, and the predictor was calibrated on arm-1" in note
    out = tmp_path / "p.zarr"
    code, said, _ = salus("predict", other, "--model", model, "--out", out, "--json")
    assert (code, len(json.loads(said)["doubts"])) == (0, 1)
    code, said, _ = salus("predict", other, "--model", model, "--out", out)
    assert "the policy is arm-2" in " ".join(said.split())


def test_errors_say_what_to_do(salus, model, tmp_path):
    code, _, err = salus("calibrate", "shipped", "shipped:standard")
    assert (code, "stays as it is" in err) == (2, True)
    successes = make_store(tmp_path / "c.zarr", KINDS[:1] * 4, seed=4)
    code, _, err = salus("calibrate", model, successes)
    assert code == 2
    assert "both successes and failures are needed" in err
    code, _, err = salus("calibrate", model, successes, "--alpha", 1.5)
    assert (code, "alpha" in err) == (2, True)
    code, _, err = salus("calibrate", tmp_path, successes)
    assert (code, "cannot read the predictor" in err) == (2, True)
