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
    assert results["eventual"]["shortest"]["auroc_within_task"] is not None
    assert list(results["episode_outputs"]) == ["episode_failure", "no_progress"]
    assert 0 < results["episode_outputs"]["no_progress"]["steps"]["average_precision"] <= 1
    alarm = results["episode_level"]["alarm"]
    assert alarm["alpha"] == 0.1
    assert alarm["clock"]["false_alarm_share"] <= alarm["false_alarm_share"] + 1e-9
    folder = tmp_path / "page"
    assert json.loads((folder / "evaluation.json").read_text()) == results
    for figure in ("horizons", "operating_curve", "lead_times", "timelines"):
        assert (folder / f"{figure}.png").stat().st_size > 5_000
    page = (folder / "index.html").read_text()
    assert page.count("data:image/png;base64,") == 4
    assert "no progress, at" in page
    assert 'src="http' not in page


def test_the_table_has_a_clock_in_it(salus, model, stores):
    code, out, _ = salus("evaluate", model, stores[2])
    assert code == 0
    assert "clock" in out
    assert "promised 0.1" in out
    assert "no progress, 50%" in " ".join(out.split())


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
    for title in ("a, by the risk: 4 of 8 failed", "condition b, by the risk: 4 of 8 failed"):
        assert title in " ".join(out.split())


def test_a_store_without_failures_is_evaluated_and_says_what_it_lacks(salus, model, tmp_path):
    good = make_store(tmp_path / "good.zarr", [FailureType.NONE] * 4, seed=9)
    code, out, _ = salus("evaluate", model, good, "--out", tmp_path / "page")
    assert code == 0
    assert "there is nothing to compare" in " ".join(out.split())
