"""Table of `salus policy evaluate`: how often a policy succeeds, by task."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from salus_ros.reports.tables.layout import listed


def success_tables(result: Mapping[str, Any]) -> Iterator[Table]:
    """Table of what `evaluate_policy` returns."""
    table = Table("task", "episodes", "success", "95 %", "endings")
    for name, row in (*result["tasks"].items(), ("all", result)):
        low, high = row["success_interval_95"]
        rate, interval = f"{row['success_rate']:.0%}", f"{low:.0%} to {high:.0%}"
        table.add_row(name, str(row["episodes"]), rate, interval, listed(row["endings"]))
    yield table
