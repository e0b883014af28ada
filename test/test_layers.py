"""Imports point inward, and training works without ROS."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "salus_ros"

# What each room may import of ours, beside itself.
ALLOWED: dict[str, set[str]] = {
    "core": set(),
    "messages": {"core"},
    "episodes": {"core"},
    "policies": {"core"},
    "worlds": {"core"},
    "recording": {"core", "messages", "episodes"},
    "prediction": {"core", "episodes"},
}
ALLOWED["training"] = {*ALLOWED, "prediction"} - {"worlds", "policies", "recording", "messages"}
ALLOWED["evaluation"] = ALLOWED["training"] | {"training"}
ALLOWED["bags"] = {"core", "messages", "episodes", "policies", "recording"}
ALLOWED["collection"] = {"core", "episodes", "policies", "worlds", "evaluation", "recording"}
ALLOWED["reports"] = {"core", "episodes", "prediction", "training", "evaluation"}
ALLOWED["labelling"] = {"core", "episodes", "reports"}
INNER = set(ALLOWED)
ALLOWED |= {"nodes": INNER, "cli": INNER}

ROS = {"rclpy", "ament_index_python", "launch", "launch_ros"}


def is_ros(module: str) -> bool:
    """Whether a top-level module exists only where ROS is."""
    return module in ROS or module.endswith(("_msgs", "_interfaces", "_srvs"))


def imported(source: str) -> set[str]:
    """Absolute names of everything a source file imports, wherever in the file."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def violations(file: str, source: str) -> list[str]:
    """What `file`, a path below salus_ros/, imports and must not."""
    room = Path(file).parts[0].removesuffix(".py")
    if room == "__init__":
        return [f"{file} imports {name}" for name in imported(source) if "salus_ros" in name]
    if room not in ALLOWED:
        return [f"{file} is in none of the known rooms: {', '.join(ALLOWED)}"]
    found = []
    for name in sorted(imported(source)):
        top, *rest = name.split(".")
        inward = ALLOWED[room] | {room, "__version__"}
        outward = top == "salus_ros" and not inward.issuperset(rest[:1])
        if outward or (is_ros(top) and room != "nodes"):
            found.append(f"{file} imports {name}")
    return found


def test_imports_point_inward():
    files = sorted(PACKAGE.rglob("*.py"))
    assert len(files) > 10
    found = [
        text
        for file in files
        for text in violations(str(file.relative_to(PACKAGE)), file.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("core/labels.py", "from salus_ros.episodes import store"),
        ("core/labels.py", "def late():\n    import salus_ros.prediction"),
        ("policies/tap.py", "from salus_ros.nodes.vla import VlaNode"),
        ("cli/main.py", "import salus_ros.nodes"),
        ("episodes/store.py", "from sensor_msgs.msg import Image"),
        ("training/training.py", "import rclpy"),
        ("training/training.py", "from salus_msgs.msg import VlaSignals"),
        ("attic/old.py", ""),
    ],
)
def test_the_check_finds_an_outward_import(file, source):
    assert len(violations(file, source)) == 1


@pytest.mark.parametrize(
    ("file", "source"),
    [
        (
            "nodes/vla.py",
            "from salus_msgs.msg import VlaSignals\nimport salus_ros.policies.runner",
        ),
        ("training/dataset.py", "from salus_ros.episodes.reader import StoreReader"),
        ("cli/main.py", "from salus_ros import __version__, episodes"),
    ],
)
def test_the_check_lets_an_inward_import_pass(file, source):
    assert violations(file, source) == []


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
        ["salus_ros.nodes.base", "salus_ros.nodes.convert"]
    )
