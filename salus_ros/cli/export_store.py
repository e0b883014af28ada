"""`salus export`."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.layouts import Layout, LayoutOption
from salus_ros.cli.output import EXIT_CHECK_FAILED, AsJson, err_console, print_json, print_line
from salus_ros.cli.progress import bar
from salus_ros.core.errors import ConfigError

GAPS_SHOWN = 20


def export_store(
    store: Annotated[Path, typer.Argument(help="Episode store.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
    layout: LayoutOption,
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
    from salus_ros.episodes.layouts.mcap import export_mcap
    from salus_ros.episodes.layouts.padded import export_padded
    from salus_ros.episodes.reader import StoreReader

    for name, given in (("videos", videos), ("fps", fps), ("task", task)):
        if given and layout != Layout.LEROBOT:
            raise ConfigError(f"--{name} goes with --layout lerobot, not with '{layout}'")
    reader = StoreReader(store)
    with nullcontext() if as_json else bar("episodes", len(reader), err_console) as advance:
        if layout == Layout.LEROBOT:
            result = export_lerobot(reader, out, advance, videos=videos, fps=fps, task=task)
        elif layout == Layout.MCAP:
            result = export_mcap(reader, out, advance)
        else:
            result = export_padded(reader, out, advance)
    if as_json:
        gaps = [asdict(gap) for gap in result.gaps]
        about = {name: getattr(result, name) for name in ("episodes", "steps", "marked")}
        about |= {"left_out": list(result.left_out)}
        print_json({"path": str(out), "layout": layout, **about, "gaps": gaps})
    else:
        print_line(f"wrote {result.episodes} episodes of {result.steps} steps to {out}")
        if result.left_out:
            print_line(f"the layout has no place for {', '.join(result.left_out)}")
        if result.marked:
            how = "have no message of it" if layout == Layout.MCAP else "are False in the mask"
            print_line(f"{result.marked} steps that lack something {how}")
        for gap in result.gaps[:GAPS_SHOWN]:
            print_line(str(gap))
        if len(result.gaps) > GAPS_SHOWN:
            print_line(f"and {len(result.gaps) - GAPS_SHOWN} more; --json names them all")
    if result.gaps:
        raise typer.Exit(EXIT_CHECK_FAILED)
