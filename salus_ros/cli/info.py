"""`salus info`."""

from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import (
    EXIT_CHECK_FAILED,
    AsJson,
    err_console,
    out_console,
    print_json,
    print_result,
)
from salus_ros.cli.progress import bar


def info(
    store: Annotated[
        Path,
        typer.Argument(
            help="Episode store: a folder, a packed file, or shipped:standard and the like.",
            show_default=False,
        ),
    ],
    verify: Annotated[
        bool, typer.Option("--verify", help="Read it all and say what is damaged instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what an episode store holds: episodes, outcomes, steps, gaps and size.

    With --verify it exits with 1 when something is wrong.
    """
    if verify:
        _verify(store, as_json)
        return
    from salus_ros.episodes.reader import StoreReader
    from salus_ros.reports.numbers.store import store_summary
    from salus_ros.reports.tables.store import store_tables

    print_result(store_summary(StoreReader(store)), as_json, store_tables)


def _verify(store: Path, as_json: bool) -> None:
    from salus_ros.episodes.verify import verify
    from salus_ros.reports.tables.verification import verification_tables

    with nullcontext() if as_json else bar("percent read", 100, err_console) as advance:
        show = None if advance is None else lambda share: advance(round(100 * share))
        found = verify(store, show)
    if as_json:
        print_json(asdict(found) | {"path": str(found.path), "sound": not found.problems})
    else:
        for table in verification_tables(found):
            out_console.print(table, soft_wrap=isinstance(table, str), highlight=False)
    if found.problems:
        raise typer.Exit(EXIT_CHECK_FAILED)
