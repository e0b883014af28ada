"""Collections by worker processes: whatever is killed, every episode is there once."""

import multiprocessing
import os
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from recordings import CONFIG, SEEDS, assert_same

from salus_ros.collection.collect import collect
from salus_ros.core.errors import ConfigError, PolicyError, SalusError, StoreError
from salus_ros.episodes.reader import StoreReader

DEADLINE_S = 300.0
OPTIONS = ("--env-id", CONFIG.env_id, "--fault-rate", "0.3", "--num-samples", "2", "--envs", "2")


def salus(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", "from salus_ros.cli import main; main()", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(condition, what: str) -> None:
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.1)


def episodes_in(store: Path) -> int:
    try:
        return len(StoreReader(store))
    except SalusError:
        return 0


def session_members(leader: int) -> list[int]:
    """Processes of a session that still run."""
    found = subprocess.run(
        ["ps", "-o", "pid=,stat=", "-s", str(leader)], capture_output=True, text=True, check=False
    )
    rows = [line.split() for line in found.stdout.splitlines()]
    return [int(pid) for pid, state in rows if not state.startswith("Z")]


def check(store: Path, reference, total: int = len(SEEDS)) -> None:
    """Every seed is there once, in order, and the first ones are those of the reference."""
    reader = StoreReader(store)
    assert [meta.seed for meta in reader.episodes()] == list(range(total))
    for i, seed in enumerate(SEEDS):
        assert_same(reader.episode(i), reference[seed])


def test_a_killed_collection_goes_on_and_misses_and_repeats_nothing(tmp_path, reference):
    store = tmp_path / "a.zarr"
    command = ("collect", "--out", str(store), *OPTIONS)
    first = salus(*command, "--episodes", "500", "--workers", "2")
    wait_for(lambda: episodes_in(store) >= 1 or first.poll() is not None, "the first episode")
    assert first.poll() is None, first.communicate()[1]
    first.kill()
    first.wait()
    wait_for(lambda: not session_members(first.pid), "the end of its workers")
    before = episodes_in(store)
    total = max(len(SEEDS), before + 1)
    command = (*command, "--episodes", str(total), "--json")
    second = salus(*command, "--workers", "1")
    printed, said = second.communicate(timeout=DEADLINE_S)
    assert second.returncode == 0, said
    assert f'"collected": {total - before}' in printed
    check(store, reference, total)
    again = salus(*command)
    assert '"collected": 0' in again.communicate(timeout=DEADLINE_S)[0]


def test_ctrl_c_keeps_whole_episodes_and_says_how_to_go_on(tmp_path):
    store = tmp_path / "a.zarr"
    process = salus("collect", "--out", str(store), "--episodes", "500", *OPTIONS)
    wait_for(lambda: episodes_in(store) >= 1 or process.poll() is not None, "the first episode")
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, said
    assert "the same command goes on" in " ".join(said.split())
    assert "Traceback" not in said
    assert 1 <= episodes_in(store) < 500
    assert not session_members(process.pid)


def test_a_killed_worker_is_replaced_and_a_full_disk_ends_it_with_all_that_was_whole(
    tmp_path, reference
):
    store = tmp_path / "a.zarr"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    killed = []

    def progress(result):
        if result.collected == 1:
            (worker,) = multiprocessing.active_children()
            killed.append(worker.pid)
            os.kill(killed[0], signal.SIGKILL)
        if result.collected == 4:
            assert result.restarts == 1
            resource.setrlimit(resource.RLIMIT_FSIZE, (10, hard))  # nothing more can be written

    try:
        with pytest.raises(StoreError, match="cannot append to"):
            collect(replace(CONFIG, envs=2), store, len(SEEDS), 0, 1, progress)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    reader = StoreReader(store)
    assert [meta.seed for meta in reader.episodes()] == list(SEEDS[:4])
    collect(replace(CONFIG, envs=2), store, len(SEEDS), 0, 1)
    check(store, reference)
    with pytest.raises(ConfigError, match="seed 0 with condition 'standard', asked is 'shifted'"):
        collect(replace(CONFIG, condition="shifted"), store, len(SEEDS) + 1)
    with pytest.raises(ConfigError, match="env_id 'salus/PickPlace-v0', asked is 'salus/PickP"):
        collect(replace(CONFIG, env_id="salus/PickPlace-v1"), store, len(SEEDS) + 1)
    with pytest.raises(ConfigError, match="seed 0 with replan_every 3, asked is 2"):
        collect(replace(CONFIG, replan_every=2), store, len(SEEDS) + 1)
    with pytest.raises(StoreError, match="cameras"):
        collect(replace(CONFIG, images=True), store, len(SEEDS) + 1)


def test_what_a_worker_cannot_do_is_said_by_the_one_who_asked(tmp_path):
    with pytest.raises(PolicyError, match="is not a LeRobot checkpoint"):
        collect(replace(CONFIG, policy=tmp_path), tmp_path / "a.zarr", 2)
    assert not (tmp_path / "a.zarr").exists()


def test_a_task_that_does_not_exist_is_one_clear_line(tmp_path):
    process = salus("collect", "--out", str(tmp_path / "a.zarr"), "--task", "juggle")
    _, said = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 2
    assert "unknown task 'juggle'; known: 'put the red cube in the bin'" in " ".join(said.split())
