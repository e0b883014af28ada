"""`salus report`."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import AsJson, print_line


def report(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORE...", help="Episode stores, shown together.", show_default=False
        ),
    ],
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
    as_json: AsJson = False,
) -> None:
    """Describe recorded episodes on one page: how they end, the signals, what is missing."""
    from salus_ros.reports.pages.recordings import NUMBERS_NAME, write_report

    page = write_report(stores, out, episode, model)
    if as_json:
        sys.stdout.write((page.parent / NUMBERS_NAME).read_text())
        return
    print_line(f"open {page}")
