"""SALUS: live failure prediction for vision-language-action policies over ROS 2."""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC = {"watch": "salus_ros.recording.watched"}
"""What is public here beside the version, and where it lies; imported when it is asked for, which
takes seconds."""


def __getattr__(name: str) -> Any:
    """Import what is public."""
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
