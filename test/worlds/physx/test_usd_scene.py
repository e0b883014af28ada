"""The scene as USD: one file with all of it, and what is refused."""

import re

import pytest
from physx_environment import needs_physx

from salus_ros.cli.world import usd
from salus_ros.core.errors import ConfigError, SimulatorError
from salus_ros.worlds.mujoco.arm import AT_HOME, JOINT_NAMES
from salus_ros.worlds.mujoco.scene import load_scene
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import COMPLIANT
from salus_ros.worlds.physx.application import PYTHON_VARIABLE
from salus_ros.worlds.physx.scene import prim_path, write_usd

HOME = dict(zip(JOINT_NAMES, AT_HOME, strict=True))


@needs_physx
def test_one_file_has_the_whole_scene_and_needs_no_other(tmp_path):
    out = tmp_path / "new" / "scene.usda"
    usd(out)
    text = out.read_text()
    assert "@" not in text  # no other file
    named = set(re.findall(r'def \w+ "(\w+)"', text))
    bodies = {"table", "floor", "bin", "plate", "obstacle", "red_cube", "blue_cube", "hand"}
    assert bodies | set(JOINT_NAMES) | {f"{name}_camera" for name in CAMERAS} | {"lamp"} <= named
    assert "tcp" not in named
    stiffness = [float(v) for v in re.findall(r"drive:\w+:physics:stiffness = (\S+)", text)]
    in_radians = sorted(round(value * 57.29578) for value in stiffness if value < 100)
    assert in_radians == [250] * 3 + [400] * 4
    assert [value for value in stiffness if value > 100] == [3000, 3000]


def test_a_rest_pose_outside_a_joints_limits_is_refused(tmp_path):
    model = load_scene(COMPLIANT)
    with pytest.raises(SimulatorError, match=r"panda_joint4 rests at 0\.0, outside its limits"):
        write_usd(model, HOME | {"panda_joint4": 0.0}, tmp_path / "scene.usda")


def test_without_the_environment_one_is_told_how_to_make_it(tmp_path, monkeypatch):
    monkeypatch.setenv(PYTHON_VARIABLE, "/nowhere/python")
    with pytest.raises(SimulatorError, match=r"/nowhere/python.*LICENSE=yes make physx"):
        write_usd(load_scene(COMPLIANT), HOME, tmp_path / "scene.usda")


@pytest.mark.parametrize(
    ("out", "env_id", "said"),
    [
        ("scene.xml", "salus/PickPlace-v1", r"ends in \.usda"),
        ("a.usda", "v9", "unknown env_id 'v9'"),
    ],
)
def test_what_the_command_refuses(tmp_path, out, env_id, said):
    with pytest.raises(ConfigError, match=said):
        usd(tmp_path / out, env_id)


def test_prims_are_nested_as_bodies_are():
    model = load_scene(COMPLIANT)
    finger = model.body("left_finger").id
    assert prim_path(model, model.body("bin").id) == "/panda_table/Geometry/bin"
    assert prim_path(model, 0, "table") == "/panda_table/Geometry/table"
    assert prim_path(model, finger, "left_pad").endswith("/link7/hand/left_finger/left_pad")
