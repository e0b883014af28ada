"""Training in two processes, as launchers start them, against one."""

import json
import subprocess
import sys

import pytest
import torch

from salus_ros.core.errors import ConfigError
from salus_ros.training.acceleration import acceleration

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


def test_one_process_after_another_may_train_elsewhere_and_otherwise():
    for _ in range(2):
        with acceleration("cpu", "mixed") as accelerator:
            assert accelerator.device == torch.device("cpu")
            assert (accelerator.num_processes, accelerator.mixed_precision) == (1, "no")
    with pytest.raises(ConfigError, match="cuda:99"), acceleration("cuda:99"):
        pass


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_gpu_may_be_mixed():
    for precision, name in (("mixed", "bf16"), ("float32", "no")):
        with acceleration("cuda:0", precision) as accelerator:
            assert (accelerator.device.type, accelerator.mixed_precision) == ("cuda", name)


@pytest.fixture(scope="module")
def script(tmp_path_factory):
    path = tmp_path_factory.mktemp("script") / "salus.py"
    path.write_text("from salus_ros.cli import main\nif __name__ == '__main__':\n    main()\n")
    return path


TORCHRUN = ("torch.distributed.run", "--standalone", "--nproc-per-node", "2")
ACCELERATE = (
    *("accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1"),
    *("--mixed_precision", "no", "--dynamo_backend", "no"),
)


@pytest.fixture(scope="module")
def alone(store, script, tmp_path_factory):
    return train(store, tmp_path_factory.mktemp("one"), sys.executable, script)[0]


@pytest.mark.parametrize("launcher", [TORCHRUN, ACCELERATE], ids=["torchrun", "accelerate"])
def test_two_processes_learn_what_one_does(store, script, alone, tmp_path, launcher):
    both, done = train(store, tmp_path / "two", sys.executable, "-m", *launcher, script)
    assert [e["epoch"] for e in both["history"]] == [1, 2, 3]
    for one, two in zip(alone["history"], both["history"], strict=True):
        assert two["validation_loss"] == pytest.approx(one["validation_loss"], rel=0.05)
    assert both["model_id"]
    assert done.stdout.count("episodes, split whole") == 1  # the first process alone speaks
