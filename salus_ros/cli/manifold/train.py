"""`salus manifold train`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import EXIT_INTERRUPTED, AsJson, err_console, print_line, print_result
from salus_ros.recovery.manifold.settings import CARD, INPUTS, ManifoldSettings

_BY_DEFAULT = ManifoldSettings()


def train(
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Episode stores.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="File to write (.safetensors).")],
    inputs: Annotated[
        str,
        typer.Option(
            help=f"What a step is looked up by, of {', '.join(INPUTS)}, separated by commas; the "
            "last three see the object."
        ),
    ] = ",".join(CARD),
    dimension: Annotated[
        int, typer.Option(min=1, help="Of the embedding.")
    ] = _BY_DEFAULT.dimension,
    batches: Annotated[int, typer.Option(min=1, help="Gradient steps.")] = _BY_DEFAULT.batches,
    batch_size: Annotated[
        int, typer.Option(min=1, help="Triplets of either kind in each.")
    ] = _BY_DEFAULT.batch_size,
    last_steps: Annotated[
        int, typer.Option(min=1, help="Steps before a failure that are negatives.")
    ] = _BY_DEFAULT.last_steps,
    seed: Annotated[int, typer.Option(min=0, help="Of split, weights and triplets.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Learn a manifold of successes from recorded episodes, split by episode.

    A triplet network puts each step into a few dimensions: near to steps of successes that are as
    far on, away from those elsewhere and from the last steps of failures. The file holds it with
    the steps of the successes, so it needs no store to be used.
    """
    from salus_ros.cli.progress import bar
    from salus_ros.recovery.manifold.training import train_manifold
    from salus_ros.reports.tables.manifold import training_tables

    settings = ManifoldSettings(
        inputs=tuple(name.strip() for name in inputs.split(",") if name.strip()),
        dimension=dimension,
        batches=batches,
        batch_size=batch_size,
        last_steps=last_steps,
        seed=seed,
    )
    try:
        with bar("learning", settings.batches, err_console) as advance:
            figures = train_manifold(
                stores,
                out,
                settings,
                lambda done, share: advance(done, f"unseen triplets in order {share:.1%}"),
            )
    except KeyboardInterrupt:
        err_console.print("stopped; nothing was written")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    print_result(figures, as_json, training_tables)
    if not as_json:
        print_line(f"wrote {out}")
