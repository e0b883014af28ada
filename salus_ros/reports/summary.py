"""What a store holds and what a predictor achieves, as JSON values and as tables."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes.reader import StoreReader

ROW_7 = ("loss", "accuracy", "precision", "recall", "f1")
"""The five figures of the proof of concept's test report."""

TEXT_COLUMNS = ("", "endings", "no label of")


def unlabelled_line(number: int, stores: str = "STORE") -> str:
    """Say that episodes cannot be learnt from, and what to do about it."""
    return (
        f"{number} episodes have no known outcome, or failed at an unknown moment; nothing is "
        f"learnt from them: salus label {stores}"
    )


def store_summary(reader: StoreReader) -> dict[str, Any]:
    """Describe a store in JSON values; a quantity without a sample is None."""
    table = reader.table()
    arrays = reader.to_numpy(
        [name for name in ("signals_valid", "signals_fresh", "age_ms", "risk") if name in reader]
    )
    valid = arrays["signals_valid"]
    ages = arrays.get("age_ms", np.zeros((reader.steps, 0), dtype=np.float32))
    gaps = _gaps(ages, reader)
    return {
        "path": str(reader.path),
        "episodes": len(reader),
        "steps": reader.steps,
        "seconds": float(np.sum(table["length"] / table["rate_hz"])),
        "megabytes": round(_bytes_on_disc(reader.path) / 1e6, 3),
        "outcomes": {kind.name.lower(): int(np.sum(table["outcome"] == kind)) for kind in Outcome},
        "unlabelled": sum(not meta.labelled for meta in reader.episodes()),
        "failure_types": {
            kind.label: int(np.sum(table["failure_type"] == kind))
            for kind in FailureType
            if kind != FailureType.NONE
        },
        "length": _quantiles(table["length"]),
        "tasks": _counts(table["task"]),
        "faults": _counts(table["fault"]),
        "conditions": _counts(table["condition"]),
        "policies": _counts(table["policy_id"]),
        "models": _counts(name for name in table["model_id"] if name),
        "signals_valid": {
            name: float(valid[:, column].mean()) if reader.steps else None
            for column, name in enumerate(reader.spec.signals)
        },
        "signals_fresh": float(arrays["signals_fresh"].mean()) if reader.steps else None,
        "steps_predicted_live": int(np.isfinite(arrays["risk"]).sum()),
        "age_ms": {
            name: _quantiles(ages[:, column])
            | {"missing": int(np.isnan(ages[:, column]).sum())}
            | gaps[column]
            for column, name in enumerate(reader.spec.streams)
        },
        "spec": reader.spec.to_attributes(),
    }


