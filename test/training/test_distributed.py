"""Training in two processes, as torchrun starts them, against one."""

import json
import subprocess
import sys

import pytest
import torch

from salus_ros.training.distributed import averaged, rank_and_size, share

SETTINGS = ("--model", "tcn", "--inputs", "signals,validity", "--hidden", "8,8", "--epochs", "3",
            "--batch-size", "300", "--dropout", "0")  # fmt: skip


def train(store, out, *command):
    done = subprocess.run(
        [*command, "train", store, "--out", out, *SETTINGS],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads((out / "training_results.json").read_text()), done


def test_alone_there_is_nothing_to_share():
    assert rank_and_size() == (0, 1)
    rows = torch.arange(5)
    assert share(rows, None) == (rows, None)
    assert averaged([rows])[0] is rows


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "salus.py"
    path.write_text("from salus_ros.cli import main\nif __name__ == '__main__':\n    main()\n")
    return path


def test_two_processes_learn_what_one_does(store, script, tmp_path):
    alone, _ = train(store, tmp_path / "one", sys.executable, script)
    launcher = (sys.executable, "-m", "torch.distributed.run", "--standalone")
    both, done = train(store, tmp_path / "two", *launcher, "--nproc-per-node", "2", script)
    assert [e["epoch"] for e in both["history"]] == [1, 2, 3]
    for one, two in zip(alone["history"], both["history"], strict=True):
        assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=0.05)
    assert both["model_id"]
    assert done.stdout.count("episodes, split whole") == 1  # the first process alone speaks
