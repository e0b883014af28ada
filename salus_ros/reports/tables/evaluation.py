"""Tables of `salus evaluate`: what a predictor is worth."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from salus_ros.reports.numbers.operator import RULES, Sheet, evaluation_sheets, foreseen_sheet
from salus_ros.reports.tables.layout import new_table, number, sheet_table


def evaluation_tables(results: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `evaluate_stores`: the primary ones, then those of steps and of the alarm."""
    operator = results["operator"]
    for sheet in evaluation_sheets(operator):
        yield sheet_table(sheet)
        if sheet.note:
            yield sheet.note.replace("`", "")
    yield RULES.replace("`", "")
    for name, reason in operator["missing"].items():
        yield f"{name}: not there, {reason}"
    yield _step_table(results)
    yield from _undefined(results)
    yield from episode_tables(results["episode_level"], "all episodes")
    yield from _whole_episode(results)
    for group in ("by_task", "by_condition"):
        parts = results.get(group, {})
        if parts:
            yield sheet_table(_group_sheet(group, parts))
        for name, part in parts.items():
            yield from episode_tables(part["episode_level"], name)
    yield results["left_out"]["note"]


def _group_sheet(group: str, parts: Mapping[str, Any]) -> Sheet:
    """What the predictor foresees in each task or condition."""
    sheet = foreseen_sheet({name: part["operator"] for name, part in parts.items()})
    how = group.removeprefix("by_")
    return sheet._replace(title=f"foreseen, by {how}", head=[how, *sheet.head[1:]])


def _step_table(results: Mapping[str, Any]) -> Table:
    title = f"steps: {results['steps']} of {results['episodes']} episodes"
    columns = ("precision", "recall", "f1", "average_precision", "calibration_error")
    shown = ("precision", "recall", "F1", "AP", "calibration error", "positives")
    table = new_table(title, "outputs", *shown)
    rows = {"all, at 0.5": results, "all, at the chosen threshold": results.get("at_threshold")}
    rows |= {"without timeout, chosen": (results.get("at_threshold") or {}).get("without_timeout")}
    rows |= {"without timeout, at a threshold of its own": results["events"]}
    rows |= {f"type {name}, at 0.5": part for name, part in results.get("by_type", {}).items()}
    rows |= {f"any within {name}": part for name, part in results.get("any_failure", {}).items()}
    for name, part in rows.items():
        if part is not None:
            numbers = (number(part.get(key), "{:.3f}") for key in columns)
            table.add_row(name, *numbers, str(part["positives"]))
    return table


def _whole_episode(results: Mapping[str, Any]) -> Iterator[str]:
    """How true the probabilities about the whole episode are."""
    running = next(iter(results["operator"]["detectors"].values()))["running"]
    for name, found in results["episode_outputs"].items():
        parts = running["failure" if name == "episode_failure" else name]
        at = ", ".join(
            f"{number(part['calibration_error'], '{:.3f}')} at {moment}"
            for moment, part in parts.items()
            if moment.endswith("%")
        )
        yield (
            f"{name.replace('_', ' ')}: {found['episodes']} episodes ended so; calibration error "
            f"{number(found['steps']['calibration_error'], '{:.3f}')} over all steps, {at} of the "
            "time limit"
        )


def episode_tables(results: Mapping[str, Any], title: str) -> Iterator[RenderableType]:
    """Tables of `evaluate_episodes`."""
    how = f"{results['failures']} of {results['episodes']} failed"
    yield from _undefined(results)
    alarm = results["alarm"]
    if alarm is None:
        return
    low, high = (number(end, "{:.3f}") for end in alarm["false_alarm_interval"])
    promise = "uncalibrated" if alarm["alpha"] is None else f"promised {alarm['alpha']:g}"
    lead, sudden = alarm["lead_s"], alarm["lead_before_drop_or_collision_s"]
    table = new_table(f"alarm, {title}: {how}", "", "")
    for name, text in (
        ("failures with an alarm before", number(alarm["detection_rate"], "{:.3f}")),
        (
            "  by type",
            ", ".join(f"{k} {number(v, '{:.2f}')}" for k, v in alarm["by_type"].items()),
        ),
        (
            "successes with a false alarm",
            f"{number(alarm['false_alarm_share'], '{:.3f}')} ({low} to {high}), {promise}",
        ),
        ("false alarms per hour", number(alarm["false_alarms_per_hour"], "{:.1f}")),
        (
            "lead in s, median and 10th percentile",
            f"{number(lead['median'], '{:.2f}')}, {number(lead['p10'], '{:.2f}')}; "
            f"{lead['missed']} missed",
        ),
        (
            "  before a drop or collision",
            f"{number(sudden['median'], '{:.2f}')}, {number(sudden['p10'], '{:.2f}')}",
        ),
    ):
        table.add_row(name, text)
    yield table


def _undefined(figures: Mapping[str, Any]) -> Iterator[str]:
    for name, reason in figures["undefined"].items():
        yield f"{name}: {reason}"
