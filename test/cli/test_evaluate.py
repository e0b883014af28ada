import json

import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_store

from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.calibrate import calibrate
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import train_predictor

KINDS = (FailureType.NONE, FailureType.DROP, FailureType.NONE, FailureType.TIMEOUT)


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    """Episodes to train on, to calibrate on, and of another condition."""
    folder = tmp_path_factory.mktemp("stores")
    return [make_store(folder / f"{n}.zarr", KINDS * 8, seed=n) for n in range(3)]


@pytest.fixture(scope="module")
def model(stores, tmp_path_factory):
    out = tmp_path_factory.mktemp("model")
    config = TrainingConfig(model="tcn", hidden=(8,) * 3, epochs=8, batch_size=200, eventual=True,
                            inputs=("signals", "validity"), learning_rate=3e-3)  # fmt: skip
    train_predictor(load_samples(stores[:1]), out, evaluate, config)
    calibrate(Predictor.load(out), load_samples([stores[1]]), 0.1).save(out)
    return out


def test_the_page_holds_every_figure_and_needs_no_other_file(salus, model, stores, tmp_path):
    code, out, _ = salus("evaluate", model, *stores, "--out", tmp_path / "page", "--json")
    results = json.loads(out)
    assert code == 0
    assert results["calibrated"]
    assert results["left_out"]["used_in_calibration"] == 32 + 4  # kept for it when training
    operator = results["operator"]
    assert list(operator["detectors"]) == ["predictor", "clock", "task_prior", "stuck"]
    assert (operator["missing"], "limits" in operator) == ({}, False)
    assert "skill" not in operator["detectors"]["predictor"]["outputs"]["0.5 s"]["drop"]
    assert 0 <= results["events"]["f1"] <= 1
    assert list(results["episode_outputs"]) == ["episode_failure", "no_progress"]
    assert 0 < results["episode_outputs"]["no_progress"]["steps"]["average_precision"] <= 1
    alarm = results["episode_level"]["alarm"]
    assert alarm["alpha"] == 0.1
    conformal = operator["detectors"]["predictor"]["foreseen"]["conformal"]
    assert conformal["alarmed"] == alarm["false_alarm_share"]
    assert conformal["recall"]["all"] <= alarm["detection_rate"]
    folder = tmp_path / "page"
    assert json.loads((folder / "evaluation.json").read_text()) == results
    for figure in ("horizons", "operating_curve", "lead_times", "timelines"):
        assert (folder / f"{figure}.png").stat().st_size > 5_000
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "no progress 25 %" in page
    assert "stuck, declared" in page
    assert 'src="http' not in page


def limits_file(path, world):
    """As benchmark/knowable.py writes it."""
    types = {"drop": {"average_precision": 0.5}, "timeout": {"average_precision": None}}
    found = {"by_horizon_and_type": {"0.5 s": types}}
    content = {"benchmark": "knowable", "store": "some.zarr", "env_id": world,
               "observers": {"state": {}, "state and plan": found}}  # fmt: skip
    path.write_text(json.dumps(content))
    return path


def test_the_table_has_the_rules_and_the_limits_in_it(salus, model, stores, tmp_path):
    limits = limits_file(tmp_path / "limits.json", "")
    code, out, _ = salus("evaluate", model, stores[2], "--limits", limits, "--at-step", "7")
    assert code == 0
    said = " ".join(out.split())
    for name in ("predictor", "clock", "stuck, declared", "limit", "base rate"):
        assert f"│ {name} " in said
    assert "task_prior: not there, no episode that it was trained on is in the stores" in said
    assert "measured on some.zarr" in said
    assert "promised 0.1" in said
    assert "no progress: 8 episodes ended so" in said
    code, out, _ = salus(
        "evaluate", model, stores[2], "--limits", limits, "--at-step", "7", "--json"
    )
    found = json.loads(out)["operator"]["detectors"]["predictor"]
    assert found["running"]["failure"]["step 7"]["step"] == 7
    assert "step 15" not in found["running"]["failure"]
    drop = found["outputs"]["0.5 s"]["drop"]
    assert drop["skill"] == pytest.approx(drop["average_precision"] / 0.5)
    assert found["outputs"]["0.5 s"]["timeout"]["skill"] is None


def test_limits_that_are_none_are_refused(salus, model, stores, tmp_path):
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    code, _, err = salus("evaluate", model, stores[2], "--limits", wrong)
    assert (code, "has no limits" in err) == (2, True)


def test_tasks_and_conditions_have_tables_of_their_own(salus, model, tmp_path):
    spec = dict.fromkeys(("a", "b"))
    for number, name in enumerate(spec):
        episodes = [
            make_episode(f"{name}{n}", 40, KINDS[n % 4], seed=50 + 10 * number + n, task=name,
                         condition=f"condition {name}")
            for n in range(8)
        ]  # fmt: skip
        with EpisodeStore.create(tmp_path / f"{name}.zarr", LOW_DIM) as store:
            for episode in episodes:
                store.append(episode)
    stores = [tmp_path / f"{name}.zarr" for name in spec]
    code, out, _ = salus("evaluate", model, *stores)
    assert code == 0
    for title in (
        "alarm, a: 4 of 8 failed",
        "alarm, condition b: 4 of 8 failed",
        "foreseen, by task",
        "foreseen, by condition",
    ):
        assert title in " ".join(out.split())


def test_a_store_without_failures_is_evaluated_and_says_what_it_lacks(salus, model, tmp_path):
    good = make_store(tmp_path / "good.zarr", [FailureType.NONE] * 4, seed=9)
    code, out, _ = salus("evaluate", model, good, "--out", tmp_path / "page")
    assert code == 0
    assert "there is nothing to compare" in " ".join(out.split())
