"""The built-in world: a Panda pick-and-place, registered once for each `Physics` and engine."""

from typing import Any

from gymnasium.envs.registration import register, registry

from salus_ros.worlds.physics import (
    COMPLIANT,
    ENV_ID,
    FIRST_ENV_ID,
    ISAAC_ENV_ID,
    NEWTON_ENV_ID,
    PHYSX_ENV_ID,
    RIGID,
    Physics,
)

PHYSICS: dict[str, Physics] = {FIRST_ENV_ID: RIGID, ENV_ID: COMPLIANT}
"""Numbers of each world that MuJoCo moves, by its Gymnasium id."""

WORLDS: dict[str, dict[str, Any]] = {
    **{env_id: {"physics": physics} for env_id, physics in PHYSICS.items()},
    PHYSX_ENV_ID: {"physics": COMPLIANT, "engine": "physx"},
    NEWTON_ENV_ID: {"physics": COMPLIANT, "engine": "physx-newton"},
    ISAAC_ENV_ID: {"physics": COMPLIANT, "engine": "isaac"},
}
"""What `PickPlaceEnv` is given to be each world, by its Gymnasium id."""

CELLS: dict[str, str] = {
    env_id: next(moved for moved, physics in PHYSICS.items() if physics is options["physics"])
    for env_id, options in WORLDS.items()
}
"""The world of `PHYSICS` with the same arm and cell as each world, whatever engine moves it."""

for _env_id, _options in WORLDS.items():
    if _env_id not in registry:
        register(
            id=_env_id,
            entry_point="salus_ros.worlds.mujoco.world:PickPlaceEnv",
            kwargs=_options,
        )
