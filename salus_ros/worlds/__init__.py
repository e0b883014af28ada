"""The built-in world: a Panda pick-and-place in MuJoCo as a Gymnasium environment."""

import os
import sys

from gymnasium.envs.registration import register, registry

if sys.platform == "linux":  # read by mujoco at import; its own default needs a window system
    os.environ.setdefault("MUJOCO_GL", "egl")

ENV_ID = "salus/PickPlace-v0"

if ENV_ID not in registry:
    register(id=ENV_ID, entry_point="salus_ros.worlds.mujoco.world:PickPlaceEnv")
