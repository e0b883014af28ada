"""Table of `salus pack`: what the file holds, and what takes its room."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from salus_ros.reports.tables.layout import new_table


def packed_tables(summary: Mapping[str, Any]) -> Iterator[Table]:
    """Table of what `salus pack --json` prints."""
    table = new_table(summary["path"], "", "")
    table.add_row("episodes", str(summary["episodes"]))
    if summary["repeated_episodes_left_out"]:
        table.add_row("repeated, left out", str(summary["repeated_episodes_left_out"]))
    table.add_row("steps", str(summary["steps"]))
    table.add_row("size", f"{summary['megabytes']:.1f} MB")
    for name, size in summary["bytes_per_step"].items():
        if name.startswith("data/") and size >= 1:
            table.add_row(f"{name.removeprefix('data/')}, a step", f"{size:.0f} B")
    yield table
