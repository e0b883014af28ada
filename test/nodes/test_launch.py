"""The launch file: what can be seen of it anywhere, and a real launch where launch is."""

import ast
import importlib.util
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from checkpoints import save_checkpoint
from processes import DEADLINE_S, environment

from salus_ros.episodes import StoreReader
from salus_ros.nodes.parameters import NODES

LAUNCH = Path(__file__).parents[2] / "launch" / "salus.launch.py"
NAMES = {
    "source",
    "mode",
    "policy",
    "model",
    "record",
    "bag",
    "namespace",
    "rate",
    "device",
    "episode_source",
    "episodes",
    "seed",
    "sync_slop_ms",
    "task",
    "fault",
    "condition",
    "replan_every",
    "num_samples",
    "exit_when_done",
    "rviz",
    "rqt",
    "use_sim_time",
    "params_file",
    "log_level",
}
TREE = ast.parse(LAUNCH.read_text())
SPECS = {cls.node_name: cls.specs() for cls in NODES}


def calls(function: str) -> Iterator[ast.Call]:
    for node in ast.walk(TREE):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
            yield node


def declared() -> dict[str, dict[str, Any]]:
    """The arguments, as far as they are literals."""
    found = {}
    for call in calls("DeclareLaunchArgument"):
        name = ast.literal_eval(call.args[0])
        found[name] = {
            item.arg: ast.literal_eval(item.value)
            for item in call.keywords
            if isinstance(item.value, ast.Constant)
        }
    return found


def test_every_argument_has_a_help():
    assert set(declared()) == NAMES
    for name, keywords in declared().items():
        assert len(keywords["description"]) > 10, name


def test_what_it_sets_are_parameters_and_arguments_that_exist():
    known = {name for specs in SPECS.values() for name in specs}
    given = list(calls("given"))
    assert given
    for call in given:
        for item in call.keywords:
            assert item.arg in known, item.arg
            argument = ast.literal_eval(item.value.elts[0])
            assert argument in NAMES
            kind = item.value.elts[1].id
            types = {type(s[item.arg].default).__name__ for s in SPECS.values() if item.arg in s}
            assert types == {kind}


def test_what_it_sets_by_itself_are_parameters():
    known = {name for specs in SPECS.values() for name in specs} | {"use_sim_time"}
    keys = {
        key.value
        for node in ast.walk(TREE)
        if isinstance(node, ast.Dict)
        for key in node.keys
        if isinstance(key, ast.Constant)
    }
    assert keys
    assert keys <= known


def test_it_starts_every_node():
    started = {ast.literal_eval(call.args[0]) for call in calls("node")}
    assert started == set(SPECS)


def test_the_parameter_file_it_gives_is_there():
    assert set(yaml.safe_load((LAUNCH.parents[1] / "config" / "salus.yaml").read_text())) == {
        f"/**/{name}" for name in SPECS
    }


needs_launch = pytest.mark.system_ros("launch", "launch_ros")


def actions(arguments: dict[str, str]) -> list[Any]:
    """What the launch file makes of arguments."""
    import launch

    spec = importlib.util.spec_from_file_location("salus_launch", LAUNCH)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    context = launch.LaunchContext()
    for item in module.ARGUMENTS:
        default = "".join(part.text for part in item.default_value)
        context.launch_configurations[item.name] = arguments.get(item.name, default)
    return list(module.make_nodes(context))


