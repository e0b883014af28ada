"""`salus manifold`, as it is typed."""

import json

import pytest
from manifold_episodes import make_runs
from typer.testing import CliRunner

from salus_ros.cli.commands import app
from salus_ros.core.errors import ConfigError


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_runs(tmp_path_factory.mktemp("runs") / "a.zarr")


def salus(*given):
    result = CliRunner().invoke(app, ["manifold", *map(str, given)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.stdout


def test_train_then_evaluate(store, tmp_path):
    file = tmp_path / "card.safetensors"
    short = ("--batches", 20, "--batch-size", 16)
    learnt = json.loads(salus("train", store, "--out", file, *short, "--json"))
    assert learnt["episodes"] == {"train": 20, "validation": 4, "test": 6}
    given = ("evaluate", store, "--manifold", file, "--page", tmp_path / "page")
    found = json.loads(salus(*given, "--json"))
    assert found["manifolds"]["card"]["id"] == learnt["manifold_id"]
    assert f"open {tmp_path / 'page' / 'index.html'}" in salus(*given)


def test_what_cannot_be_is_refused_before_anything_is_read(tmp_path):
    runner = CliRunner()
    given = ["manifold", "train", "x.zarr", "--out", str(tmp_path / "m"), "--inputs", "taste"]
    with pytest.raises(ConfigError, match="give some of state, action"):
        runner.invoke(app, given, catch_exceptions=False)
    same = ["--manifold", "a/m.safetensors", "--manifold", "b/m.safetensors"]
    with pytest.raises(ConfigError, match="told apart"):
        runner.invoke(app, ["manifold", "evaluate", "x.zarr", *same], catch_exceptions=False)
