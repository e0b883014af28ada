"""What every test runs in: offline, without a screen, in a ROS domain of its own."""

import importlib.util
import multiprocessing
import os
import signal
import socket
import sys
import tempfile

import pytest

from salus_ros.policies.registry import POLICY_MODULES

pytest_plugins = ["predictor_fixtures"]

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell starts what runs in its background so, and a program that ignores it from the start
    # hands that on: the processes of the tests could not be stopped with Ctrl-C.
    signal.signal(signal.SIGINT, signal.default_int_handler)

os.environ.setdefault("MUJOCO_GL", "egl")
os.environ["COLUMNS"] = "120"  # where there is less room, tables cut long names
os.environ.setdefault("OMP_NUM_THREADS", "1")  # the suite shares its cores with its own nodes
os.environ["HF_HUB_OFFLINE"] = "1"
# Else the first pool of the run decides, which may be one that needs no policy.
multiprocessing.set_forkserver_preload(list(POLICY_MODULES))
os.environ["ROS_AUTOMATIC_DISCOVERY_RANGE"] = "LOCALHOST"
os.environ.setdefault("ROS_LOG_DIR", tempfile.mkdtemp(prefix="salus_test_log_"))


def _private_domain() -> tuple[int, socket.socket]:
    """A ROS domain that no other test run on this machine has, and the port that reserves it."""
    for domain in range(1, 100):
        port = socket.socket()
        try:
            port.bind(("127.0.0.1", 22_110 + domain))
        except OSError:
            port.close()
        else:
            return domain, port
    raise RuntimeError("all ROS domains from 1 to 99 are taken by running tests")


_domain, _reservation = _private_domain()
os.environ["ROS_DOMAIN_ID"] = str(_domain)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip a test marked `system_ros` where a module it names is absent, and say which."""
    for marker in item.iter_markers("system_ros"):
        absent = [name for name in marker.args if importlib.util.find_spec(name) is None]
        if absent:
            names = ", ".join(absent)
            pytest.skip(f"{names} not on PyPI: source a ROS 2 Jazzy that has it to run this test")


@pytest.fixture
def ros():
    """An initialised rclpy, shut down after the test so that the process can end."""
    import rclpy

    rclpy.init()
    yield rclpy
    rclpy.try_shutdown()


@pytest.fixture
def salus(monkeypatch, capsys):
    """Run the command in this process; returns exit code, stdout and stderr."""
    from salus_ros.cli import main

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["salus", *map(str, arguments)])
        with pytest.raises(SystemExit) as done:
            main()
        return done.value.code or 0, *capsys.readouterr()

    return run
