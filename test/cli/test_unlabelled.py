"""Episodes of unknown outcome: never a failure, never a success, always counted."""

import json
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_store

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import train_predictor

KINDS = (FailureType.NONE, FailureType.DROP)
LABELLED = 20
SAID = "3 episodes have no known outcome, or failed at an unknown moment"


@pytest.fixture
def salus(salus):
    """Its output on one line, when it went well."""

    def run(*arguments):
        code, out, _ = salus(*arguments)
        assert code == 0
        return " ".join(out.split())

    return run


def make(path, seed=0):
    """A store of 20 labelled episodes, two of unknown outcome and one that failed at some time."""
    make_store(path, KINDS * (LABELLED // 2), seed=seed)
    unknown = {"outcome": Outcome.UNKNOWN, "failure_type": KINDS[0], "failure_step": -1}
    with EpisodeStore.open(path) as store:
        for number in range(2):
            store.append(make_episode(f"u{number}", 30, seed=seed + 90 + number, **unknown))
        store.append(make_episode("d", 30, KINDS[1], seed=seed + 95, failure_step=-1))
    return path


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make(tmp_path_factory.mktemp("unlabelled") / "a.zarr")


@pytest.fixture(scope="module")
def model(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("unlabelled_model")
    train_predictor(load_samples([store]), out, evaluate, TrainingConfig(model="mlp", epochs=2))
    return out


def test_info_counts_them_and_says_how_to_label_them(salus, store):
    summary = json.loads(salus("info", store, "--json"))
    assert summary["unlabelled"] == 3
    assert summary["outcomes"] == {"unknown": 2, "success": 10, "failure": 11}
    out = salus("info", store)
    assert SAID in out
    assert f"salus label {store}" in out


def test_info_of_labelled_episodes_says_nothing_of_it(salus, tmp_path):
    assert "salus label" not in salus("info", make_store(tmp_path / "a.zarr", KINDS))


def test_training_says_how_many_it_left_out(salus, store, tmp_path):
    options = ("--model", "mlp", "--epochs", 1)
    assert SAID in salus("train", store, "--out", tmp_path, *options)
    results = json.loads((tmp_path / "training_results.json").read_text())
    assert results["unlabelled_episodes"] == 3
    assert sum(part["episodes"] for part in results["splits"].values()) == LABELLED


def test_evaluation_and_calibration_say_how_many_they_left_out(salus, model, tmp_path):
    other = make(tmp_path / "b.zarr", seed=7)
    results = json.loads(salus("evaluate", model, other, "--json"))
    assert (results["episodes"], results["left_out"]["unlabelled"]) == (LABELLED, 3)
    assert "3 more have no known outcome" in results["left_out"]["note"]
    values = json.loads(salus("calibrate", model, other, "--json"))
    assert (values["unlabelled_episodes"], values["successes"]) == (3, LABELLED // 4)
    assert len(values["probability_keys"] + values["threshold_keys"]) == LABELLED
    assert SAID in salus("calibrate", model, other)


def test_the_benchmark_says_how_many_it_left_out(salus, store, tmp_path):
    given = (store, "--detector", "clock", "--splits", 2, "--workers", 1, "--out", tmp_path)
    assert SAID in salus("benchmark", *given)
    results = json.loads((tmp_path / "benchmark.json").read_text())
    assert (results["episodes"], results["failures"], results["unlabelled_episodes"]) == (
        20,
        10,
        3,
    )


def test_info_shows_the_share_of_gaps_where_ages_were_noted(salus, tmp_path):
    noted = np.full((30, 2), 4.0)
    noted[:3, 0] = np.nan
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        for name in ("a", "b"):  # of b no age was noted down
            ages = noted if name == "a" else None
            store.append(replace(make_episode(name, 30, seed=ord(name)), age_ms=ages))
    ages = json.loads(salus("info", tmp_path / "a.zarr", "--json"))["age_ms"]
    assert (ages["state"]["gaps"], ages["state"]["missing"]) == (3, 33)
    assert ages["state"]["gap_share"] == pytest.approx(0.1)
    assert ages["signals"]["gap_share"] == 0.0
    assert (ages["state"]["p50"], ages["state"]["p95"]) == (4.0, 4.0)
    assert "10.0%" in salus("info", tmp_path / "a.zarr")
    unnoted = make_store(tmp_path / "b.zarr", KINDS)
    ages = json.loads(salus("info", unnoted, "--json"))["age_ms"]
    assert ages["state"]["gap_share"] is None
    assert "not noted" in salus("info", unnoted)


def test_of_episodes_with_interventions_nothing_is_learnt_and_that_is_said(
    salus, store, model, tmp_path
):
    """What it averted would be learnt as a false alarm."""
    path = make_store(tmp_path / "b.zarr", KINDS * 15, seed=50)
    with EpisodeStore.open(path) as opened:
        for number in range(4):
            acted = make_episode(f"i{number}", 30, seed=700 + number)
            meta = replace(acted.meta, interventions="8-20 scripted@alarm timeout")
            opened.append(replace(acted, meta=meta))
    samples = load_samples([path, store])
    assert (len(samples.records), samples.unlabelled, samples.intervened) == (50, 3, 4)
    assert not any(record.meta.interventions for record in samples.records)
    said = "4 episodes had an intervention; nothing is learnt from them"
    assert said in salus("train", path, "--out", tmp_path / "m", "--model", "mlp", "--epochs", "1")
    evaluated = json.loads(salus("evaluate", model, path, "--json"))
    assert evaluated["left_out"]["intervened"] == 4
    assert said in salus("calibrate", model, path)
    assert json.loads(salus("calibrate", model, path, "--json"))["intervened_episodes"] == 4
