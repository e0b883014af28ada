"""Table of `salus doctor`: what this machine has, and what to do."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from salus_ros import __version__

COLOURS = {"ok": "green", "note": "yellow", "missing": "red"}


def check_tables(found: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Table of `checks`, each with `name`, `state`, `found` and `remedy`."""
    table = Table(title=f"salus_ros {__version__}", title_justify="left")
    for column in ("what", "state", "found", "to do"):
        table.add_column(column, overflow="fold")
    for check in found["checks"]:
        state = Text(check["state"], COLOURS[check["state"]])
        table.add_row(check["name"], state, Text(check["found"]), Text(check["remedy"]))
    yield table
