"""The examples run and print what they promise."""

import runpy
from pathlib import Path

import pytest

from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.tiny import SHIPPED

EXAMPLES = Path(__file__).parent.parent / "examples"


@pytest.fixture
def run(capsys):
    """Run the `main` of an example; returns what it printed."""

    def run(name, *given):
        runpy.run_path(str(EXAMPLES / f"{name}.py"))["main"](*given)
        return capsys.readouterr().out

    return run


def test_every_example_has_a_test():
    tested = {"read_episodes", "train_and_predict", "convert_bag", "tap_policy"}
    tested |= {"own_policy", "watch_only", "own_world", "own_detector"}
    elsewhere = {"own_arm"}  # test/nodes/test_own_arm.py
    assert {file.stem for file in EXAMPLES.glob("*.py")} == tested | elsewhere


def test_read_episodes(run):
    said = run("read_episodes", "shipped:pictures")
    assert said.startswith("10 episodes, 1084 steps")
    assert "front: uint8 (" in said
    assert all(name in said for name in SIGNAL_NAMES)


def test_train_and_predict(run, tmp_path):
    said = run("train_and_predict", tmp_path, 1)
    assert "best epoch 1 of 1" in said
    assert "step 30: risk 0." in said
    assert (tmp_path / "best_predictor.pt").is_file()


def test_convert_bag(run, tmp_path):
    said = run("convert_bag", tmp_path, 12)
    assert "1 episode of 12 steps" in said
    assert "left out" not in said
    episode = StoreReader(tmp_path / "episodes.zarr").episode(0)
    assert episode.state[:, 0] == pytest.approx([0.01 * step for step in range(12)])
    assert episode.action[:, 0] == pytest.approx(episode.state[:, 0] + 0.01)


def test_tap_policy(run):
    said = run("tap_policy", SHIPPED, 4)
    assert said.count("step ") == 4
    assert said.count("planned anew") == 2
    assert "latent_drift: does not" not in said  # the second plan has one before it


def test_own_policy(run, tmp_path):
    said = run("own_policy", tmp_path / "mine.zarr", 13)
    assert said.count("step ") == 13
    assert "no latent_ood: " not in said  # the shipped policy has its reference
    assert "latent_drift: nan" not in said
    (meta,) = StoreReader(tmp_path / "mine.zarr").episodes()
    assert meta.ending == "success"


def test_watch_only(run):
    said = run("watch_only", 9).splitlines()
    assert [line.split(":")[0] for line in said[:5]] == [
        "step 0 planned anew",
        *(f"step {step}" for step in range(1, 4)),
        "step 4 planned anew",
    ]
    assert "inconsistency nan" in said[0]
    assert "nan" not in said[4]


def test_own_world(run):
    said = run("own_world", 3)
    assert said.startswith("own/Pendulum-v0: cameras {'front': (64, 64)}, at most 60 steps")
    assert said.count("'lift the pole', seed") == 3
    assert "failure by timeout after 60 steps" in said


def test_own_detector(run):
    said = run("own_detector", "shipped:shifted")
    assert "107 episodes to fit, 41 to test" in said
    assert "surprise: foresees 0." in said
    assert "clock: foresees" in said
