"""What drives Isaac Sim is held to its real types: ours keeps to them, planted faults do not."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
CHECK = ROOT / "scripts" / "check_isaac.sh"

pytestmark = pytest.mark.skipif(
    not (ROOT / ".isaac-types" / "pinned.txt").is_file(),
    reason="Isaac Sim's types are not here: ACCEPT_NVIDIA_LICENSE=yes scripts/check_isaac.sh",
)

PLANTED = """
import numpy as np
from isaacsim.core.experimental.prims import Articulation, RigidPrim
from isaacsim.core.simulation_manager import SimulationManager
from isaacsim.sensors.experimental.rtx import CameraSensor, RtxCamera

arm = Articulation("/arm")
arm.set_dof_position_targets(np.zeros((1, 9)))
arm.set_joint_position_targets(np.zeros((1, 9)))  # no such method
SimulationManager.step(steps=1, update_fabric=True)
SimulationManager.step(number=1)  # no such keyword
RigidPrim("/cube").apply_forces("x")  # no such type
camera = CameraSensor(RtxCamera("/camera"), resolution=(256, 256), annotators=["colour"])
image, info = camera.get_data("rgb")
image.numpy()  # may be None
"""


def checked(*files):
    """What the check says, a line each."""
    done = subprocess.run([CHECK, *files], capture_output=True, text=True, cwd=ROOT)
    return done.returncode, done.stdout.splitlines()


def test_what_drives_isaac_sim_keeps_to_its_types():
    assert checked() == (0, [])


def test_planted_faults_are_found_and_nothing_else(tmp_path):
    file = tmp_path / "planted.py"
    file.write_text(PLANTED)
    code, said = checked(str(file))
    assert code == 1
    errors = [line for line in said if ": error:" in line]
    found = {int(line.split(":")[1]): line for line in errors}
    rows = PLANTED.splitlines()
    wrong = {
        "set_joint_position_targets": "attr-defined",
        "number=1": "call-arg",
        'apply_forces("x")': "arg-type",
        '"colour"': "list-item",
        "image.numpy()": "union-attr",
    }
    expected = {
        next(i for i, row in enumerate(rows, 1) if text in row): kind
        for text, kind in wrong.items()
    }
    assert {row: line.rsplit("[", 1)[1].rstrip("]") for row, line in found.items()} == expected
