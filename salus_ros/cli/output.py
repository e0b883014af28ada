"""Where the verbs print to, and what they have in common."""

import json
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Annotated, Any

import typer
from rich.console import Console, RenderableType

EXIT_CHECK_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

out_console = Console()
err_console = Console(stderr=True)

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


def print_json(values: Mapping[str, Any]) -> None:
    """Print one JSON object; NaN and infinity are no JSON and refused."""
    sys.stdout.write(json.dumps(values, indent=2, allow_nan=False) + "\n")


def print_result(
    values: Mapping[str, Any],
    as_json: bool,
    tables: Callable[[Mapping[str, Any]], Iterable[RenderableType]],
) -> None:
    """Print a result as JSON, or as the tables that are made of it."""
    if as_json:
        print_json(values)
        return
    for table in tables(values):
        out_console.print(table)


def print_line(text: str) -> None:
    """Print a line as it is: neither wrapped nor coloured, and no markup in it."""
    out_console.print(text, soft_wrap=True, highlight=False, markup=False)
