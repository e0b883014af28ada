"""Numbers and tables of docs/results.md, in Markdown."""

from collections.abc import Sequence


def number(value: float | None, digits: int = 3) -> str:
    """A number, or a dash."""
    return "-" if value is None else f"{value:.{digits}f}"


def spread(values: Sequence[float | None] | None) -> str:
    """Mean and standard deviation."""
    if values is None or values[0] is None:
        return "-"
    return number(values[0]) if values[1] is None else f"{values[0]:.3f} ± {values[1]:.3f}"


def interval(ends: Sequence[float | None], digits: int = 3) -> str:
    """An interval."""
    return "-" if None in ends else f"{ends[0]:.{digits}f} to {ends[1]:.{digits}f}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"
