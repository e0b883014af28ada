"""Worlds in Gymnasium's form: the built-in one, its parts, and the adapter of any other."""

import os
import sys

if sys.platform == "linux":  # read by mujoco at import; its own default needs a window system
    os.environ.setdefault("MUJOCO_GL", "egl")
