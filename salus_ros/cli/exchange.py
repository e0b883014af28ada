"""`salus export` and `salus import`: episodes to and from the layouts of others."""

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from salus_ros.cli.progress import bar
from salus_ros.core.errors import ConfigError

EXIT_LEFT_OUT = 1
GAPS_SHOWN = 20

out_console = Console()
err_console = Console(stderr=True)


class Layout(StrEnum):
    """Layouts that episodes are exported to and imported from."""

    PADDED = "padded"
    LEROBOT = "lerobot"


Kind = Annotated[
    Layout,
    typer.Option(help="padded: zarr arrays (E, T, ...); lerobot: a LeRobotDataset."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def export_store(
    store: Annotated[Path, typer.Argument(help="Episode store.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    layout: Kind,
    videos: Annotated[
        bool, typer.Option("--videos", help="lerobot: cameras as videos, smaller and lossy.")
    ] = False,
    fps: Annotated[
        int | None,
        typer.Option(min=1, help="lerobot: frames per second; by default the episodes' rate."),
    ] = None,
    task: Annotated[
        str, typer.Option(help="lerobot: instruction of the episodes that have none.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Write the episodes of a store in a layout that other programs read.

    A LeRobotDataset has no mark for what is missing: steps without an image, state or action are
    left out there and named, and the exit code is 1 then.
    """
    from salus_ros.episodes.layouts.lerobot import export_lerobot
    from salus_ros.episodes.layouts.padded import export_padded
    from salus_ros.episodes.reader import StoreReader

    for name, given in (("videos", videos), ("fps", fps), ("task", task)):
        if given and layout != Layout.LEROBOT:
            raise ConfigError(f"--{name} goes with --layout lerobot, not with '{layout}'")
    reader = StoreReader(store)
    with nullcontext() if as_json else bar("episodes", len(reader), err_console) as advance:
        if layout == Layout.LEROBOT:
            result = export_lerobot(reader, out, advance, videos=videos, fps=fps, task=task)
        else:
            result = export_padded(reader, out, advance)
    done = {
        "path": str(out),
        "layout": layout,
        "episodes": result.episodes,
        "steps": result.steps,
        "marked": result.marked,
        "gaps": [asdict(gap) for gap in result.gaps],
    }
    text = [f"wrote {result.episodes} episodes of {result.steps} steps to {out}"]
    if result.marked:
        text.append(f"{result.marked} steps that lack something are False in the mask")
    text += [str(gap) for gap in result.gaps[:GAPS_SHOWN]]
    if len(result.gaps) > GAPS_SHOWN:
        text.append(f"and {len(result.gaps) - GAPS_SHOWN} more; --json names them all")
    _print(done, "\n".join(text), as_json)
    if result.gaps:
        raise typer.Exit(EXIT_LEFT_OUT)


def import_store(
    source: Annotated[
        Path, typer.Argument(help="What another program, or an export, wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new store, .zarr.")],
    layout: Kind,
    as_json: AsJson = False,
) -> None:
    """Read episodes in another layout into a new store.

    Exits with 1 when labels were left out, since they do not tell how the episode ended.
    """
    from salus_ros.episodes.layouts.lerobot_import import import_lerobot
    from salus_ros.episodes.layouts.padded_import import import_padded

    read = import_lerobot if layout == Layout.LEROBOT else import_padded
    with nullcontext() if as_json else err_console.status("importing"):
        imported = read(source, out)
    left_out = imported.labels_left_out
    done = {
        "path": str(out),
        "layout": layout,
        "episodes": imported.episodes,
        "steps": imported.steps,
        "labels_left_out": left_out,
    }
    text = f"wrote {imported.episodes} episodes of {imported.steps} steps to {out}"
    if left_out:
        text += (
            f"\nthe labels of {left_out} episodes were left out: they announce a failure, but "
            "not for the steps h before it that a horizon h means"
        )
    _print(done, text, as_json)
    if left_out:
        raise typer.Exit(EXIT_LEFT_OUT)


def _print(done: dict[str, Any], text: str, as_json: bool) -> None:
    if as_json:
        sys.stdout.write(json.dumps(done, indent=2, allow_nan=False) + "\n")
    else:
        out_console.print(text, soft_wrap=True, highlight=False)
