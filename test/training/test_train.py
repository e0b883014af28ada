import dataclasses
import json
import os
import signal

import numpy as np
import pytest
import torch
from synthetic_episodes import LOW_DIM, make_episode, make_store

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.prediction.checkpoint import Checkpoint
from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.acceleration import acceleration
from salus_ros.training.batches import Part
from salus_ros.training.dataset import load_samples
from salus_ros.training.fitting import fit_model
from salus_ros.training.train import train_predictor

FIVE = ("loss", "accuracy", "precision", "recall", "f1")
SHORT = TrainingConfig(epochs=3)


def test_defaults_are_those_of_the_proof_of_concept():
    config = TrainingConfig()
    assert (config.epochs, config.batch_size, config.learning_rate) == (50, 256, 1e-3)
    assert (config.weight_decay, config.pos_weight, config.dropout) == (1e-5, 3.0, 0.2)
    assert (config.scheduler_factor, config.scheduler_patience) == (0.5, 5)


@pytest.mark.parametrize(
    "wrong",
    [
        {"epochs": 0},
        {"batch_size": 0},
        {"learning_rate": 0.0},
        {"weight_decay": -1.0},
        {"pos_weight": float("nan")},
        {"scheduler_factor": 1.0},
        {"scheduler_patience": -1},
        {"dropout": 1.0},
        {"hidden": ()},
        {"train_fraction": 1.0},
        {"train_fraction": 0.8},
        {"validation_fraction": 0.3},
        {"calibration_fraction": 0.25},
        {"seed": -1},
    ],
)
def test_settings_out_of_range_are_named(wrong):
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        TrainingConfig(**wrong)


def test_learns_what_the_signals_announce(trained):
    _, results = trained
    assert results["test"]["f1"] > 0.4
    assert results["test"]["average_precision"] > 10 * 0.01
    assert results["history"][-1]["train_loss"] < results["history"][0]["train_loss"]


def test_results_file_holds_the_five_figures_and_is_strict_json(trained):
    out, results = trained
    stored = json.loads((out / "training_results.json").read_text(), parse_constant=pytest.fail)
    assert stored == results
    assert all(isinstance(stored["test"][name], float) for name in FIVE)
    assert stored["parameters"] == 35_728
    assert stored["calibrated"] is False
    assert stored["splits"]["test"]["without_positive_labels"] == ["other"]
    counts = [part["episodes"] for part in stored["splits"].values()]
    assert counts == [20, 4, 4, 4]


def test_no_episode_is_in_two_parts_and_the_checkpoint_knows_them(trained):
    out, results = trained
    split = Checkpoint.load(out).split
    parts = [set(keys) for keys in split.values()]
    assert sum(map(len, parts)) == len(set.union(*parts)) == 32
    assert list(split["test"]) == results["splits"]["test"]["episode_keys"]


def test_best_epoch_has_the_best_validation_f1(trained):
    _, results = trained
    scores = [record["validation_f1"] or 0.0 for record in results["history"]]
    assert results["selected_by"] == "validation F1"
    assert scores[results["best_epoch"] - 1] == max(scores)
    assert results["validation"]["f1"] == pytest.approx(max(scores))


def test_loss_of_the_report_is_the_loss_of_the_training(trained):
    _, results = trained
    best = results["history"][results["best_epoch"] - 1]
    assert results["validation"]["loss"] == pytest.approx(best["validation_loss"], rel=1e-4)