def store_tables(summary: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `store_summary`."""
    spec = summary["spec"]
    overview = _table(str(summary["path"]), "", "")
    overview.add_row("episodes", str(summary["episodes"]))
    overview.add_row("steps", f"{summary['steps']} ({summary['seconds']:.1f} s of episode time)")
    overview.add_row("size", f"{summary['megabytes']:.1f} MB")
    height, width = spec["image_size"]
    cameras = ", ".join(spec["cameras"])
    overview.add_row("cameras", f"{cameras} ({width} x {height})" if cameras else "none")
    overview.add_row(
        "embedding", f"{spec['embedding_dim']} values" if spec["embedding_dim"] else "none"
    )
    rows = {"task": "tasks", "fault": "faults", "condition": "conditions", "policy": "policies"}
    for title, key in rows.items():
        overview.add_row(title, _listed(summary[key]))
    overview.add_row(
        "predicted live", f"{summary['steps_predicted_live']} steps {_listed(summary['models'])}"
    )
    yield overview

    outcomes = _table("how the episodes ended", "ending", "episodes")
    outcomes.add_row("success", str(summary["outcomes"]["success"]))
    for kind, number in summary["failure_types"].items():
        outcomes.add_row(f"failure: {kind}", str(number))
    outcomes.add_row("unknown", str(summary["outcomes"]["unknown"]))
    yield outcomes
    if summary["unlabelled"]:
        yield Text(unlabelled_line(summary["unlabelled"], str(summary["path"])))

    signals = _table("signals", "signal", "valid steps")
    for name, share in summary["signals_valid"].items():
        signals.add_row(name, _number(share, "{:.1%}"))
    yield signals

    if summary["age_ms"]:
        ages = _table(
            "age of the samples used",
            "stream",
            "median ms",
            "p95 ms",
            "max ms",
            "gaps",
            "of steps",
        )
        for name, values in summary["age_ms"].items():
            numbers = (_number(values[key], "{:.1f}") for key in ("p50", "p95", "max"))
            count = "not noted" if values["gaps"] is None else str(values["gaps"])
            ages.add_row(name, *numbers, count, _number(values["gap_share"], "{:.1%}"))
        yield ages


def training_tables(results: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `training_results.json`."""
    splits = _table("episodes, split whole", "part", "episodes", "steps", "endings", "no label of")
    for name, part in results["splits"].items():
        splits.add_row(
            name,
            str(part["episodes"]),
            str(part["steps"]),
            _listed(part["endings"]),
            ", ".join(part["without_positive_labels"]) or "-",
        )
    yield splits
    title = (
        f"model {results['model_id']}: epoch {results['best_epoch']} of {results['epochs_run']}"
    )
    figures = _table(title, "figure", "validation", "test")
    for name in ROW_7:
        figures.add_row(name, _number(results["validation"][name]), _number(results["test"][name]))
    yield figures
    yield from _undefined(results["test"])
    yield (
        f"chosen by {results['selected_by']}; {results['seconds']:.1f} s; threshold of the risk "
        + (
            f"{results['threshold']:.3f}, not calibrated"
            if results["threshold"] is not None
            else "none"
        )
    )
    if results["unlabelled_episodes"]:
        yield unlabelled_line(results["unlabelled_episodes"])


def evaluation_tables(results: Mapping[str, Any]) -> Iterator[RenderableType]:
    """Tables of `evaluate_stores`."""
    title = f"steps: {results['steps']} of {results['episodes']} episodes"
    columns = ("precision", "recall", "f1", "average_precision", "calibration_error")
    shown = ("precision", "recall", "F1", "AP", "calibration error", "positives")
    table = _table(title, "outputs", *shown)
    rows = {"all, at 0.5": results, "all, at the chosen threshold": results.get("at_threshold")}
    rows |= {"without timeout, chosen": (results.get("at_threshold") or {}).get("without_timeout")}
    rows |= {f"type {name}, at 0.5": part for name, part in results.get("by_type", {}).items()}
    rows |= {f"any within {name}": part for name, part in results.get("any_failure", {}).items()}
    for name, part in rows.items():
        if part is not None:
            numbers = (_number(part.get(key), "{:.3f}") for key in columns)
            table.add_row(name, *numbers, str(part["positives"]))
    yield table
    yield from _undefined(results)
    yield from episode_tables(results["episode_level"], "all episodes")
    if results["eventual"] is not None:
        title = "all episodes, by the probability to fail at all"
        yield _ranking_table(title, results["eventual"])
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
    low, high = (_number(end, "{:.3f}") for end in alarm["false_alarm_interval"])
    promise = "uncalibrated" if alarm["alpha"] is None else f"promised {alarm['alpha']:g}"
    lead, sudden = alarm["lead_s"], alarm["lead_before_drop_or_collision_s"]
    table = _table("alarm", "", "")
    for name, text in (
        ("failures with an alarm before", _number(alarm["detection_rate"], "{:.3f}")),
        (
            "  by type",
            ", ".join(f"{k} {_number(v, '{:.2f}')}" for k, v in alarm["by_type"].items()),
        ),
        (
            "successes with a false alarm",
            f"{_number(alarm['false_alarm_share'], '{:.3f}')} ({low} to {high}), {promise}",
        ),
        (
            "a clock with as many false alarms detects",
            _number(alarm["clock"]["detection_rate"], "{:.3f}"),
        ),
        ("false alarms per hour", _number(alarm["false_alarms_per_hour"], "{:.1f}")),
        (
            "lead in s, median and 10th percentile",
            f"{_number(lead['median'], '{:.2f}')}, {_number(lead['p10'], '{:.2f}')}; "
            f"{lead['missed']} missed",
        ),
        (
            "  before a drop or collision",
            f"{_number(sudden['median'], '{:.2f}')}, {_number(sudden['p10'], '{:.2f}')}",
        ),
    ):
        table.add_row(name, text)
    yield table


def _ranking_table(title: str, ranking: Mapping[str, Any]) -> Table:
    """Table of `rank_at_cuts`."""
    columns = ("AUROC within task", "95 %", "pooled", "AP", "clock within", "clock pooled")
    table = _table(title, "scores up to", *columns)
    names = {"shortest": "shortest of its task", "quarter": "quarter of the limit", "full": "end"}
    for cut, part in ranking.items():
        low, high = (_number(end, "{:.2f}") for end in part["auroc_within_task_interval"])
        clock = part["clock"]
        table.add_row(
            names[cut],
            _number(part["auroc_within_task"], "{:.3f}"),
            f"{low} to {high}",
            _number(part["auroc_pooled"], "{:.3f}"),
            _number(part["average_precision"], "{:.3f}"),
            _number(clock["auroc_within_task"], "{:.3f}"),
            _number(clock["auroc_pooled"], "{:.3f}"),
        )
    return table


def _undefined(figures: Mapping[str, Any]) -> Iterator[str]:
    for name, reason in figures["undefined"].items():
        yield f"{name}: {reason}"


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", show_header=any(columns))
    for place, column in enumerate(columns):
        table.add_column(
            column, justify="left" if place == 0 or column in TEXT_COLUMNS else "right"
        )
    return table


def _gaps(ages: NDArray[Any], reader: StoreReader) -> list[dict[str, Any]]:
    """Steps without a sample, by stream, in the episodes that noted any age at all."""
    there = np.isfinite(ages)  # (N, M)
    kept: NDArray[np.intp] = np.zeros(0, dtype=np.intp)
    if ages.size:
        starts = np.concatenate([[0], reader.episode_ends[:-1]])
        noted = np.logical_or.reduceat(there.any(axis=1), starts)  # (E,)
        kept = np.flatnonzero(np.repeat(noted, np.diff(reader.episode_ends, prepend=0)))
    counts = np.sum(~there[kept], axis=0).tolist()
    return [
        {"gaps": n if len(kept) else None, "gap_share": n / len(kept) if len(kept) else None}
        for n in counts
    ]


def _bytes_on_disc(store: Path) -> int:
    total = 0
    for file in [store] if store.is_file() else store.rglob("*"):
        with suppress(FileNotFoundError):  # a writer beside us replaces files
            total += file.stat().st_size if file.is_file() else 0
    return total


def _counts(values: Iterable[Any]) -> dict[str, int]:
    return dict(Counter(str(value) for value in values).most_common())


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name or '(empty)'} {number}" for name, number in counts.items())


def _quantiles(values: NDArray[Any]) -> dict[str, float | None]:
    present = values[np.isfinite(values)]
    if not present.size:
        return dict.fromkeys(("p50", "p95", "max"))
    p50, p95 = np.percentile(present, (50, 95))
    return {"p50": float(p50), "p95": float(p95), "max": float(present.max())}


def _number(value: float | None, form: str = "{:.4f}") -> str:
    return "-" if value is None or math.isnan(value) else form.format(value)
