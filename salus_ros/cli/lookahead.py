"""`salus lookahead`: a store with what is seen ahead along the plan."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import AsJson, err_console, print_json, print_line
from salus_ros.cli.progress import bar


def lookahead(
    store: Annotated[Path, typer.Argument(help="Episode store.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder of the new store.")],
    cell: Annotated[
        str,
        typer.Option(
            help="Model of the cell: id of a built-in world, or the name that another package "
            "gives its own (entry point salus.cells); by default the world the episodes ran in.",
            show_default=False,
        ),
    ] = "",
    workers: Annotated[int, typer.Option(min=1, help="Parallel processes.")] = 1,
    images: Annotated[bool, typer.Option(help="Keep the images.")] = True,
    as_json: AsJson = False,
) -> None:
    """Write the episodes of a store with what the arm would have met if it had done as planned.

    At each replan the plan is rolled out for half a second on a model of the cell as its builder
    knows it: arm, controller and what stands still, from measured joints; no pose of anything
    that moves, nor anything else that only a world knows. A predictor that is trained on the new
    store reads it (input lookahead), live too. It takes some 5 ms a step. The same command goes
    on where it was stopped, and with episodes that the store has got since.
    """
    from salus_ros.collection.lookahead import lookahead_store
    from salus_ros.episodes.reader import StoreReader

    reader = StoreReader(store)
    with nullcontext() if as_json else bar("episodes", len(reader), err_console) as advance:
        episodes = lookahead_store(
            reader, out, cell, workers=workers, images=images, on_episode=advance
        )
    if as_json:
        print_json({"path": str(out), "episodes": episodes})
    else:
        print_line(f"wrote {episodes} episodes, looked ahead in, to {out}")
