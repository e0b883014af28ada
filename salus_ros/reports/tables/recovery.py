"""Tables of `salus recover trial`: what each arm gains over leaving the policy alone."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.markup import escape
from rich.table import Table

from salus_ros.reports.tables.layout import listed, new_table, number


def trial_tables(figures: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of what `run_trial` tells."""
    if doubt := figures.get("doubt"):
        yield doubt
    none = figures["none"]
    table = new_table(
        f"{figures['episodes']} episodes of {figures['world']}, each under every arm",
        "arm",
        "success",
        "against none",
        "95 %",
        "p",
        "taken: fail + succeed",
        "saved",
        "spoilt",
        "steps",
    )
    table.add_row("none", f"{none['success_rate']:.1%}", *["-"] * 6, f"{none['mean_steps']:.0f}")
    for name, arm in figures["arms"].items():
        against, taken = arm["against"]["none"], arm["taken"]
        low, high = against["interval_95"]
        table.add_row(
            name,
            f"{arm['success_rate']:.1%}",
            _points(against["difference"]),
            "-" if low is None else f"{_points(low)} to {_points(high)}",
            number(against["mcnemar_p"], "{:.2g}"),
            f"{taken['failing']} + {taken['succeeding']}",
            str(arm["saved"]),
            str(arm["spoilt"]),
            f"{arm['mean_steps']:.0f}",
        )
    yield table
    yield _by_kind(figures)
    others = [
        (name, other, found)
        for name, arm in figures["arms"].items()
        for other, found in arm["against"].items()
        if other != "none"
    ]
    if others:
        table = new_table("against each other", "arm", "against", "points", "gained", "lost", "p")
        for name, other, found in others:
            table.add_row(
                name,
                other,
                _points(found["difference"]),
                str(found["gained"]),
                str(found["lost"]),
                number(found["mcnemar_p"], "{:.2g}"),
            )
        yield table
    held = {name: arm["held"] for name, arm in figures["arms"].items() if arm["held"]}
    if held:
        table = new_table("why the arm was held", "arm", "")
        for name, reasons in held.items():
            table.add_row(name, escape(listed(reasons)))
        yield table


def _by_kind(figures: Mapping[str, Any]) -> Table:
    """Of the failures without intervention: how many were saved, of those that it took."""
    kinds = sorted({kind for arm in figures["arms"].values() for kind in arm["by_kind"]})
    table = new_table("saved, of those taken, of all", "arm", *kinds)
    for name, arm in figures["arms"].items():
        cells = [arm["by_kind"][kind] for kind in kinds]
        table.add_row(name, *[f"{c['saved']} / {c['taken']} / {c['episodes']}" for c in cells])
    return table


def _points(share: float) -> str:
    return f"{100 * share:+.1f}"
