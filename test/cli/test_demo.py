"""The demo as a person runs it, in small; and what it says when something is wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from salus_ros.core.failures import Outcome
from salus_ros.episodes.reader import StoreReader

ROOT = Path(__file__).parents[2]
DEADLINE_S = 600


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "salus_ros.cli", "demo", *arguments],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_records_trains_predicts_live_and_reports(tmp_path):
    process = start("--episodes", "3", "--out", str(tmp_path / "demo"))
    printed, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, said
    reader = StoreReader(tmp_path / "demo" / "episodes.zarr")
    assert len(reader) == 5, said
    assert all(meta.outcome is not Outcome.UNKNOWN for meta in reader.episodes())
    live = reader.episode(3)
    assert live.risk is not None
    assert (live.risk >= 0).mean() > 0.9  # predicted at (nearly) every step
    assert reader.episode(0).risk is None or not (reader.episode(0).risk >= 0).any()
    results = json.loads((tmp_path / "demo" / "predictor" / "training_results.json").read_text())
    assert results["config"]["model"] == "tcn"
    assert (tmp_path / "demo" / "predictor" / "calibration.json").exists()
    assert (tmp_path / "demo" / "report" / "index.html").exists()
    assert (tmp_path / "demo" / "report" / "episode.png").stat().st_size > 10_000
    assert "messages dropped" in printed
    assert "signals to prediction" in printed
    again = reader.meta(4)
    assert again.seed == live.meta.seed
    assert "policy@alarm" in again.interventions
    np.testing.assert_array_equal(reader.episode(4).state[0], live.state[0])
    assert re.search(r"steps without an input +│ 0 ", printed)
    assert "the same with recovery" in " ".join(printed.split())


def test_ctrl_c_leaves_readable_data_and_no_process(tmp_path):
    process = start("--episodes", "50", "--out", str(tmp_path / "demo"))
    store = tmp_path / "demo" / "episodes.zarr"
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end and process.poll() is None:
        try:
            if len(StoreReader(store)) > 0:
                break
        except Exception:  # noqa: BLE001 - not there yet
            pass
        time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert len(StoreReader(store)) > 0
    running = subprocess.run(["pgrep", "-f", str(store)], capture_output=True, check=False)
    assert running.returncode == 1  # nobody is left


def test_a_policy_that_is_none_is_one_clear_line(tmp_path):
    process = start("--policy", str(tmp_path), "--out", str(tmp_path / "demo"))
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "is not a LeRobot checkpoint: it lacks config.json" in " ".join(said.split())
    assert "Traceback" not in said


def test_a_world_with_another_arm_is_refused():
    process = start("--env-id", "salus/MetaWorld-v3")
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert (
        "unknown env_id 'salus/MetaWorld-v3'; known: 'salus/PickPlace-v1', 'salus/PickPlace-physx'"
        in (" ".join(said.split()))
    )


@pytest.mark.parametrize("episodes", ["0", "many"])
def test_too_few_episodes_are_refused(episodes):
    process = start("--episodes", episodes)
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "--episodes" in said
