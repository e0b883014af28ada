"""Tables of `salus evaluate`: what a predictor is worth."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from salus_ros.reports.tables.layout import new_table, number


def evaluation_tables(results: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `evaluate_stores`."""
    title = f"steps: {results['steps']} of {results['episodes']} episodes"
    columns = ("precision", "recall", "f1", "average_precision", "calibration_error")
    shown = ("precision", "recall", "F1", "AP", "calibration error", "positives")
    table = new_table(title, "outputs", *shown)
    rows = {"all, at 0.5": results, "all, at the chosen threshold": results.get("at_threshold")}
    rows |= {"without timeout, chosen": (results.get("at_threshold") or {}).get("without_timeout")}
    rows |= {f"type {name}, at 0.5": part for name, part in results.get("by_type", {}).items()}
    rows |= {f"any within {name}": part for name, part in results.get("any_failure", {}).items()}
    for name, part in rows.items():
        if part is not None:
            numbers = (number(part.get(key), "{:.3f}") for key in columns)
            table.add_row(name, *numbers, str(part["positives"]))
    yield table
    yield from _undefined(results)
    yield from episode_tables(results["episode_level"], "all episodes")
    if results["eventual"] is not None:
        title = "all episodes, by the probability to fail at all"
        yield _ranking_table(title, results["eventual"])
    if results["episode_outputs"]:
        yield _episode_output_table(results["episode_outputs"])
    for group in ("by_task", "by_condition"):
        for name, part in results.get(group, {}).items():
            yield from episode_tables(part["episode_level"], name)
    yield results["left_out"]["note"]


def episode_tables(results: Mapping[str, Any], title: str) -> Iterator[RenderableType]:
    """Tables of `evaluate_episodes`."""
    how = f"{results['failures']} of {results['episodes']} failed"
    yield _ranking_table(f"{title}, by the risk: {how}", results["ranking"])
    yield from _undefined(results)
    alarm = results["alarm"]
    if alarm is None:
        return
    low, high = (number(end, "{:.3f}") for end in alarm["false_alarm_interval"])
    promise = "uncalibrated" if alarm["alpha"] is None else f"promised {alarm['alpha']:g}"
    lead, sudden = alarm["lead_s"], alarm["lead_before_drop_or_collision_s"]
    table = new_table("alarm", "", "")
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
        (
            "a clock with as many false alarms detects",
            number(alarm["clock"]["detection_rate"], "{:.3f}"),
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


def _ranking_table(title: str, ranking: Mapping[str, Any]) -> Table:
    """Table of `rank_at_cuts`."""
    columns = ("AUROC within task", "95 %", "pooled", "AP", "clock within", "clock pooled")
    table = new_table(title, "scores up to", *columns)
    names = {"shortest": "shortest of its task", "quarter": "quarter of the limit", "full": "end"}
    for cut, part in ranking.items():
        low, high = (number(end, "{:.2f}") for end in part["auroc_within_task_interval"])
        clock = part["clock"]
        table.add_row(
            names[cut],
            number(part["auroc_within_task"], "{:.3f}"),
            f"{low} to {high}",
            number(part["auroc_pooled"], "{:.3f}"),
            number(part["average_precision"], "{:.3f}"),
            number(clock["auroc_within_task"], "{:.3f}"),
            number(clock["auroc_pooled"], "{:.3f}"),
        )
    return table


def _episode_output_table(outputs: Mapping[str, Any]) -> Table:
    """Table of `evaluate_episode_output`, of each output about the whole episode."""
    columns = (
        "running",
        "ended so",
        "AUROC within task",
        "95 %",
        "pooled",
        "AP",
        "calibration error",
    )
    table = new_table(
        "episodes still running at a share of the time limit, by the latest probability",
        "output",
        *columns,
    )
    for name, found in outputs.items():
        title = name.replace("_", " ")
        for share, part in found["at"].items():
            low, high = (number(end, "{:.2f}") for end in part["auroc_within_task_interval"])
            table.add_row(
                f"{title}, {share}",
                str(part["running"]),
                str(part["positives"]),
                number(part["auroc_within_task"], "{:.3f}"),
                f"{low} to {high}",
                *(
                    number(part[key], "{:.3f}")
                    for key in ("auroc_pooled", "average_precision", "calibration_error")
                ),
            )
        steps = (found["steps"][key] for key in ("average_precision", "calibration_error"))
        ended = str(found["episodes"])
        table.add_row(
            f"{title}, all steps", "", ended, "", "", "", *(number(x, "{:.3f}") for x in steps)
        )
    return table


def _undefined(figures: Mapping[str, Any]) -> Iterator[str]:
    for name, reason in figures["undefined"].items():
        yield f"{name}: {reason}"
