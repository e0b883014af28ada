"""Lets every Python of the environment import salus_msgs, sourced shell or not.

The set-up copies this file into the environment, where a `.pth` file imports it at start.
A message class needs its shared libraries on LD_LIBRARY_PATH, which the loader reads only when
a process begins. The ROS wheels' own bootstrap starts Python once more for the same reason;
this runs before it, so one restart serves both.
"""

import os
import sys
from pathlib import Path

_ENVIRONMENT = Path(sys.prefix)
_INSTALL = _ENVIRONMENT.parent / "install"
_RESTARTED = "_ROS_WHEELS_BOOTSTRAP_COMPLETE"


def _prepend(variable: str, *paths: Path) -> bool:
    """Put `paths` first in a path variable; returns whether one of them was missing."""
    present = [part for part in os.environ.get(variable, "").split(os.pathsep) if part]
    missing = [str(path) for path in paths if str(path) not in present]
    if missing:
        os.environ[variable] = os.pathsep.join(missing + present)
    return bool(missing)


_prepend("AMENT_PREFIX_PATH", _INSTALL / "salus_ros", _INSTALL / "salus_msgs", _ENVIRONMENT)
if _prepend("LD_LIBRARY_PATH", _INSTALL / "salus_msgs" / "lib", _ENVIRONMENT / "lib"):
    # The mark may have been inherited from the Python of another environment.
    os.environ.pop(_RESTARTED, None)
