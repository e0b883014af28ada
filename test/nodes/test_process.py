import signal
import subprocess
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from xml.etree import ElementTree

import pytest
from checkpoints import save_checkpoint
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from processes import NodeProcess

import salus_ros
from salus_ros.nodes import start
from salus_ros.worlds import panda

PACKAGE = Path(salus_ros.__file__).parent
FAST = "fast_world:salus_test/Fast-v0"
ROBOT = Path(__file__).parents[2] / "config" / "robots" / "ur5e.yaml"


@pytest.mark.parametrize(
    ("name", "parameters", "said"),
    [
        (
            "simulator",
            {"mode": "turbo"},
            "parameter 'mode' is 'turbo'; allowed is one of lockstep",
        ),
        ("simulator", {"env_id": "x/Nothing-v0"}, "env_id 'x/Nothing-v0' cannot be made"),
        ("recorder", {"max_age_ms": -1.0}, "parameter 'max_age_ms' is -1.0; allowed is a number"),
        ("predictor", {"model_path": "/nowhere"}, "cannot read the predictor '/nowhere'"),
        ("vla", {"policy_path": "/nowhere"}, "/nowhere"),
    ],
)
def test_what_the_user_must_change_is_one_line_and_exit_code_2(name, parameters, said):
    with NodeProcess(name, "/t", **parameters) as node:
        assert node.wait() == 2
        errors = [line for line in node.said.splitlines() if line.startswith("error: ")]
        assert len(errors) == 1
        assert said in errors[0]
        assert "Traceback" not in node.said


@pytest.mark.parametrize(
    ("name", "number"),
    [
        ("simulator", signal.SIGINT),
        ("simulator", signal.SIGTERM),
        ("predictor", signal.SIGTERM),
        ("recorder", signal.SIGINT),
        ("episode", signal.SIGINT),
        ("action_bridge", signal.SIGTERM),
    ],
)
def test_a_signal_ends_a_node_in_good_order(name, number, tmp_path):
    given = {
        "simulator": {"env_id": FAST, "republish_s": 0.1},
        "predictor": {"model_path": save_checkpoint(tmp_path)},
        "recorder": {"store_path": tmp_path / "file", "min_free_mb": 0},
        "episode": {"wait_for": "vla"},
        "action_bridge": {"robot": ROBOT},
    }
    said = {
        "simulator": "waiting for the action",
        "predictor": "predicting with model",
        "recorder": "not recording",
        "episode": "waiting for 'vla' to listen to /t/episode",
        "action_bridge": "by /t/scaled_joint_trajectory_controller/joint_trajectory; an alarm "
        "would make it hold",
    }
    (tmp_path / "file").write_text("no store")
    with NodeProcess(name, "/t", **given[name]) as node:
        node.until_said(said[name])
        assert node.stop(number) == 0
        assert "Traceback" not in node.said


def test_a_node_that_is_not_started_by_itself_waits_to_be_told(ros):
    """What is wrong is in its log then, and it lives on."""
    told = ros.create_node("manager")
    client = told.create_client(ChangeState, "/t/simulator/change_state")
    request = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CONFIGURE))
    with NodeProcess("simulator", "/t", autostart=False, env_id="x/Nothing-v0") as node:
        assert client.wait_for_service(60.0)
        future = client.call_async(request)
        ros.spin_until_future_complete(told, future, timeout_sec=60.0)
        assert not future.result().success
        node.until_said("env_id 'x/Nothing-v0' cannot be made")
        assert not node.ended()
        assert node.stop() == 0
        assert "Traceback" not in node.said


LOADING = """
import sys, time
from importlib.abc import MetaPathFinder
from salus_ros.nodes import start

class Torch(MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == "torch":
            print("loading", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Torch())
sys.exit(start.vla())
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_node_that_still_loads_ends_at_once_and_quietly(number):
    command = [sys.executable, "-c", LOADING]
    node = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert node.stdout.readline() == "loading\n"
    node.send_signal(number)
    assert node.communicate(timeout=30) == ("", "")
    assert node.returncode == 0


def test_every_node_has_its_command():
    commands = entry_points(group="console_scripts")
    started = {one.name: one.load() for one in commands if one.module == start.__name__}
    names = {"simulator", "vla", "watch", "predictor", "recorder", "episode", "action_bridge"}
    names |= {"recovery", "view"}
    assert set(started) == names
    for name, function in started.items():
        assert function is getattr(start, name)


def test_a_second_signal_does_not_interrupt_the_end():
    with NodeProcess("simulator", "/t", env_id=FAST, republish_s=0.1) as node:
        node.until_said("waiting for the action")
        node.process.send_signal(signal.SIGINT)
        node.process.send_signal(signal.SIGINT)
        assert node.stop(signal.SIGTERM) == 0
        assert "Traceback" not in node.said


def test_signals_without_end_do_not_change_how_a_node_ends():
    with NodeProcess("episode", "/t", wait_for="vla") as node:
        node.until_said("waiting for 'vla' to listen to /t/episode")
        while node.process.poll() is None:
            node.process.send_signal(signal.SIGINT)
            time.sleep(0.001)
        assert node.wait() == 0


@pytest.mark.parametrize(
    ("profile", "size", "chosen"),
    [
        ("fastdds.xml", (panda.IMAGE_SIZE, panda.IMAGE_SIZE), False),
        ("fastdds_cameras.xml", (720, 1280), True),
    ],
)
def test_the_transport_of_what_publishes_images_holds_several_observations(
    profile, size, chosen, monkeypatch
):
    path = PACKAGE / "assets" / profile
    (said,) = [e.text for e in ElementTree.parse(path).iter() if e.tag.endswith("segment_size")]
    assert int(said) >= 10 * len(panda.CAMERAS) * 3 * size[0] * size[1]
    if chosen:  # by the user; the other one is the simulator's own choice
        monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", str(path))
    with NodeProcess("simulator", "/t", env_id=FAST, republish_s=0.1) as node:
        node.until_said("waiting for the action")
        maps = Path(f"/proc/{node.process.pid}/maps").read_text().splitlines()
        mapped = [line.split() for line in maps if "/dev/shm/fastrtps_" in line]
        sizes = [int(a[0].split("-")[1], 16) - int(a[0].split("-")[0], 16) for a in mapped]
        assert max(sizes) >= int(said)
        assert node.stop() == 0
