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

from salus_ros.core.errors import ConfigError
from salus_ros.episodes import StoreReader
from salus_ros.nodes.arguments import ARGUMENTS, RQT_PLUGINS
from salus_ros.nodes.parameters import NODES

LAUNCH = Path(__file__).parents[2] / "launch" / "salus.launch.py"
NAMES = {one.name for one in ARGUMENTS}
TREE = ast.parse(LAUNCH.read_text())
SPECS = {cls.node_name: cls.specs() for cls in NODES}


def calls(function: str) -> Iterator[ast.Call]:
    for node in ast.walk(TREE):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
            yield node


def test_every_argument_has_a_help():
    assert len(NAMES) == len(ARGUMENTS)
    for one in ARGUMENTS:
        assert len(one.text) > 10, one.name
        assert not one.choices or one.default in one.choices, one.name


def test_every_argument_is_used():
    texts = {node.value for node in ast.walk(TREE) if isinstance(node, ast.Constant)}
    assert texts >= NAMES


def test_what_it_sets_are_parameters_and_arguments_that_exist():
    known = {name for specs in SPECS.values() for name in specs}
    given = list(calls("given"))
    assert given
    for call in given:
        for item in call.keywords:
            assert item.arg in known, item.arg
            argument = ast.literal_eval(item.value.elts[0])
            assert argument in NAMES
            kind = item.value.elts[1].id.replace("names_of", "tuple")
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
    defaults = {one.name: one.default for one in ARGUMENTS} | {"params_file": str(module.CONFIG)}
    context.launch_configurations.update(defaults | arguments)
    return list(module.make_nodes(context))


