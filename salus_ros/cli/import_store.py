"""`salus import`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.layouts import Layout, LayoutOption
from salus_ros.cli.output import EXIT_CHECK_FAILED, AsJson, err_console, print_json, print_line
from salus_ros.core.errors import ConfigError


def import_store(
    source: Annotated[
        Path, typer.Argument(help="What another program, or an export, wrote.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Folder of the new store, .zarr.")],
    layout: LayoutOption,
    as_json: AsJson = False,
) -> None:
    """Read episodes in another layout into a new store.

    Exits with 1 when labels were left out, since they do not tell how the episode ended.
    """
    from salus_ros.episodes.layouts.lerobot_import import import_lerobot
    from salus_ros.episodes.layouts.padded_import import import_padded

    if layout == Layout.MCAP:
        raise ConfigError(
            "layout is mcap, which is for export alone; allowed are padded and lerobot (a bag of "
            "MCAP files goes through salus convert)"
        )
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
    if as_json:
        print_json(done)
    else:
        print_line(text)
    if left_out:
        raise typer.Exit(EXIT_CHECK_FAILED)
