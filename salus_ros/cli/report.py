"""`salus report`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import AsJson, print_line
from salus_ros.core.errors import ConfigError


def report(
    stores: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="STORE...", help="Episode stores, shown together.", show_default=False
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for index.html and the figures.")] = Path(
        "report"
    ),
    episode: Annotated[
        int | None,
        typer.Option(
            help="Episode of the first store to show step by step, from 0; the last that failed "
            "by default."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of a trained predictor: adds its risk and curves.")
    ] = None,
    alarms: Annotated[
        Path | None,
        typer.Option(
            help="Folder of clips (the recorder's parameter clips): a gallery of their alarms, "
            "true or false, in place of the report; STORE says how the episodes ended."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Describe recorded episodes on one page: how they end, the signals, what is missing.

    With --alarms it shows clips instead: which alarms were right, how early they came, and what
    the cameras showed.
    """
    if alarms is not None:
        from salus_ros.reports.pages import alarms as gallery

        if episode is not None or model is not None:
            raise ConfigError("--episode and --model are of a report on stores, not of --alarms")
        page, numbers = gallery.write_gallery(alarms, out, stores or ()), gallery.NUMBERS_NAME
    else:
        if not stores:
            raise ConfigError("no store was given; give one or more, or --alarms FOLDER")
        from salus_ros.reports.pages import recordings

        page, numbers = (
            recordings.write_report(stores, out, episode, model),
            recordings.NUMBERS_NAME,
        )
    if as_json:
        sys.stdout.write((page.parent / numbers).read_text())
        return
    print_line(f"open {page}")
