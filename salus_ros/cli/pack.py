"""`salus pack`."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from salus_ros.cli.progress import bar

if TYPE_CHECKING:
    from salus_ros.episodes.pack import Packed

out_console = Console()
err_console = Console(stderr=True)


def pack(
    stores: Annotated[
        list[Path],
        typer.Argument(help="Episode stores, joined in this order.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="The file to write, .zarr.zip.")],
    images: Annotated[bool, typer.Option(help="Keep the images; they are most of it.")] = True,
    episodes: Annotated[
        int | None, typer.Option(min=1, help="Take this many at most; all by default.")
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace a file that is there.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Join episode stores into one small file that every verb reads.

    An episode that lies in several of them is packed once, with the first label that says how
    it ended.
    """
    from salus_ros.episodes.pack import check_target, select_episodes
    from salus_ros.episodes.pack import pack as write

    check_target(out, force=force)
    chosen = select_episodes(stores, images=images, limit=episodes)
    with nullcontext() if as_json else bar("episodes", len(chosen), err_console) as advance:
        packed = write(chosen, out, force=force, on_episode=advance)
    summary = _summary(packed, chosen.repeated)
    if as_json:
        sys.stdout.write(json.dumps(summary, indent=2, allow_nan=False) + "\n")
        return
    out_console.print(_table(summary))


def _summary(packed: "Packed", repeated: int) -> dict[str, Any]:
    sizes = sorted(packed.array_bytes.items(), key=lambda item: -item[1])
    return {
        "path": str(packed.path),
        "episodes": packed.episodes,
        "repeated_episodes_left_out": repeated,
        "steps": packed.steps,
        "megabytes": round(packed.size_bytes / 1e6, 3),
        "bytes_per_step": {name: round(size / packed.steps, 2) for name, size in sizes},
    }


def _table(summary: dict[str, Any]) -> Table:
    table = Table(title=summary["path"], title_justify="left", show_header=False)
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("episodes", str(summary["episodes"]))
    if summary["repeated_episodes_left_out"]:
        table.add_row("repeated, left out", str(summary["repeated_episodes_left_out"]))
    table.add_row("steps", str(summary["steps"]))
    table.add_row("size", f"{summary['megabytes']:.1f} MB")
    for name, size in summary["bytes_per_step"].items():
        if name.startswith("data/") and size >= 1:
            table.add_row(f"{name.removeprefix('data/')}, a step", f"{size:.0f} B")
    return table
