"""Tables of `salus train`: how a training went."""

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from salus_ros.reports.numbers.recordings import SUCCESS
from salus_ros.reports.sentences import left_out_lines
from salus_ros.reports.tables.layout import listed, new_table, number

STEP_MEASURES = ("loss", "accuracy", "precision", "recall", "f1")
"""The five measures of the proof of concept's test report."""

DECISIONS = ("precision", "recall", "f1")
"""Those that say nothing where no output was predicted positive."""

PARTS = ("validation", "test")


def training_tables(results: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `training_results.json`, and the thresholds that training chose."""
    yield from split_and_measure_tables(results)
    yield _told_apart(results)
    threshold = results["threshold"]
    yield f"chosen by {results['selected_by']}; {results['seconds']:.1f} s"
    yield (
        "no alarm: there was no failure to choose a threshold by"
        if threshold is None
        else f"alarms when the risk exceeds {threshold:.3f}, which promises nothing yet: "
        "salus calibrate sets the threshold of an alarm with a promised rate of false ones"
    )


def split_and_measure_tables(results: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `training_results.json`: the episodes of each part, and what was measured."""
    splits = new_table(
        "episodes, split whole", "part", "episodes", "steps", "endings", "no label of"
    )
    for name, part in results["splits"].items():
        splits.add_row(
            name,
            str(part["episodes"]),
            str(part["steps"]),
            listed(part["endings"]),
            ", ".join(part["without_positive_labels"]) or "-",
        )
    yield splits
    yield _measures(results)
    yield from _silent(results)
    for name, reason in results["test"]["undefined"].items():
        if results["test"].get("predicted") or name not in DECISIONS:
            yield f"{name}: {reason}"
    yield from left_out_lines(results)


def _told_apart(results: Mapping[str, Any]) -> str:
    """The failure types, and how many episodes failed in a way that is none of them."""
    types = results["failure_types"]
    endings: Counter[str] = Counter()
    for part in results["splits"].values():
        endings.update(part["endings"])
    others = {k: n for k, n in endings.items() if k not in types and k != SUCCESS}
    line = f"failures told apart: {', '.join(types)}"
    return line + (
        f"; {sum(others.values())} episodes failed otherwise ({listed(others)}), which no "
        "output by type foresees"
        if others
        else ""
    )


def _measures(results: Mapping[str, Any]) -> Table:
    title = (
        f"model {results['model_id']}: epoch {results['best_epoch']} of {results['epochs_run']}"
    )
    table = new_table(title, "measure", *PARTS)
    parts = [results[name] for name in PARTS]
    best = next(e for e in results["history"] if e["epoch"] == results["best_epoch"])
    table.add_row("validation loss, as trained", number(best["validation_loss"]), "-")
    table.add_row("loss of the horizon outputs alone", *(number(part["loss"]) for part in parts))
    table.add_row("accuracy at 0.5", *(number(part["accuracy"]) for part in parts))
    for name in DECISIONS:
        shown = (part[name] if part.get("predicted") else None for part in parts)
        table.add_row(f"{_title(name)} at 0.5", *map(number, shown))
    chosen = [part.get("at_threshold") for part in parts]
    if all(chosen):
        limit = chosen[0]["threshold"]
        for name in DECISIONS:
            shown = (part[name] for part in chosen)
            table.add_row(
                f"{_title(name)} at {number(limit, '{:.3f}')}, chosen", *map(number, shown)
            )
    scores = [part.get("average_precision") for part in parts]
    table.add_row("average precision, of all thresholds", *map(number, scores))
    return table


def _silent(results: Mapping[str, Any]) -> Iterator[str]:
    """Say in which parts no output reaches 0.5, so that its rows do not read as a fault."""
    silent = [name for name in PARTS if results[name].get("predicted") == 0]
    if silent:
        yield (
            f"{' and '.join(silent)}: no probability reaches 0.5, so precision, recall and F1 say "
            "nothing there, and accuracy is that of never predicting a failure; failures are rare "
            "among the steps, and what counts is the alarm"
        )


def _title(name: str) -> str:
    return name.upper() if name == "f1" else name