def test_the_seed_decides_the_weights(samples, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train_predictor(samples, tmp_path / name, evaluate, dataclasses.replace(SHORT, seed=seed))
    first, again, other = (Checkpoint.load(tmp_path / name) for name in "abc")
    for name, weights in first.state_dict.items():
        assert torch.equal(weights, again.state_dict[name])
    assert first.model_id == again.model_id != other.model_id


def test_training_leaves_torch_as_it_was(samples, tmp_path):
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    threads = torch.get_num_threads()
    train_predictor(samples, tmp_path, evaluate, SHORT)
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_statistics_come_from_the_training_part_alone(samples, trained):
    out, results = trained
    keys = set(results["splits"]["train"]["episode_keys"])
    train = samples.rows([n for n, r in enumerate(samples.records) if r.key in keys])
    mean = Checkpoint.load(out).features.signals.mean
    np.testing.assert_allclose(mean[0], samples.signals[train, 0].mean(), rtol=1e-4)
    assert not np.isclose(mean[0], samples.signals[samples.usable, 0].mean(), rtol=1e-4)


def test_successes_only_give_no_made_up_figures(tmp_path):
    path = make_store(tmp_path / "a.zarr", [FailureType.NONE] * 6)
    results = train_predictor(load_samples([path]), tmp_path / "out", evaluate, SHORT)
    assert results["selected_by"].startswith("validation loss")
    assert results["threshold"] is None
    assert results["test"]["recall"] is None
    assert "no failure among these steps" in results["test"]["undefined"]["recall"]
    assert isinstance(results["test"]["loss"], float)


def test_failures_of_one_kind_only(tmp_path):
    path = make_store(tmp_path / "a.zarr", [FailureType.TIMEOUT] * 6)
    results = train_predictor(load_samples([path]), tmp_path / "out", evaluate, SHORT)
    assert results["test"]["positives"] > 0
    assert results["test"]["without_timeout"]["recall"] is None
    assert results["splits"]["train"]["without_positive_labels"] == ["drop", "collision", "other"]


@pytest.mark.parametrize("number", [1, 2])
def test_parts_that_are_empty_say_so(tmp_path, number):
    path = make_store(tmp_path / "a.zarr", [FailureType.DROP] * number)
    results = train_predictor(load_samples([path]), tmp_path / "out", evaluate, SHORT)
    assert results["test"]["episodes"] == 0
    assert all(results["test"][name] is None for name in FIVE)
    assert "no usable step" in results["test"]["undefined"]["f1"]
    if number == 1:
        assert results["selected_by"] == "training loss: validation is empty"


def test_nan_everywhere_is_nothing_to_train_on(tmp_path):
    episode = make_episode(kind=FailureType.DROP)
    nothing = np.zeros_like(episode.signals_valid)
    with EpisodeStore.create(tmp_path / "a.zarr", LOW_DIM) as store:
        store.append(dataclasses.replace(episode, signals_valid=nothing))
    with pytest.raises(ConfigError, match="nothing to train on"):
        train_predictor(load_samples([tmp_path / "a.zarr"]), tmp_path / "out", evaluate, SHORT)


def test_one_signal_may_be_missing_throughout(trained):
    out, _ = trained
    assert Checkpoint.load(out).features.signals.inverse_std[11] == 0  # latent_ood, never valid


def test_a_loss_that_is_nan_from_the_start_is_an_error(samples):
    features = np.full((10, 12), np.nan, dtype=np.float32)
    labels = np.zeros((10, 4, 4), dtype=bool)
    part = Part(features, labels, np.ones(10, bool), (10,), np.ones((1, 2), bool))
    empty = Part(features[:0], labels[:0], np.ones(0, bool), (), np.ones((0, 2), bool))
    with acceleration("cpu") as accelerator, pytest.raises(ConfigError, match="loss was NaN"):
        fit_model(part, empty, SHORT, accelerator)


def test_an_unknown_device_is_named(samples, tmp_path):
    for device in ("gpu", "cuda:99", "mps"):
        with pytest.raises(ConfigError, match=f"device '{device}'"):
            train_predictor(samples, tmp_path, evaluate, SHORT, device)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_trains_on_cuda(samples, tmp_path):
    results = train_predictor(samples, tmp_path, evaluate, TrainingConfig(epochs=30), "cuda")
    assert results["test"]["f1"] > 0.4


def test_ctrl_c_keeps_the_best_epoch_so_far(samples, tmp_path):
    def press(record):
        if record.epoch == 4:
            os.kill(os.getpid(), signal.SIGINT)

    results = train_predictor(
        samples, tmp_path, evaluate, TrainingConfig(epochs=10_000), on_epoch=press
    )
    assert results["interrupted"]
    assert 1 <= results["best_epoch"] <= len(results["history"]) < 10
    assert Checkpoint.load(tmp_path).model_id == results["model_id"]
    assert json.loads((tmp_path / "training_results.json").read_text())["interrupted"]


def test_ctrl_c_before_the_first_epoch_writes_nothing(samples, tmp_path, monkeypatch):
    def press(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("salus_ros.training.fitting._train_epoch", press)
    with pytest.raises(KeyboardInterrupt):
        train_predictor(samples, tmp_path, evaluate, SHORT)
    assert list(tmp_path.iterdir()) == []
