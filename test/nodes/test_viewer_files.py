"""What rviz and rqt are told to show: files of their own form, and topics that exist."""

import ast
import json
import re
from pathlib import Path

import yaml

from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.nodes.arguments import RQT_PLUGINS
from salus_ros.nodes.frames import WORLD
from salus_ros.worlds.panda import CAMERAS

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
IMAGES = [f"/camera/{name}/image_raw" for name in CAMERAS]


def published(node):
    """Topics that a node's source creates publishers for; a camera's name is written {name}."""
    source = (ROOT / "salus_ros" / "nodes" / f"{node}.py").read_text()
    calls = [call for call in ast.walk(ast.parse(source)) if isinstance(call, ast.Call)]
    return {
        re.sub(r"^f?['\"]|['\"]$", "", ast.unparse(call.args[1]))
        for call in calls
        if ast.unparse(call.func) in ("self.create_publisher", "self._sensor_publisher")
    }


def settings(data, *groups):
    """Keys of a group of a perspective, as rqt reads them."""
    for name in ("pluginmanager", *groups):
        data = data["groups"][name]
    assert all(value["type"] == "repr" for value in data["keys"].values())
    return {key: ast.literal_eval(value["repr"]) for key, value in data["keys"].items()}


def test_rviz_shows_the_cameras_in_the_frame_of_the_simulator():
    manager = yaml.safe_load((CONFIG / "salus.rviz").read_text())["Visualization Manager"]
    shown = manager["Displays"]
    assert [display["Class"] for display in shown] == ["rviz_default_plugins/Image"] * len(CAMERAS)
    assert [display["Topic"]["Value"] for display in shown] == IMAGES
    assert [display["Name"] for display in shown] == list(CAMERAS)
    assert manager["Global Options"]["Fixed Frame"] == WORLD
    assert "camera/{name}/image_raw" in published("simulator")


def test_rqt_shows_topics_and_fields_that_exist():
    data = json.loads((CONFIG / "salus.perspective").read_text())
    running = settings(data)["running-plugins"]
    groups = {
        f"plugin__{plugin.replace('/', '__')}__{serial}": plugin
        for plugin, serials in running.items()
        for serial in serials
    }
    of_plugins = data["groups"]["pluginmanager"]["groups"]
    assert set(of_plugins) <= set(groups)
    given = {name: settings(data, name, "plugin") for name in of_plugins}
    assert [keys["topic"] for keys in given.values() if "topic" in keys] == IMAGES
    plotted = [topic for keys in given.values() for topic in keys.get("topics", [])]
    predicted = ["risk", "episode_failure", "no_progress"]
    assert plotted[:3] == [f"/failure_horizons/{name}" for name in predicted]
    assert "failure_horizons" in published("predictor")
    assert "signals" in published("vla")
    kinds = {"signals": "VlaSignals", "failure_horizons": "FailureHorizons"}
    for topic in plotted:
        _, name, field = topic.split("/")
        fields = (ROOT / "salus_msgs" / "msg" / f"{kinds[name]}.msg").read_text()
        assert re.search(rf"^float32 {field}\b", fields, re.MULTILINE)
        # rqt_plot puts a message with a stamp at its stamp and one without at the wall's time:
        # under simulated time the two would be decades apart.
        assert re.search(r"^std_msgs/Header header$", fields, re.MULTILINE)
    assert {topic.split("/")[2] for topic in plotted[3:]} <= set(SIGNAL_NAMES)


def test_the_launch_checks_every_plugin_of_the_layout():
    running = settings(json.loads((CONFIG / "salus.perspective").read_text()))["running-plugins"]
    assert {plugin.split("/")[0] for plugin in running} == set(RQT_PLUGINS) - {"rqt_gui"}


def test_the_launch_file_names_the_files_that_are_there():
    named = re.findall(
        r'CONFIG\.with_name\("(.+?)"\)', (ROOT / "launch/salus.launch.py").read_text()
    )
    assert sorted(named) == ["robots", "salus.perspective", "salus.rviz"]
    assert all((CONFIG / name).exists() for name in named)
