"""Eight tasks of MetaWorld, a world that others made, with a referee of ours.

`ENV_ID` shows what LeRobot's environment shows, so that a policy of theirs sees what it has
learnt from; `SMALL_ENV_ID` has smaller images of two cameras, which a CPU renders ten times as
fast. Needs the extra: salus_ros[metaworld].
"""

from typing import Any

from gymnasium.envs.registration import register, registry

ENV_ID = "salus/MetaWorld-v3"

SMALL_ENV_ID = "salus/MetaWorldSmall-v3"

HAND: tuple[str, ...] = ("hand_x", "hand_y", "hand_z", "gripper")
"""What the four values of the state are: the hand's position in m, the gripper's opening."""

RATE_HZ = 80.0
"""Steps in a second of the world's time; each is five of 2.5 ms."""

WORLDS: dict[str, dict[str, Any]] = {
    ENV_ID: {"cameras": ("corner2",), "image_size": 480, "plain": False},
    SMALL_ENV_ID: {"cameras": ("corner2", "gripperPOV"), "image_size": 128, "plain": True},
}
"""What `MetaWorldEnv` is given to be each world, by its Gymnasium id."""

for _env_id, _options in WORLDS.items():
    if _env_id not in registry:
        register(
            id=_env_id,
            entry_point="salus_ros.worlds.metaworld.world:MetaWorldEnv",
            kwargs=_options,
        )
