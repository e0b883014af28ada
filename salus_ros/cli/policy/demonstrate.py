"""`salus policy demonstrate`."""

import shutil
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
    alarms_of: Annotated[
        Path | None,
        typer.Option(
            help="Begin where --model alarms in the episodes of this store of a built-in world, "
            "to teach a policy that takes over there: at most --episodes, at the speed that a "
            "recovery is allowed."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Calibrated predictor, for --alarms-of.")
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Rate of its alarm: share of successes that may alarm.")
    ] = 0.2,
    workers: Workers = 2,
) -> None:
    """Record the scripted expert of a world that ships, with noise on its motion.

    Ctrl-C or kill loses only the episodes in flight: until all are there they are kept in a
    folder beside --out, by the same name (.parts), and the same command goes on with it.
    """
    from salus_ros.collection.demonstrate import record
    from salus_ros.collection.trials.corrections import alarmed_in, record_corrections
    from salus_ros.policies.tiny.build import TINY

    if out.suffix != ".npz":
        raise ConfigError(f"--out is '{out}'; give a file name that ends in .npz")
    if (alarms_of is None) != (model is None):
        raise ConfigError("--alarms-of and --model belong together; give both, or neither")
    parts = out.with_suffix(".parts")
    with bar("demonstrations", episodes) as advance:

        def told(kept: int) -> None:
            advance(kept)

        if alarms_of is None or model is None:
            demos = record(episodes, seed, TINY.image_px, env_id, workers, parts, told)
        else:
            begun = alarmed_in(alarms_of, model, alpha)
            demos = record_corrections(begun, episodes, seed, TINY.image_px, workers, parts, told)
    demos.save(out)
    shutil.rmtree(parts)
    print_line(f"{len(demos.ends)} episodes, {len(demos.state)} steps in {out}")
