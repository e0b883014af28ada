"""How terminal tables are laid out."""

import math
from collections.abc import Mapping

from rich.table import Table

from salus_ros.reports.numbers.operator import Sheet

TEXT_COLUMNS = ("", "endings", "no label of")
"""Columns that are read and not compared; the first one always is."""


def new_table(title: str, *columns: str) -> Table:
    """A table with its title above its left edge; without a header where no column has a name."""
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for place, column in enumerate(columns):
        table.add_column(
            column, justify="left" if place == 0 or column in TEXT_COLUMNS else "right"
        )
    return table


def sheet_table(sheet: Sheet) -> Table:
    """A table of a sheet; long names of detectors are folded."""
    table = Table(title=sheet.title, title_justify="left")
    for place, column in enumerate(sheet.head):
        table.add_column(column, justify="right" if place else "left", overflow="fold")
    for row in sheet.rows:
        table.add_row(*row)
    return table


def number(value: float | None, form: str = "{:.4f}") -> str:
    """A value in a format; "-" for None and NaN."""
    return "-" if value is None or math.isnan(value) else form.format(value)


def listed(counts: Mapping[str, int]) -> str:
    """Names with how often they occur, as "drop 3, success 5"."""
    return ", ".join(f"{name or '(empty)'} {count}" for name, count in counts.items())