def described(arguments: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Parameters that each node would be started with, as the launch file makes them."""
    made = {}
    for action in actions(arguments):
        if hasattr(action, "node_executable"):
            file = "".join(part.text for part in action._Node__parameters[-1].param_file)
            given = yaml.safe_load(Path(file).read_text())["/**"]["ros__parameters"]
            made[action.node_executable] = given
    return made


@needs_launch
@pytest.mark.parametrize(
    ("arguments", "nodes"),
    [
        ({}, {"vla", "predictor", "simulator"}),
        ({"record": "a.zarr"}, {"vla", "predictor", "simulator", "recorder"}),
        ({"source": "none"}, {"vla", "predictor", "episode"}),
        ({"source": "none", "watch_only": "true"}, {"watch", "predictor", "episode"}),
        ({"source": "none", "episode_source": "topic"}, {"vla", "predictor"}),
        ({"source": "none", "record": "a.zarr"}, {"vla", "predictor", "recorder", "episode"}),
        ({"clips": "clips"}, {"vla", "predictor", "simulator", "recorder"}),
    ],
)
def test_the_arguments_choose_the_nodes(arguments, nodes):
    assert set(described(arguments)) == nodes


@needs_launch
def test_clips_are_saved_with_and_without_a_store():
    alone = described({"clips": "here"})["recorder"]
    assert (alone["clips"], alone["record"]) == ("here", False)
    both = described({"clips": "here", "record": "a.zarr"})["recorder"]
    assert (both["clips"], both["store_path"]) == ("here", "a.zarr")
    assert "record" not in both


@needs_launch
def test_lockstep_takes_simulated_time_and_real_time_does_not():
    lockstep = described({"record": "a.zarr", "episodes": "3", "rate": "10"})
    assert lockstep["recorder"]["use_sim_time"]
    assert lockstep["recorder"]["max_age_ms"] == 0.0
    assert lockstep["simulator"]["episodes"] == 3
    assert lockstep["simulator"]["rate_hz"] == 10.0
    realtime = described({"record": "a.zarr", "mode": "realtime"})
    assert not realtime["recorder"]["use_sim_time"]
    assert realtime["recorder"]["max_missing_share"] == 1.0
    assert "max_age_ms" not in realtime["recorder"]
    own = described({"record": "a.zarr", "source": "none"})["recorder"]
    assert own["max_missing_share"] == 1.0  # a lost frame is a gap, and not the end of an episode
    assert "max_missing_share" not in lockstep["recorder"]


@needs_launch
def test_who_is_waited_for_is_named():
    nodes = described({"record": "a.zarr"})
    assert nodes["simulator"]["wait_for"] == "vla,predictor,recorder"
    assert nodes["vla"]["wait_for"] == "predictor,recorder"
    assert nodes["predictor"]["wait_for"] == "recorder"
    assert described({"source": "none"})["episode"]["wait_for"] == "vla,predictor"
    watching = described({"watch_only": "true"})
    assert watching["simulator"]["wait_for"] == watching["watch"]["wait_for"] == "predictor"


@needs_launch
def test_recovery_stands_between_the_policy_and_who_acts_and_its_shadow_does_not(tmp_path):
    given = {"model": str(tmp_path), "record": "a.zarr", "recovery_alpha": "0.2"}
    nodes = described(given | {"recovery": "scripted@alarm"})
    assert (nodes["recovery"]["arm"], nodes["recovery"]["alpha"]) == ("scripted@alarm", 0.2)
    assert (nodes["recovery"]["mode"], nodes["recovery"]["wait_for"]) == ("lockstep", "recorder")
    assert nodes["simulator"]["wait_for"] == "vla,predictor,recovery,recorder"
    second = {"recovery": "policy@alarm", "recovery_policy": str(tmp_path)}
    assert described(given | second)["recovery"]["policy_path"] == str(tmp_path)
    without = {"recovery": "none", "recovery_alpha": ""}
    assert "recovery" not in described(given | without)
    for recovery, policy, node in (
        ("none", [], None),
        ("scripted@alarm", [("action", "policy_action")], []),
        ("shadow:scripted@alarm", [], [("policy_action", "action")]),
    ):
        found = renamed(given | ({"recovery": recovery} if node is not None else without))
        assert (found["vla"], found.get("recovery")) == (policy, node)


def renamed(arguments):
    """Topics that each node has under another name, but for those that all have."""
    made = {}
    for action in actions(arguments):
        if hasattr(action, "node_executable"):
            pairs = [
                tuple("".join(part.text for part in side) for side in pair)
                for pair in action._Node__remappings
            ]
            made[action.node_executable] = [one for one in pairs if one[0][0] != "/"]
    return made


@needs_launch
def test_an_arm_brings_its_own_cameras_and_joints():
    given = {"source": "none", "record": "a", "cameras": "top, hand", "state_joints": "j1,j2"}
    nodes = described(given | {"image_transport": "compressed", "rate": "15", "task": "push"})
    for name in ("vla", "recorder"):
        assert nodes[name]["cameras"] == ["top", "hand"]
        assert nodes[name]["state_joints"] == ["j1", "j2"]
        assert not nodes[name]["reliable_sensors"]
    assert (nodes["episode"]["rate_hz"]) == 15.0
    assert described({"record": "a"})["recorder"]["reliable_sensors"]
    assert not described({"reliable_sensors": "false"})["vla"]["reliable_sensors"]


@pytest.fixture
def install(monkeypatch, tmp_path):
    """Make packages look installed, and none else."""
    packages = tmp_path / "share" / "ament_index" / "resource_index" / "packages"
    packages.mkdir(parents=True)
    monkeypatch.setenv("AMENT_PREFIX_PATH", str(tmp_path))
    return lambda *names: [(packages / name).touch() for name in names]


@needs_launch
def test_a_bag_is_recorded_of_every_topic_and_waited_for(monkeypatch, tmp_path, install):
    install("ros2bag")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "ros2").touch(mode=0o755)
    bag = tmp_path / "bags" / "a"
    given = {"bag": str(bag), "namespace": "left", "record": "a.zarr", "cameras": "top,hand"}
    (recorder,) = [one for one in actions(given) if type(one).__name__ == "ExecuteProcess"]
    command = ["".join(part.text for part in words) for words in recorder.cmd]
    assert command[:5] == ["ros2", "bag", "record", "--output", str(bag)]
    topics = set(command[command.index("--topics") + 1 :])
    assert {"/left/camera/hand/image_raw", "/left/episode", "/left/signals"} <= topics
    assert "/left/camera/front/image_raw" not in topics
    nodes = described(given)
    assert nodes["simulator"]["wait_for"] == "vla,predictor,recorder,/rosbag2_recorder"
    assert nodes["predictor"]["wait_for"] == "recorder,/rosbag2_recorder"
    bag.mkdir()
    with pytest.raises(ConfigError, match="exists already"):
        actions(given)


@needs_launch
def test_viewers_are_started_only_where_they_are_asked_for(install):
    assert not {"rviz2", "rqt_gui"} & set(described({}))
    install("rviz2", *RQT_PLUGINS)
    rviz = described({"rviz": "true", "namespace": "left"})["rviz2"]
    assert rviz == {"use_sim_time": True}
    assert set(described({"rqt": "true"})) == set(described({}))  # it comes when vla is active


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
