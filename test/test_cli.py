import base64
import dataclasses
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from synthetic_episodes import WITH_IMAGES, make_episode, make_store

from salus_ros import __version__
from salus_ros.cli import app
from salus_ros.cli.machine import REQUIRED, _try
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.prediction.checkpoint import Checkpoint
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.predictor import Predictor

KINDS = (FailureType.NONE, FailureType.DROP, FailureType.COLLISION, FailureType.TIMEOUT)
VERBS = tuple(command.name or command.callback.__name__ for command in app.registered_commands)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("cli") / "a.zarr", KINDS * 4)


@pytest.fixture(scope="module")
def model(store, tmp_path_factory):
    """A predictor trained through the command, in a process of its own."""
    out = tmp_path_factory.mktemp("cli_model")
    code = "from salus_ros.cli import main; main()"
    arguments = [sys.executable, "-c", code, "train", store, "--out", out, "--epochs", "15"]
    done = subprocess.run([*arguments, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["epochs_run"] == 15
    return out


def test_help_of_every_verb_shows_an_example(salus):
    assert {"info", "collect", "pack", "train", "evaluate", "report", "doctor"} <= set(VERBS)
    for verb in VERBS:
        code, out, _ = salus(verb, "--help")
        assert code == 0
        assert f"Example: salus {verb}" in out


def test_version(salus):
    assert salus("--version")[1].strip() == __version__


def test_help_answers_without_loading_torch_or_zarr():
    code = (
        "import sys; sys.argv = ['salus', '--help']\n"
        "from salus_ros.cli import main\n"
        "try: main()\n"
        "except SystemExit: print({'torch', 'zarr', 'matplotlib'} & set(sys.modules))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True).endswith("set()\n")


def test_train_has_an_option_for_every_setting(salus):
    _, out, _ = salus("train", "--help")
    options = set(re.findall(r"--([a-z-]+)", out))
    for field in dataclasses.fields(TrainingConfig):
        assert field.name.replace("_", "-") in options


def test_info_as_json_and_as_tables(salus, store):
    code, out, err = salus("info", store, "--json")
    summary = json.loads(out)
    assert (code, err) == (0, "")
    assert summary["episodes"] == 16
    assert summary["failure_types"] == {"drop": 4, "collision": 4, "timeout": 4, "other": 0}
    assert summary["outcomes"] == {"unknown": 0, "success": 4, "failure": 12}
    assert summary["signals_valid"]["latent_ood"] == 0.0
    assert summary["age_ms"]["state"]["p50"] is None  # nothing was measured
    assert summary["conditions"] == {"standard": 16}
    assert summary["failure_causes"]["made-up drop"] == 4
    code, out, _ = salus("info", store)
    assert code == 0
    assert "latent_ood" in out
    assert "failure: timeout" in out
    assert "cause: made-up timeout" in out


def test_info_of_an_empty_store(salus, tmp_path):
    EpisodeStore.create(tmp_path / "a.zarr", WITH_IMAGES).close()
    code, out, _ = salus("info", tmp_path / "a.zarr", "--json")
    assert (code, json.loads(out)["episodes"]) == (0, 0)
    assert salus("info", tmp_path / "a.zarr")[0] == 0


def test_train_writes_model_results_and_curves(model):
    assert {file.name for file in model.iterdir()} == {
        "best_predictor.pt",
        "training_results.json",
        "learning_curves.png",
        "tensorboard",
    }
    assert Predictor.load(model).checkpoint.config.epochs == 15


def test_train_shows_tables_and_passes_its_options_on(salus, store, tmp_path):
    options = (
        "--model",
        "mlp",
        "--epochs",
        2,
        "--hidden",
        "8,4",
        "--seed",
        3,
        "--batch-size",
        64,
        "--dropout",
        0,
    )
    code, out, _ = salus("train", store, "--out", tmp_path, *options)
    assert code == 0
    assert "recall" in out
    config = Checkpoint.load(tmp_path).config
    expected = TrainingConfig(epochs=2, hidden=(8, 4), seed=3, batch_size=64, dropout=0.0)
    assert config == expected


def test_train_tells_other_types_apart_and_refuses_a_wrong_list(salus, store, tmp_path):
    options = ("--out", tmp_path / "a", "--model", "mlp", "--epochs", 1)
    given = ("--failure-types", "drop, misplaced_release,collision")
    code, out, _ = salus("train", store, *options, *given)
    assert code == 0
    said = " ".join(out.split())
    assert "failures told apart: drop, misplaced_release, collision; 4 episodes failed" in said
    assert Checkpoint.load(tmp_path / "a").failure_types == (1, 5, 2)
    said = error_line(salus("train", store, *options, "--failure-types", "drop,fall"))
    assert "failure types are drop, fall; allowed is each of drop, collision," in said


def test_an_interrupted_training_exits_with_130_and_leaves_files(
    salus, store, tmp_path, monkeypatch
):
    import salus_ros.training.fitting as training

    train_epoch, passes = training._train_epoch, []

    def press_in_the_third(*arguments):
        passes.append(1)
        if len(passes) == 3:
            raise KeyboardInterrupt
        return train_epoch(*arguments)

    monkeypatch.setattr(training, "_train_epoch", press_in_the_third)
    code, _, err = salus("train", store, "--out", tmp_path)
    assert code == 130
    assert "interrupted; the best of 2 epochs" in err
    assert Checkpoint.load(tmp_path).epoch <= 2


def test_evaluate_leaves_out_what_was_trained_on_and_says_so(salus, store, model):
    code, out, _ = salus("evaluate", model, store, "--json")
    results = json.loads(out)
    assert code == 0
    assert results["left_out"]["seen_in_training"] == 8
    assert results["left_out"]["used_in_calibration"] == 4  # kept for it, unused as yet
    assert results["episodes"] == 4
    code, out, _ = salus("evaluate", model, store)
    assert (
        "8 of 16 episodes were used in training and 4 more in calibration, or kept for it; "
        "they are left out" in " ".join(out.split())
    )
    code, out, _ = salus("evaluate", model, store, "--json", "--include-trained")
    assert json.loads(out)["episodes"] == 16


def test_report_draws_the_episode_and_the_curves(salus, model, tmp_path):
    path = tmp_path / "b.zarr"
    drop = make_episode("fail<ed", 40, FailureType.DROP, WITH_IMAGES)
    risk = np.linspace(0, 1, 40)
    with EpisodeStore.create(path, WITH_IMAGES) as store:
        store.append(dataclasses.replace(drop, risk=risk, alarm=risk > 0.8))
        store.append(make_episode("1", 30, spec=WITH_IMAGES))
    code, out, _ = salus("report", path, "--model", model, "--out", tmp_path / "report")
    assert code == 0
    page = Path(out.split("open ")[1].strip())
    html = page.read_text()
    assert "Episode 0 of 2, step by step" in html  # the one that failed
    assert "Training of model" in html
    for name in ("episode.png", "frames.png", "learning_curves.png"):
        image = (page.parent / name).read_bytes()
        assert image[:4] == b"\x89PNG"
        assert base64.b64encode(image).decode() in html


@pytest.mark.parametrize("kind", [FailureType.NONE, FailureType.TIMEOUT])
def test_report_of_an_episode_without_images_or_model(salus, tmp_path, kind):
    path = make_store(tmp_path / "a.zarr", [kind])
    code, _, _ = salus("report", path, "--episode", 0, "--out", tmp_path / "report")
    assert code == 0
    assert "Episode 0 of 1, step by step" in (tmp_path / "report" / "index.html").read_text()


def test_report_of_two_stores_as_json(salus, store, tmp_path):
    other = make_store(tmp_path / "b.zarr", KINDS)
    code, out, err = salus("report", store, other, "--out", tmp_path / "report", "--json")
    numbers = json.loads(out)
    assert (code, err) == (0, "")
    assert [part["episodes"] for part in numbers["overview"]["stores"]] == [16, 4]
    assert numbers == json.loads((tmp_path / "report" / "report.json").read_text())


def error_line(result):
    """The only line on stderr of a refused command."""
    code, out, err = result
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err


def test_errors_are_one_line_and_exit_code_2(salus, store, model, tmp_path):
    (tmp_path / "text.pt").write_text("hello")
    EpisodeStore.create(tmp_path / "empty.zarr", WITH_IMAGES).close()
    out = tmp_path / "out"
    assert "does not exist" in error_line(salus("info", tmp_path / "absent"))
    assert "not an episode store" in error_line(salus("info", tmp_path))
    assert "epochs is 0" in error_line(salus("train", store, "--out", out, "--epochs", 0))
    limit = ("--time-limit-steps", 60, "--inputs", "signals")
    assert "the clock" in error_line(salus("train", store, "--out", out, *limit))
    assert "64,128" in error_line(salus("train", store, "--out", out, "--hidden", "a,b"))
    assert "no labelled" in error_line(salus("train", tmp_path / "empty.zarr", "--out", out))
    assert "device" in error_line(salus("train", store, "--out", out, "--device", "abacus"))
    assert "damaged" in error_line(salus("evaluate", tmp_path / "text.pt", store))
    assert "cannot read" in error_line(salus("evaluate", tmp_path / "absent.pt", store))
    report = ("--out", tmp_path / "r")
    assert "no episode 99" in error_line(salus("report", store, *report, "--episode", 99))
    assert "each once" in error_line(salus("report", store, store, *report))


def test_wrong_use_is_explained_by_the_parser(salus):
    code, _, err = salus("train")
    assert code == 2
    assert "Missing" in err


def test_doctor_reports_what_is_there_and_what_is_not(salus, store, tmp_path):
    code, out, _ = salus("doctor", "--json", "--store", store)
    checks = {check["name"]: check for check in json.loads(out)["checks"]}
    assert {*REQUIRED, "python", "ROS 2 and salus_msgs", "rendering", "CUDA"} <= set(checks)
    assert checks["torch"]["state"] == "ok"
    assert "16 episodes" in checks["store"]["found"]
    missing = [check for check in checks.values() if check["state"] == "missing"]
    assert code == (1 if missing else 0)
    assert all(check["remedy"] for check in missing)


def test_doctor_fails_when_something_is_missing(salus, tmp_path, monkeypatch):
    monkeypatch.setattr("salus_ros.cli.machine._try", lambda *_, **__: (1, "ImportError: no"))
    (tmp_path / "config.json").write_text('{"type": "act"}')
    code, out, _ = salus("doctor", "--json", "--store", tmp_path, "--policy", tmp_path)
    states = {check["name"]: check["state"] for check in json.loads(out)["checks"]}
    assert code == 1
    for name in ("ROS 2 and salus_msgs", "rendering", "policy", "store"):
        assert states[name] == "missing"
    code, out, _ = salus("doctor", "--store", tmp_path)
    assert code == 1
    assert "missing" in out


def test_a_trial_that_crashes_or_prints_is_told_apart():
    assert _try("print('drawn')") == (0, "drawn")
    code, output = _try("import os; os.abort()")
    assert code != 0
    assert output == "" or "Abort" in output or "Fatal" in output
