"""Where Isaac Sim is on this machine."""

import os
import shutil
from pathlib import Path

from salus_ros.core.errors import SimulatorError
from salus_ros.worlds.isaac.installed import LICENCE_VARIABLE
from salus_ros.worlds.isaac.server import WINDOW_VARIABLE
from salus_ros.worlds.physx.application import Application

PYTHON_VARIABLE = "ISAAC_SIM_PYTHON"
"""Names the Python of an Isaac Sim 6.2: that of the environment it is in, or its python.sh."""

VARIABLES = (
    *(LICENCE_VARIABLE, WINDOW_VARIABLE),
    *("DISPLAY", "XAUTHORITY", "WAYLAND_DISPLAY", "XDG_RUNTIME_DIR", "USER"),
    *("CUDA_VISIBLE_DEVICES", "NVIDIA_VISIBLE_DEVICES", "NVIDIA_DRIVER_CAPABILITIES"),
    *("VK_DRIVER_FILES", "VK_ICD_FILENAMES"),
)


def isaac_python() -> Path:
    """The Python that Isaac Sim is run by.

    Raises:
        SimulatorError: if none is named, or the one that is does not run.
    """
    named = os.environ.get(PYTHON_VARIABLE, "")
    if not named:
        raise SimulatorError(
            f"Isaac Sim is not set up: {PYTHON_VARIABLE} names no Python. Install Isaac Sim 6.2 "
            f"(docs/isaac.md) and set {PYTHON_VARIABLE} to its environment's bin/python, or to "
            "its python.sh"
        )
    found = shutil.which(named)
    if found is None:
        raise SimulatorError(
            f"Isaac Sim is not set up: {PYTHON_VARIABLE} names {named}, which is no program that "
            "runs; give the bin/python of the environment that Isaac Sim 6.2 is in, or its "
            "python.sh"
        )
    return Path(found).absolute()


ISAAC = Application(
    "Isaac Sim", "salus_ros.worlds.isaac.server", isaac_python, VARIABLES, start_s=900.0
)
"""A first start compiles shaders, which takes minutes."""
