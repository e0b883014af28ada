"""Tables of `salus benchmark`: failure detectors beside each other."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.table import Table

from salus_ros.reports.numbers.operator import RULES, Sheet, benchmark_sheets
from salus_ros.reports.sentences import left_out_lines
from salus_ros.reports.tables.layout import number, sheet_table

COLUMNS = {
    "in task": "AUROC within tasks of scores up to the task's shortest episode",
    "95 %": "its bootstrap interval over episodes",
    "quarter": "AUROC within tasks up to a quarter of the time limit",
    "pooled": "AUROC over all tasks, up to the shortest",
    "AP": "average precision, up to the shortest",
    "found": "failures that an alarm precedes, at the conformal threshold",
    "false": "successes with an alarm",
    "lead": "median time in s from the first alarm to the failure",
    "F1": "micro F1 of the outputs by horizon and type",
    "events": "the same of all types but the timeout, at a threshold of their own",
    "us": "time to score a step, on one thread",
}
"""Columns of the table and what they mean."""


def benchmark_rows(results: Mapping[str, Any], part: str = "test") -> Iterator[list[str]]:
    """Rows of the table: the name of a detector, and a text for each of `COLUMNS`.

    `part` is "test" or "held_out".
    """
    for name, found in results["detectors"].items():
        if part not in found:
            continue
        shortest, quarter = found[part]["shortest"], found[part]["quarter"]
        low, high = shortest["auroc_within_task_interval"]
        alarm = found[part]["alarms"][f"{results['alpha']:g}"]
        steps = (found["steps"] or {}) if part == "test" else {}
        f1, events = (steps.get(name, [None])[0] for name in ("f1", "f1_events"))
        yield [
            name,
            number(shortest["auroc_within_task"], "{:.3f}"),
            "-" if low is None else f"{low:.2f} {high:.2f}",
            number(quarter["auroc_within_task"], "{:.3f}"),
            number(shortest["auroc_pooled"], "{:.3f}"),
            number(shortest["average_precision"], "{:.3f}"),
            number(alarm["detection_rate"], "{:.2f}"),
            number(alarm["false_alarm_share"], "{:.2f}"),
            number(alarm["lead_median_s"], "{:.2f}"),
            number(f1, "{:.3f}"),
            number(events, "{:.3f}"),
            number(found["step_us"], "{:.0f}"),
        ]


def benchmark_tables(results: Mapping[str, Any]) -> Iterator[Table | str]:
    """Tables of `Benchmark.results`."""
    titles = {"test": f"{results['episodes']} episodes, {results['failures']} failed"}
    if "held_out" in results:
        other = results["held_out"]
        titles["held_out"] = f"other conditions: {other['episodes']}, {other['failures']} failed"
    notes: dict[str, None] = {}
    for part, title in titles.items():
        for sheet in benchmark_sheets(results, part):
            yield sheet_table(sheet._replace(title=f"{title}; {sheet.title}"))
            notes |= {sheet.note.replace("`", ""): None} if sheet.note else {}
    yield from notes
    yield RULES.replace("`", "")
    for part, title in titles.items():
        rows = list(benchmark_rows(results, part))
        yield sheet_table(Sheet(f"{title}; as published", ["detector", *COLUMNS], rows, ""))
    yield "\n".join(f"{name}: {meaning}" for name, meaning in COLUMNS.items())
    yield from left_out_lines(results)
    if "held_out" in results:
        yield from left_out_lines(results["held_out"])
    for name, reason in results["missing"].items():
        yield f"{name}: not run, {reason}"
