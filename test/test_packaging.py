"""What is installed is complete: manifests, data files, commands, pins, every module."""

import importlib
import pkgutil
import re
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from ament_index_python.packages import get_package_share_directory
from catkin_pkg.package import parse_package
from distutils.core import run_setup  # of setuptools; Python 3.12 has none of its own
from test_layers import imported, is_ros

import salus_ros

ROOT = Path(__file__).parent.parent
MANIFEST = parse_package(str(ROOT))
IN_PHYSX = {"mujoco_usd_converter", "newton", "ovphysx", "ovstage", "pxr", "warp", "isaacsim"}
"""Imported only by what runs in PhysX's own environment, see requirements/physx.in, or in Isaac
Sim's."""
MODULES = [name for _, name, _ in pkgutil.walk_packages(salus_ros.__path__, "salus_ros.")]


@pytest.fixture(scope="module")
def distribution():
    """The package as setup.py describes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        return run_setup("setup.py", stop_after="init")


def test_manifest_is_of_format_3_with_a_licence():
    assert (MANIFEST.name, MANIFEST.package_format) == ("salus_ros", 3)
    assert MANIFEST.licenses == ["Apache-2.0"]
    assert (ROOT / MANIFEST.licenses[0].file).read_text().count("Apache License") > 1
    assert MANIFEST.get_build_type() == "ament_python"


def shipped_imports() -> set[str]:
    """Top-level modules that the package and its launch file import."""
    files = [*(ROOT / "salus_ros").rglob("*.py"), *(ROOT / "launch").glob("*.py")]
    return {name.split(".")[0] for file in files for name in imported(file.read_text())}


def test_manifest_names_the_ros_packages_that_are_used_and_no_others():
    named = {depend.name for depend in MANIFEST.exec_depends}
    ros = {name for name in shipped_imports() if is_ros(name)}
    assert {"rclpy", "salus_msgs", "sensor_msgs", "tf2_msgs"} <= ros
    by_name = {"ros2launch", "lifecycle_msgs"}  # of `ros2 launch` and of rclpy.lifecycle
    arguments = importlib.import_module("salus_ros.nodes.arguments")
    by_name |= {"ros2bag", "rviz2", *arguments.RQT_PLUGINS}
    assert {name for name in named if not name.startswith("python3-")} == ros | by_name


def test_manifest_names_every_python_package_or_says_that_pypi_has_it():
    text = (ROOT / "package.xml").read_text()
    (listed,) = re.findall(r"sourced ROS 2 Jazzy too: (.*?)\. -->", text, re.DOTALL)
    from_pypi = {normalised(name) for name in listed.split()}
    keys = {"PIL": "pil", "cv2": "opencv"}  # rosdep goes by Debian's names
    named = {
        depend.name.removeprefix("python3-")
        for depend in MANIFEST.exec_depends
        if depend.name.startswith("python3-")
    }
    homes = packages_distributions()
    foreign = {
        name
        for name in shipped_imports() - sys.stdlib_module_names - {"salus_ros"} - IN_PHYSX
        if not is_ros(name)
    }
    unnamed = {
        name
        for name in foreign
        if keys.get(name, name) not in named
        and not from_pypi & {normalised(home) for home in homes.get(name, [])}
    }
    assert unnamed == set()
    assert named <= {keys.get(name, name) for name in foreign}
    assert from_pypi <= {normalised(home) for name in foreign for home in homes.get(name, [])}


def test_colcon_runs_pytest(distribution):
    assert "pytest" in distribution.extras_require["test"]


def test_one_version_everywhere():
    messages = parse_package(str(ROOT / "salus_msgs"))
    assert {MANIFEST.version, messages.version} == {salus_ros.__version__}


def test_setup_takes_its_facts_from_the_manifest_and_the_requirements(distribution):
    assert distribution.get_name() == MANIFEST.name
    assert distribution.get_version() == MANIFEST.version
    assert "lerobot[dataset,smolvla]==0.6.1" in distribution.install_requires


def test_data_files_exist_and_are_all_there(distribution):
    listed = {file for _, files in distribution.data_files for file in files}
    assert all((ROOT / file).is_file() for file in listed)
    folders = {"launch": "*.launch.py", "config": "*.yaml", "config/robots": "*.yaml"}
    wanted = {
        f"{name}/{file.name}"
        for name, kind in folders.items()
        for file in (ROOT / name).glob(kind)
    }
    assert {"package.xml", "resource/salus_ros"} | wanted <= listed


def test_assets_and_templates_are_package_data(distribution):
    command = distribution.get_command_obj("build_py")
    command.ensure_finalized()
    command.manifest_files = {}  # made by a build; package_data alone has to name them
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        packed = set(command.find_data_files("salus_ros", "salus_ros"))
    folders = (ROOT / "salus_ros" / "assets", ROOT / "salus_ros" / "reports" / "templates")
    files = (file for folder in folders for file in folder.rglob("*") if file.is_file())
    assert {str(file.relative_to(ROOT)) for file in files} == packed


def test_commands_exist(distribution):
    commands = distribution.entry_points["console_scripts"]
    assert len(commands) == 10
    for command in commands:
        module, _, function = command.partition(" = ")[2].partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_every_folder_with_code_is_a_package():
    folders = {file.parent for file in (ROOT / "salus_ros").rglob("*.py")}
    assert [str(folder) for folder in folders if not (folder / "__init__.py").is_file()] == []


@pytest.mark.parametrize("module", MODULES)
def test_module_imports_and_says_what_it_is(module):
    assert importlib.import_module(module).__doc__


def test_launch_and_config_are_installed():
    share = Path(get_package_share_directory("salus_ros"))
    for folder, kind in (("launch", "*.launch.py"), ("config", "*.yaml")):
        shipped = {file.name for file in (ROOT / folder).glob(kind)}
        assert shipped <= {file.name for file in (share / folder).glob(kind)}


def normalised(name: str) -> str:
    """A distribution's name as the package index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def requirements(name: str) -> set[str]:
    """Names of the distributions in one of the requirement files."""
    text = (ROOT / "requirements" / f"{name}.in").read_text()
    names = re.findall(r"^([\w.-]+)", text, re.MULTILINE)
    assert names
    return {normalised(name) for name in names}


