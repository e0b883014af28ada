"""What a user is told where Isaac Sim is missing, of another version, or cannot run here."""

import os
import stat
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from salus_ros.core.errors import SimulatorError
from salus_ros.worlds.isaac.application import ISAAC, PYTHON_VARIABLE, isaac_python
from salus_ros.worlds.isaac.installed import LICENCE_VARIABLE
from salus_ros.worlds.isaac.server import check_clock
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.physics import COMPLIANT


@pytest.fixture
def python(tmp_path, monkeypatch):
    """Make an environment with a module `isaacsim` of some version, and name its Python."""

    def make(version):
        venv = tmp_path / "venv"
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
        packages = next(venv.glob("lib/python*/site-packages"))
        (packages / "numpy.pth").write_text(str(Path(np.__file__).parents[1]))
        if version is not None:
            (packages / "isaacsim").mkdir()
            (packages / "isaacsim" / "__init__.py").touch()
            if version:
                (packages / "isaacsim" / "VERSION").write_text(version)
        monkeypatch.setenv(PYTHON_VARIABLE, str(venv / "bin" / "python"))

    return make


@pytest.fixture
def gpu(tmp_path, monkeypatch):
    """Make nvidia-smi name some GPUs, or fail."""

    def make(said, code=0):
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir()
        program.write_text(f"#!/bin/sh\necho '{said}'\nexit {code}\n")
        program.chmod(program.stat().st_mode | stat.S_IEXEC)
        monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")

    return make


def refused(tmp_path):
    """What the process says first, as the engine would be told."""
    from multiprocessing.connection import Pipe

    ours, theirs = Pipe()
    folder = tmp_path / "run"
    folder.mkdir()
    arguments = [str(theirs.fileno()), str(folder / "scene.usda")]
    process = ISAAC.run(arguments, folder / "log", theirs.fileno())
    theirs.close()
    assert ours.poll(60)
    answer = ours.recv()
    process.wait(60)
    return answer


def test_no_python_is_said_before_the_scene_is_made(monkeypatch):
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    with pytest.raises(
        SimulatorError, match=rf"{PYTHON_VARIABLE} names no Python. Install .*6\.2"
    ):
        PickPlaceEnv(physics=COMPLIANT, engine="isaac")


@pytest.mark.parametrize("named", ["/nowhere/python", __file__])
def test_a_python_that_does_not_run_is_named(monkeypatch, named):
    monkeypatch.setenv(PYTHON_VARIABLE, named)
    with pytest.raises(SimulatorError, match=f"names {named}, which is no program that runs"):
        isaac_python()


def test_a_python_without_isaac_sim_is_named(python, tmp_path):
    python(None)
    kind, text = refused(tmp_path)
    assert kind == "error"
    assert "venv/bin/python has no Isaac Sim" in text


@pytest.mark.parametrize(
    ("version", "said"),
    [
        ("5.1.0-rc.19+release.26219", "Isaac Sim 5.1.0-rc.19+release.26219 is installed for"),
        ("6.20.0", "SALUS drives 6.2"),
        ("", "does not say its version"),
    ],
)
def test_another_version_is_named_with_the_one_that_is_wanted(python, tmp_path, version, said):
    python(version)
    kind, text = refused(tmp_path)
    assert kind == "error"
    assert said in text


def test_the_licence_is_the_users_to_accept(python, gpu, tmp_path, monkeypatch):
    monkeypatch.delenv(LICENCE_VARIABLE, raising=False)
    python("6.2.0-rc.14+release.52805")
    gpu("GPU 0")
    assert "licence is not accepted" in refused(tmp_path)[1]
    assert LICENCE_VARIABLE not in os.environ


def test_a_machine_without_a_gpu_is_told_what_needs_none(python, gpu, tmp_path, monkeypatch):
    monkeypatch.setenv(LICENCE_VARIABLE, "YES")
    python("6.2.0-rc.14+release.52805")
    gpu("No devices were found", code=6)
    text = refused(tmp_path)[1]
    assert "no NVIDIA GPU is found" in text
    assert "PickPlace-physx-newton" in text


def test_with_all_of_it_there_isaac_sim_is_started(python, gpu, tmp_path, monkeypatch):
    monkeypatch.setenv(LICENCE_VARIABLE, "YES")
    python("6.2.0-rc.14+release.52805")  # there is no SimulationApp in this one
    gpu("GPU 0: NVIDIA L40S")
    assert "cannot import name 'SimulationApp'" in refused(tmp_path)[1]


def test_a_step_of_another_length_is_an_error():
    check_clock(1 / 240 * 1.0005, 1 / 240)
    with pytest.raises(RuntimeError, match=r"lasts 0\.016667 s .* not the 0\.004167 s"):
        check_clock(1 / 60, 1 / 240)


def test_what_is_run_by_any_python_needs_no_package():
    code = textwrap.dedent(
        """
        import sys
        sys.modules["numpy"] = sys.modules["mujoco"] = None
        import salus_ros.worlds.isaac.server
        """
    )
    subprocess.run([sys.executable, "-c", code], check=True)
