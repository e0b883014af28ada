"""Sections of the page about the signals, and about what is missing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from salus_ros.evaluation.statistics import LEAST_EPISODES, REPLICATES
from salus_ros.reports import markup, signal_figures
from salus_ros.reports.recordings import FAILED
from salus_ros.reports.sections import LEVEL, Numbers
from salus_ros.reports.signals import ALL, BIN_S, LAST_S, NO_TIMEOUT, WAY_S, Values


def signals(
    numbers: Sequence[Numbers], clock: Numbers, values: Sequence[Values], out: Path
) -> str:
    """Distribution of each signal, and what it alone tells beside the clock."""
    shapes, areas = out / "signals.png", out / "aurocs.png"
    signal_figures.save_distributions(shapes, values, numbers)
    known = any(found["auroc"][ALL]["auroc"] is not None for found in numbers)
    if known:
        signal_figures.save_aurocs(areas, [*numbers, clock])
    kinds = (ALL, NO_TIMEOUT, *FAILED)
    auroc_rows = [
        (found["name"], *(_auroc_cell(found["auroc"][kind]) for kind in kinds),
         found["auroc"][ALL]["success_values"])
        for found in (*numbers, clock)
    ]  # fmt: skip
    quantile_rows = [
        (
            f"{found['name']}, {label}", part["values"], part["episodes"], part["p05"],
            part["p25"], part["p50"], part["p75"], part["p95"],
        )
        for found in numbers
        for label, part in (
            (signal_figures.GROUP_LABELS[group], part)
            for group, part in found["distributions"].items()
        )
    ]  # fmt: skip
    return markup.join(
        markup.note(
            "Only values that were computed at their step and are valid count. Filled: density "
            "between the 0.5th and 99.5th percentile, each to its own height; bar: 5 to 95 %, "
            "25 to 75 % and median. A strongly skewed positive signal has a logarithmic axis."
        ),
        markup.image(shapes, "Distribution of each signal"),
        "<h3>What one signal alone tells</h3>",
        markup.note(
            f"Values of the last {LAST_S:g} s before a failure against all values of successful "
            "episodes; in the table with the number of values and of failed episodes. Lines: "
            f"{LEVEL} intervals from {REPLICATES} resamples of whole episodes. The clock is no "
            "signal: it shows how much the time since the start alone tells, and a signal that "
            "follows the task's phase tells that much without knowing of any failure."
        ),
        markup.image(areas, "AUROC of each signal")
        if known
        else markup.note("It takes successes and failures with a known moment, with values."),
        markup.table(("AUROC", *kinds, "values of successes"), auroc_rows),
        markup.details(
            "All quantiles",
            markup.table(
                ("signal", "values", "episodes", "5 %", "25 %", "median", "75 %", "95 %"),
                quantile_rows,
            ),
        ),
    )


def way(ways: Sequence[Numbers], values: Sequence[Values], out: Path) -> str:
    """Each signal in the seconds before each type of failure."""
    kinds = [kind for kind in FAILED if any(found[kind]["failures"] for found in ways)]
    if not kinds:
        return markup.note("There is no failure with a known moment and values before it.")
    file = out / "before_failure.png"
    signal_figures.save_ways(file, values, ways)
    matched = [
        f"{kind} {markup.percent(max(found[kind]['matched'] or 0.0 for found in ways))}"
        for kind in kinds
    ]
    return markup.join(
        markup.note(
            f"Solid: median and quartiles in the {WAY_S:g} s before a failure, in points of "
            f"{BIN_S:g} s. Dashed green: successful episodes at the same time since their start, "
            "so that what merely belongs to the phase of the task shows in both; left out where "
            f"fewer than {LEAST_EPISODES} lasted that long. Share of the points that have such "
            f"successes: {', '.join(matched)}. In brackets: failures."
        ),
        markup.image(file, "Signals on the way into a failure"),
    )


def missing(numbers: Numbers) -> str:
    """What is not there."""
    if not numbers["steps"]:
        return markup.note("There is no step yet.")
    arrays: list[tuple[Any, ...]] = [
        (part["name"], _missing(part["missing"]), _missing(part["partly_missing"]),
         ", ".join(part["not_in"]))
        for part in numbers["arrays"]
    ]  # fmt: skip
    arrays += [
        (f"images of {part['name']}", _missing(part["missing"]), None, ", ".join(part["not_in"]))
        for part in numbers["cameras"]
    ]
    if not numbers["cameras"]:
        arrays.append(("images", markup.bad("not recorded"), None, None))
    streams = [
        (part["name"], _missing(part["missing"]), markup.percent(part["late"]["share"]),
         part["age_ms"]["p50"], part["age_ms"]["p95"], part["age_ms"]["max"])
        for part in numbers["streams"]
    ]  # fmt: skip
    signal_rows = [
        (
            part["name"],
            markup.bad("never valid")
            if not part["valid"]["count"]
            else markup.percent(part["valid"]["share"]),
            markup.percent(part["fresh_and_valid"]["share"]),
            part["fresh_and_valid"]["count"],
            part["episodes_with"],
        )
        for part in numbers["signals"]
    ]
    gaps = numbers["gaps"]
    return markup.join(
        markup.note(
            "Share of all steps; a store that lacks an array counts as missing there. What was "
            "not there is stored as NaN or as not valid, and never enters a figure as a zero."
        ),
        markup.table(("array", "no value", "part of the row", "not recorded in"), arrays),
        "<h3>Signals</h3>",
        markup.note(
            f"Computed at {markup.percent(numbers['fresh_share']['share'])} of the steps, held at "
            "the others."
        ),
        markup.table(
            ("signal", "valid", "computed and valid", "values", "episodes with a value"),
            signal_rows,
        ),
        "<h3>Age of the samples used</h3>",
        markup.table(
            ("ms", "no sample", "older than a period", "median", "95 %", "oldest"), streams
        )
        if streams
        else markup.note("These stores have no streams."),
        markup.note(
            f"Steps further apart than {gaps['longer_than_periods']:g} control periods: "
            f"{gaps['gaps']}, in {gaps['episodes']} episodes."
        ),
        "<h3>Episodes</h3>",
        markup.table(("", "episodes"), list(numbers["episodes"].items())),
    )


def _auroc_cell(found: Numbers) -> markup.Markup:
    if found["auroc"] is None:
        return markup.Markup("-")
    ends = "" if found["low"] is None else f"{found['low']:.2f} to {found['high']:.2f}"
    return markup.below(
        f"{found['auroc']:.2f}", ends, f"{found['values']} of {found['episodes']} ep."
    )


def _missing(found: Numbers) -> str:
    text = markup.percent(found["share"])
    return markup.bad(text) if found["share"] == 1.0 else markup.Markup(text)
