import io
import pickle
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch

from salus_ros.core.errors import CheckpointError
from salus_ros.prediction.checkpoint import Checkpoint
from salus_ros.prediction.config import PRESETS, TrainingConfig
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.stream import PredictorStream
from salus_ros.training.train import fit_checkpoint, without_lacking


@pytest.fixture
def file(trained, tmp_path):
    path = tmp_path / "best_predictor.pt"
    path.write_bytes((trained[0] / "best_predictor.pt").read_bytes())
    return path


def rewrite(file, change):
    content = torch.load(file, weights_only=True)
    change(content)
    torch.save(content, file)


def test_loads_with_weights_only(file):
    content = torch.load(file, weights_only=True)
    assert content["format"] == "salus-predictor"
    assert sum(value.numel() for value in content["state_dict"].values()) == 35_728
    assert content["failure_types"] == ["drop", "collision", "timeout", "other"]


def test_what_is_loaded_is_what_was_saved(file, tmp_path):
    first = Checkpoint.load(file)
    model_id = first.save(tmp_path / "again.pt")
    again = Checkpoint.load(tmp_path / "again.pt")
    assert again.model_id == model_id
    assert again.config == first.config
    assert again.split == first.split
    assert (again.threshold, again.epoch) == (first.threshold, first.epoch)
    assert not list(tmp_path.glob("*.part"))


def test_the_folder_will_do_too(file):
    assert Checkpoint.load(file.parent).model_id == Checkpoint.load(file).model_id


def test_a_file_from_before_there_was_a_calibration_part_is_read(file):
    def older(content):
        del content["config"]["calibration_fraction"], content["config"]["time_limit_steps"]
        content["config"] |= {"train_fraction": 0.8, "validation_fraction": 0.1}
        content["split"]["train"] += content["split"].pop("calibration")
        content["calibrated"] = False

    rewrite(file, older)
    checkpoint = Checkpoint.load(file)
    assert checkpoint.config.calibration_fraction == 0.0
    assert checkpoint.config.time_limit_steps == 0


def test_a_file_from_before_no_progress_was_told_has_that_output_not(planted, tmp_path):
    split = {"train": range(20), "validation": range(20, 30)}
    config = without_lacking(replace(PRESETS["tcn"], hidden=(4,) * 2, epochs=1), planted)
    checkpoint, _ = fit_checkpoint(planted, split, config)
    checkpoint.save(tmp_path / "best_predictor.pt")
    new = Predictor.load(tmp_path)
    assert new.checkpoint.episode_outputs == ("episode_failure", "no_progress")

    def older(content):
        del content["episode_outputs"]
        for name in ("head.weight", "head.bias"):
            content["state_dict"][name] = content["state_dict"][name][:-1]

    rewrite(tmp_path / "best_predictor.pt", older)
    old = Predictor.load(tmp_path)
    assert old.checkpoint.episode_outputs == ("episode_failure",)
    hidden = {"embedding": planted.extras["embedding"][:30]}
    given = (planted.signals[:30], planted.valid[:30], hidden)
    now, then = new.predict(*given), old.predict(*given)
    np.testing.assert_array_equal(then.probability, now.probability)
    np.testing.assert_array_equal(then.episode_failure, now.episode_failure)
    assert np.isnan(then.no_progress).all()
    assert np.isfinite(now.no_progress).all()
    stream = PredictorStream(old)
    first = (planted.signals[0], planted.valid[0], {"embedding": hidden["embedding"][0]})
    assert np.isnan(stream.update(*first).no_progress)


def test_the_clock_of_a_file_without_a_time_limit_had_two_hundred_steps():
    values = TrainingConfig(inputs=("signals", "clock"), time_limit_steps=60).to_dict()
    assert TrainingConfig.from_dict(values).time_limit_steps == 60
    del values["time_limit_steps"]
    assert TrainingConfig.from_dict(values).time_limit_steps == 200


class Evil:
    def __reduce__(self):
        return print, ("code ran",)


def test_pickled_code_is_refused_and_not_run(file, capsys):
    rewrite_with_code = {"format": "salus-predictor", "state_dict": Evil()}
    torch.save(rewrite_with_code, file)
    with pytest.raises(CheckpointError, match="refused because loading it could run code"):
        Predictor.load(file)
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises(CheckpointError, match="not a predictor"):
        Predictor.load(file)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_refused(file, share):
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="damaged"):
        Predictor.load(file)


def test_a_flipped_byte_in_the_weights_is_refused(file):
    content = bytearray(file.read_bytes())
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    content[largest.header_offset + 500] ^= 0xFF
    file.write_bytes(content)
    with pytest.raises(CheckpointError):
        Predictor.load(file)


def missing(name):
    return lambda content: content.pop(name)


def other_shape(content):
    content["state_dict"]["head.weight"] = torch.zeros(16, 65)


def other_horizons(content):
    content["horizons_s"] = [0.2, 0.3]


def descending_horizons(content):
    content["horizons_s"] = [0.5, 0.4, 0.3, 0.2]


def nan_weights(content):
    content["state_dict"]["head.bias"][0] = float("nan")


def short_statistics(content):
    content["normalisation"]["signals"]["mean"] = torch.zeros(3)


def unknown_type(content):
    content["failure_types"] = ["drop", "collision", "timeout", "explosion"]


def type_twice(content):
    content["failure_types"] = ["drop", "collision", "timeout", "drop"]


def unknown_output(content):
    content["episode_outputs"] = ["success"]


def unknown_setting(content):
    content["config"]["momentum"] = 0.9


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (missing("format"), "format 'salus-predictor' is expected"),
        (missing("state_dict"), "lacks a part"),
        (missing("normalisation"), "lacks a part"),
        (missing("split"), "lacks a part"),
        (lambda content: content.update(schema_version=1), "schema version 1"),
        (lambda content: content.update(state_dict={}), "do not fit"),
        (lambda content: content.update(state_dict=[1]), "wrong kind|do not fit"),
        (other_shape, "do not fit"),
        (other_horizons, "do not fit"),
        (descending_horizons, "ascending"),
        (nan_weights, "NaN"),
        (short_statistics, "does not fit"),
        (unknown_type, "explosion"),
        (type_twice, "drop, collision, timeout, drop; allowed is each of"),
        (unknown_output, "success"),
        (unknown_setting, "momentum"),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(file, change, said):
    rewrite(file, change)
    with pytest.raises(CheckpointError, match=said) as error:
        Predictor.load(file)
    assert str(file) in str(error.value)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    torch.save([1, 2], tmp_path / "list.pt")
    (tmp_path / "text.pt").write_text("hello")
    for name in ("absent.pt", "list.pt", "text.pt", "."):
        with pytest.raises(CheckpointError, match="training wrote"):
            Checkpoint.load(tmp_path / name)
