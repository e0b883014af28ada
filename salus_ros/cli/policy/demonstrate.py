"""`salus policy demonstrate`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import print_line
from salus_ros.cli.progress import bar
from salus_ros.cli.world_options import EnvId, Workers
from salus_ros.core.errors import ConfigError
from salus_ros.worlds.physics import ENV_ID

DEFAULT_SEED = 100_000


def demonstrate(
    out: Annotated[Path, typer.Option(help="File to write (.npz).")],
    episodes: Annotated[int, typer.Option(min=1, help="Successful episodes to keep.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first attempt.")] = DEFAULT_SEED,
    env_id: EnvId = ENV_ID,
    workers: Workers = 2,
) -> None:
    """Record the scripted expert of a world that ships, with noise on its motion."""
    from salus_ros.collection.demonstrate import record
    from salus_ros.policies.tiny.build import TINY

    if out.suffix != ".npz":
        raise ConfigError(f"--out is '{out}'; give a file name that ends in .npz")
    with bar("demonstrations", episodes) as advance:
        demos = record(episodes, seed, TINY.image_px, env_id, workers, lambda n: advance(n))
    demos.save(out)
    print_line(f"{len(demos.ends)} episodes, {len(demos.state)} steps in {out}")
