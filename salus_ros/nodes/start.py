"""Commands that start the nodes.

To import a node takes seconds where it brings torch along. Told to stop meanwhile, it ends at once
and quietly, as it does later; Python by itself would print where in the imports it was.
"""

import os
import signal
from importlib import import_module


def simulator() -> int:
    """Run the simulator node."""
    return _start("simulator")


def vla() -> int:
    """Run the vla node."""
    return _start("vla")


def watch() -> int:
    """Run the watch node."""
    return _start("watch")


def predictor() -> int:
    """Run the predictor node."""
    return _start("predictor")


def recorder() -> int:
    """Run the recorder node."""
    return _start("recorder")


def episode() -> int:
    """Run the episode node."""
    return _start("episode")


def action_bridge() -> int:
    """Run the action bridge."""
    return _start("action_bridge")


def recovery() -> int:
    """Run the recovery node."""
    return _start("recovery")


def view() -> int:
    """Run the view node."""
    return _start("view")


def _start(name: str) -> int:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: os._exit(0))  # until `run` sets its own
    code: int = import_module(f"salus_ros.nodes.{name}").main()
    return code
