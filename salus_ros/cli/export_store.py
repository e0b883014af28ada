"""`salus export`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.layouts import Layout, LayoutOption
from salus_ros.cli.output import AsJson, err_console, print_json, print_line
from salus_ros.cli.progress import bar
from salus_ros.core.errors import ConfigError


def export_store(
    store: Annotated[Path, typer.Argument(help="Episode store.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    layout: LayoutOption,
    videos: Annotated[
        bool, typer.Option("--videos", help="lerobot: cameras as videos, smaller and lossy.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write the episodes of a store in a layout that other programs read."""
    from salus_ros.episodes.layouts.lerobot import export_lerobot
    from salus_ros.episodes.layouts.padded import export_padded
    from salus_ros.episodes.reader import StoreReader

    if videos and layout != Layout.LEROBOT:
        raise ConfigError(f"--videos goes with --layout lerobot, not with '{layout}'")
    reader = StoreReader(store)
    with nullcontext() if as_json else bar("episodes", len(reader), err_console) as advance:
        if layout == Layout.LEROBOT:
            export_lerobot(reader, out, advance, videos=videos)
        else:
            export_padded(reader, out, advance)
    done = {"path": str(out), "layout": layout, "episodes": len(reader), "steps": reader.steps}
    if as_json:
        print_json(done)
    else:
        print_line(f"wrote {len(reader)} episodes of {reader.steps} steps to {out}")
