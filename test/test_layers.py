"""The house of the code: imports point inward, without circles, and only nodes know ROS.

What may import what stands in pyproject.toml, as contracts of import-linter.
"""

import subprocess
import sys
import tomllib
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "salus_ros"
CONFIG = ROOT / "pyproject.toml"
CONTRACTS = {
    contract["id"]: contract
    for contract in tomllib.loads(CONFIG.read_text())["tool"]["importlinter"]["contracts"]
}
ROOMS = tuple(
    name for layer in CONTRACTS["layers"]["layers"] for name in layer.replace("|", " ").split()
)
ROS = {"rclpy", "ament_index_python", "launch", "launch_ros"}


def is_ros(module: str) -> bool:
    """Whether a top-level module exists only where ROS is."""
    return module in ROS or module.endswith(("_msgs", "_interfaces", "_srvs"))


def lint_imports(folder: Path) -> tuple[int, str]:
    """Hold the package `salus_ros` of a folder to the contracts: exit code and what is said."""
    code = "from importlinter.cli import lint_imports_command; lint_imports_command()"
    command = [sys.executable, "-c", code, str(CONFIG), "--no-cache", "--no-logo"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture
def house(tmp_path):
    """Writes a package of empty rooms, and of files with the sources given."""

    def build(sources):
        files = {f"{room}/__init__.py": "" for room in ROOMS} | {"__init__.py": ""} | sources
        for name, source in files.items():
            file = tmp_path / "salus_ros" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(source)
        return tmp_path

    return build


def test_the_package_keeps_every_contract():
    code, said = lint_imports(ROOT)
    assert code == 0, said


def test_every_room_has_its_place():
    rooms = {file.parent.name for file in PACKAGE.glob("*/__init__.py")}
    assert rooms == set(ROOMS)
    knowing = {f"salus_ros.{room}" for room in rooms - {"nodes"}}
    assert set(CONTRACTS["ros"]["source_modules"]) == knowing


def test_an_inward_import_and_ros_in_a_node_are_kept(house):
    folder = house(
        {
            "nodes/vla.py": "from salus_msgs.msg import VlaSignals\nimport salus_ros.recording",
            "training/dataset.py": "from salus_ros.episodes import reader",
            "episodes/reader.py": "",
        }
    )
    assert lint_imports(folder)[0] == 0


OUTWARD = {
    "core/labels.py": "from salus_ros.episodes import store",
    "core/late.py": "def late():\n    import salus_ros.prediction",
    "policies/tap.py": "import salus_ros.nodes.vla",
    "prediction/calibration.py": "import salus_ros.training",
    "cli/main.py": "import salus_ros.nodes",
    "labelling/work.py": "import salus_ros.cli.main",
    "worlds/scene.py": "import salus_ros.policies",
}
"""Files of a house with imports that point outward, or across."""


def test_outward_imports_are_found(house):
    code, said = lint_imports(house({"episodes/store.py": "", "nodes/vla.py": ""} | OUTWARD))
    assert code == 1
    for file in OUTWARD:
        module = "salus_ros." + file.removesuffix(".py").replace("/", ".")
        assert f"- {module} -> salus_ros." in said, said


def test_whatever_of_ros_the_nodes_import_is_forbidden_elsewhere():
    graph = grimp.build_graph("salus_ros", include_external_packages=True, cache_dir=None)
    used = {module for module in graph.modules if is_ros(module)}
    assert {"rclpy", "salus_msgs", "sensor_msgs"} <= used
    assert used <= set(CONTRACTS["ros"]["forbidden_modules"])


def test_ros_outside_the_nodes_is_found(house):
    sources = {
        "episodes/store.py": "from sensor_msgs.msg import Image",
        "training/train.py": "import rclpy",
        "messages/images.py": "def late():\n    from salus_msgs.msg import VlaSignals",
    }
    code, said = lint_imports(house(sources))
    assert code == 1
    for line in (
        "episodes is not allowed to import sensor_msgs",
        "training is not allowed to import rclpy",
        "messages is not allowed to import salus_msgs",
    ):
        assert f"salus_ros.{line}" in said


def test_a_circle_inside_a_room_and_a_room_without_a_place_are_found(house):
    circle = {
        "core/labels.py": "import salus_ros.core.alarm",
        "core/alarm.py": "import salus_ros.core.labels",
    }
    code, said = lint_imports(house(circle))
    assert code == 1
    assert "No cycles are allowed in salus_ros.core" in said
    code, said = lint_imports(house({"core/alarm.py": "", "attic/__init__.py": ""}))
    assert code == 1
    assert "attic" in said


def modules(room: str) -> list[str]:
    """Names of all modules of a room."""
    files = sorted((PACKAGE / room).rglob("*.py"))
    parts = [file.relative_to(PACKAGE.parent).with_suffix("").parts for file in files]
    return [".".join(part).removesuffix(".__init__") for part in parts]


def loaded_by(names: list[str]) -> set[str]:
    """Top-level modules that a fresh process has loaded after importing `names`."""
    imports = "".join(f"import {name}\n" for name in names)
    code = f"{imports}import sys\nprint(*{{name.split('.')[0] for name in sys.modules}})"
    answer = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=PACKAGE.parent)
    return set(answer.split())


def test_core_needs_neither_torch_nor_ros():
    loaded = loaded_by(modules("core"))
    assert "numpy" in loaded
    assert "torch" not in loaded
    assert not [name for name in loaded if is_ros(name)]


def test_training_needs_no_ros():
    loaded = loaded_by(
        modules("episodes") + modules("prediction") + modules("training") + modules("evaluation")
    )
    assert {"torch", "zarr"} <= loaded
    assert not [name for name in loaded if is_ros(name)]


def test_nodes_load_ros_so_the_check_above_can_fail():
    assert {"rclpy", "salus_msgs"} <= loaded_by(
        ["salus_ros.nodes.base", "salus_ros.nodes.monitor"]
    )
