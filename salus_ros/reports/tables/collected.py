"""Table of `salus collect`: how the episodes ended, and how fast it went."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table


def collected_tables(summary: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of what `salus collect --json` prints."""
    table = Table("ending", "episodes", title=f"{summary['episodes']} episodes")
    for name, count in summary["endings"].items():
        table.add_row(name, str(count))
    yield table
    speed, deaths = summary["steps_per_s"], summary["worker_restarts"]
    yield (
        f"{summary['collected']} collected in {summary['seconds']:.0f} s"
        + ("" if speed is None else f", {speed:.0f} steps/s")
        + (f"; {deaths} workers died and were replaced" if deaths else "")
    )
