"""SALUS: live failure prediction for vision-language-action policies over ROS 2."""

__version__ = "0.1.0"
