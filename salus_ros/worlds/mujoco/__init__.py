"""The built-in world: a Panda pick-and-place in MuJoCo, registered once for each `Physics`."""

from gymnasium.envs.registration import register, registry

from salus_ros.worlds.physics import COMPLIANT, RIGID, Physics

ENV_ID = "salus/PickPlace-v0"
"""The world where none is named."""

PHYSICS: dict[str, Physics] = {ENV_ID: RIGID, "salus/PickPlace-v1": COMPLIANT}
"""Numbers of each world by its Gymnasium id."""

for _env_id, _physics in PHYSICS.items():
    if _env_id not in registry:
        register(
            id=_env_id,
            entry_point="salus_ros.worlds.mujoco.world:PickPlaceEnv",
            kwargs={"physics": _physics},
        )
