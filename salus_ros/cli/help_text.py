"""What `--help` shows of a verb."""

import inspect
from collections.abc import Callable
from typing import Any

import typer


def add_verb(
    app: typer.Typer,
    verb: Callable[..., Any],
    example: str,
    note: str = "",
    *,
    name: str | None = None,
    panel: str | None = None,
) -> None:
    """Register a verb under its function's name, or another.

    Args:
        app: The command, or a group of it.
        verb: Parses its options and does the work; its docstring is the help.
        example: A command line that works.
        note: What to know beside it.
        name: Where a function cannot have it.
        panel: Title of the box of `--help` that it stands in.
    """
    paragraphs = (inspect.getdoc(verb) or "").split("\n\n")
    app.command(
        name,
        # The lines of a paragraph are the docstring's; the terminal breaks its own.
        help="\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs),
        epilog=f"Example: [bold]{example}[/]" + (f"\n\n{note}" if note else ""),
        rich_help_panel=panel,
    )(verb)
