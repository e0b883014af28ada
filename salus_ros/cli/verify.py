"""`salus info --verify`: whether a store is whole, as JSON values and as a table."""

import json
import sys
from contextlib import nullcontext
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

from salus_ros.cli.progress import bar

if TYPE_CHECKING:
    from salus_ros.episodes.verify import Verification

SHOWN = 50
"""Problems in the table; --json has all of them."""

out_console = Console()
err_console = Console(stderr=True)


def verify_store(store: Path, as_json: bool) -> bool:
    """Read a store from end to end and print what is wrong; returns whether nothing is."""
    from salus_ros.episodes.verify import verify

    with nullcontext() if as_json else bar("percent read", 100, err_console) as advance:
        show = None if advance is None else lambda share: advance(round(100 * share))
        result = verify(store, show)
    if as_json:
        values = asdict(result) | {"path": str(result.path), "sound": not result.problems}
        sys.stdout.write(json.dumps(values, indent=2, allow_nan=False) + "\n")
    else:
        _show(result)
    return not result.problems


def _show(result: "Verification") -> None:
    if result.problems:
        table = Table("array", "episode", "what is wrong")
        for problem in result.problems[:SHOWN]:
            episode = "" if problem.episode is None else str(problem.episode)
            table.add_row(problem.array, episode, Text(problem.what))
        out_console.print(table)
        if len(result.problems) > SHOWN:
            out_console.print(f"and {len(result.problems) - SHOWN} more; --json shows all")
    if result.uncommitted_rows:
        out_console.print(
            f"{result.uncommitted_rows} rows of an episode that is not committed: it is being "
            "recorded, or the next recording trims them"
        )
    if result.without_checksum:
        out_console.print(
            f"{len(result.without_checksum)} arrays were written without checksums: a changed "
            "byte that still decodes goes unseen there"
        )
    verdict = f"{len(result.problems)} problems" if result.problems else "sound"
    out_console.print(
        f"{result.path}: {result.episodes} episodes of {result.steps} steps read, {verdict}",
        soft_wrap=True,
        highlight=False,
    )
