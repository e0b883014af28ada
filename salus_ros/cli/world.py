"""`salus world`: the built-in world's scene for other simulators."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.help_text import add_verb
from salus_ros.cli.output import print_line
from salus_ros.cli.world_options import EnvId
from salus_ros.worlds.physics import ENV_ID

world_app = typer.Typer(
    help="Give the built-in world's scene to other simulators.", no_args_is_help=True
)


@world_app.callback()
def _group() -> None:
    """A group, however few verbs it has."""


def usd(
    out: Annotated[Path, typer.Option(help="File to write, .usda or .usdc.")],
    env_id: EnvId = ENV_ID,
) -> None:
    """Write the scene as one USD file: arm, table, things, cameras and lamp, with their physics.

    It is made from the world's own MJCF and numbers, with the drives that PhysX needs.
    """
    from salus_ros.core.errors import ConfigError
    from salus_ros.worlds.mujoco import WORLDS
    from salus_ros.worlds.mujoco.arm import AT_HOME, JOINT_NAMES
    from salus_ros.worlds.mujoco.scene import load_scene
    from salus_ros.worlds.physx.scene import write_usd

    if env_id not in WORLDS:
        raise ConfigError(f"unknown env_id {env_id!r}; known: {', '.join(WORLDS)}")
    if out.suffix not in (".usda", ".usdc"):
        raise ConfigError(f"{out}: give a file that ends in .usda (text) or .usdc (binary)")
    model = load_scene(WORLDS[env_id]["physics"])
    out.parent.mkdir(parents=True, exist_ok=True)
    write_usd(model, dict(zip(JOINT_NAMES, AT_HOME, strict=True)), out)
    print_line(f"{out}: {out.stat().st_size} bytes")


add_verb(world_app, usd, "salus world usd --out runs/scene.usda", "Needs: make physx.")
