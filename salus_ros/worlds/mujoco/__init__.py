"""The built-in world: a Panda pick-and-place in MuJoCo, registered as `ENV_ID`."""

from gymnasium.envs.registration import register, registry

ENV_ID = "salus/PickPlace-v0"

if ENV_ID not in registry:
    register(id=ENV_ID, entry_point="salus_ros.worlds.mujoco.world:PickPlaceEnv")