def foreign_imports() -> dict[str, set[str]]:
    """Modules of others that our code imports, with the distributions each may come from."""
    files = [
        file for name in ("salus_ros", "test", "benchmark") for file in (ROOT / name).rglob("*.py")
    ]
    names = {name.split(".")[0] for file in files for name in imported(file.read_text())}
    # Files that tests and benchmarks import by their names alone; the package's own are not.
    beside = (file.stem for file in files if "salus_ros" not in file.parts[-4:-1])
    ours = {"salus_ros", "benchmark", "distutils", "docs_pages", *beside} | IN_PHYSX
    foreign = {name for name in names - ours - sys.stdlib_module_names if not is_ros(name)}
    homes = packages_distributions()
    return {name: {normalised(home) for home in homes.get(name, [])} for name in foreign}


def test_every_import_is_a_requirement():
    wanted = requirements("run") | requirements("dev") | {"catkin-pkg"}
    assert [name for name, homes in foreign_imports().items() if not homes & wanted] == []


def test_every_requirement_is_imported():
    tools = {"import-linter", "mypy", "pdoc", "pytest-timeout", "pytest-xdist", "ruff", "uv"}
    tools.add("types-pyyaml")
    tools |= {"moto", "flask", "flask-cors"}  # the server of S3's protocol
    tools.add("diffusers")  # which LeRobot's diffusion policy imports
    used = set().union(*foreign_imports().values())
    assert requirements("run") | requirements("dev") <= used | tools


def test_every_requirement_is_pinned_without_an_address():
    pins = (ROOT / "requirements" / "pinned.txt").read_text()
    pinned = {normalised(name) for name in re.findall(r"^([\w.-]+)==", pins, re.MULTILINE)}
    assert requirements("run") | requirements("dev") | requirements("ros") <= pinned
    assert "://" not in pins