def described(arguments: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Parameters that each node would be started with, as the launch file makes them."""
    made = {}
    for action in actions(arguments):
        if type(action).__name__ == "Node":
            given = action._Node__parameters[-1]
            made[action.node_executable] = {
                "".join(part.text for part in key): value for key, value in given.items()
            }
    return made


@needs_launch
@pytest.mark.parametrize(
    ("arguments", "nodes"),
    [
        ({}, {"vla", "predictor", "simulator"}),
        ({"record": "a.zarr"}, {"vla", "predictor", "simulator", "recorder"}),
        ({"source": "none"}, {"vla", "predictor"}),
        ({"source": "none", "record": "a.zarr"}, {"vla", "predictor", "recorder"}),
    ],
)
def test_the_arguments_choose_the_nodes(arguments, nodes):
    assert set(described(arguments)) == nodes


@needs_launch
def test_lockstep_takes_simulated_time_and_real_time_does_not():
    lockstep = described({"record": "a.zarr", "episodes": "3", "rate": "10"})
    assert lockstep["recorder"]["use_sim_time"]
    assert lockstep["recorder"]["max_age_ms"] == 0.0
    assert lockstep["simulator"]["episodes"] == 3
    assert lockstep["simulator"]["rate_hz"] == 10.0
    assert lockstep["simulator"]["min_subscribers"] == 3
    realtime = described({"record": "a.zarr", "mode": "realtime"})
    assert not realtime["recorder"]["use_sim_time"]
    assert realtime["recorder"]["max_missing_share"] == 1.0
    assert "max_age_ms" not in realtime["recorder"]


@needs_launch
def test_a_bag_is_recorded_of_every_topic_and_waited_for(monkeypatch, tmp_path):
    packages = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    packages.mkdir(parents=True)
    (packages / "ros2bag").touch()
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    bag = tmp_path / "bags" / "a"
    given = {"bag": str(bag), "namespace": "left", "record": "a.zarr"}
    (recorder,) = [one for one in actions(given) if type(one).__name__ == "ExecuteProcess"]
    command = ["".join(part.text for part in words) for words in recorder.cmd]
    assert command[:6] == ["ros2", "bag", "record", "--output", str(bag), "--topics"]
    assert {"/left/camera/wrist/image_raw", "/left/episode", "/left/signals"} <= set(command[6:])
    nodes = described(given)
    waited = [nodes[name]["min_subscribers"] for name in ("vla", "predictor", "simulator")]
    assert waited == [3, 2, 4]
    bag.mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        actions(given)


@needs_launch
def test_viewers_are_started_only_where_they_are_asked_for(monkeypatch, tmp_path):
    assert not {"rviz2", "rqt_gui"} & set(described({}))
    from ament_index_python.packages import PackageNotFoundError

    rviz = described({"rviz": "true", "namespace": "left"})["rviz2"]
    assert rviz == {"use_sim_time": True}
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    with pytest.raises(PackageNotFoundError, match="rqt_gui"):
        described({"rqt": "true"})
    packages = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    packages.mkdir(parents=True)
    (packages / "rqt_gui").touch()
    assert set(described({"rqt": "true"})) == set(described({}))  # it comes later, by a timer


@needs_launch
def test_a_real_launch(tmp_path, tiny_policy):
    store = tmp_path / "a.zarr"
    parameters = tmp_path / "parameters.yaml"
    worlds = yaml.safe_load((LAUNCH.parents[1] / "config" / "salus.yaml").read_text())
    worlds["/**/simulator"]["ros__parameters"]["env_id"] = "fast_world:salus_test/Fast-v0"
    worlds["/**/recorder"]["ros__parameters"]["min_free_mb"] = 0
    parameters.write_text(yaml.safe_dump(worlds))
    given = {
        "policy": tiny_policy,
        "model": save_checkpoint(tmp_path / "model"),
        "record": store,
        "episodes": 2,
        "namespace": "launched",
        "device": "cpu",
        "exit_when_done": "true",
        "params_file": parameters,
    }
    source = (
        "import sys, launch, launch.launch_description_sources as s, launch.actions as a\n"
        "service = launch.LaunchService(argv=sys.argv[2:])\n"
        "service.include_launch_description(launch.LaunchDescription([\n"
        "    a.IncludeLaunchDescription(s.PythonLaunchDescriptionSource(sys.argv[1]),\n"
        "        launch_arguments=[v.split(':=') for v in sys.argv[2:]])]))\n"
        "sys.exit(service.run())\n"
    )
    command = [sys.executable, "-c", source, str(LAUNCH)]
    command += [f"{name}:={value}" for name, value in given.items()]
    process = subprocess.Popen(
        command,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=DEADLINE_S)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, said
    assert "Traceback" not in said, said
    assert [len(episode) for episode in map(StoreReader(store).episode, range(2))] == [6, 6]
