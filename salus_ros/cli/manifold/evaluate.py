"""`salus manifold evaluate`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import AsJson, print_line, print_result
from salus_ros.core.errors import ConfigError


def evaluate(
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Episode stores.", show_default=False),
    ],
    manifold: Annotated[
        list[Path],
        typer.Option(help="File of a manifold; several stand beside each other."),
    ],
    page: Annotated[
        Path | None, typer.Option(help="Folder for a page with the maps, and manifold.json.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Measure what the distance to the successes tells, and draw the map.

    Episodes that a manifold was learnt from, or chosen by, are left out of all figures.
    """
    from salus_ros.recovery.manifold.manifold import Manifold
    from salus_ros.reports.numbers.manifold import measure
    from salus_ros.reports.tables.manifold import evaluation_tables

    if len({one.stem for one in manifold}) < len(manifold):
        raise ConfigError(
            f"the manifolds {', '.join(map(str, manifold))} are to be told apart by the names of "
            "their files; give each another name"
        )
    manifolds = {one.stem: Manifold.load(one) for one in manifold}
    measured = measure(manifolds, stores)
    if page is not None:
        from salus_ros.reports.pages.manifold import write_manifold_page

        written = write_manifold_page(manifolds, measured, page)
    print_result(measured.figures, as_json, evaluation_tables)
    if page is not None and not as_json:
        print_line(f"open {written}")
