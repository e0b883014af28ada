"""`salus benchmark`: failure detectors beside each other, on the same episodes and splits."""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

console = Console()

NUMBERS_NAME = "benchmark.json"


def benchmark(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORE...",
            help="Episode stores, or one folder of ActProbe's logs (*.jsonl, *.jsonl.gz).",
            show_default=False,
        ),
    ],
    held_out: Annotated[
        list[Path] | None,
        typer.Option(help="Store of other conditions, to be scored only; may be repeated."),
    ] = None,
    detector: Annotated[
        list[str] | None,
        typer.Option(help="Detector to run; may be repeated. All by default."),
    ] = None,
    ablation: Annotated[
        bool, typer.Option(help="Add the default model with parts of its inputs left out.")
    ] = False,
    protocol: Annotated[
        str,
        typer.Option(
            help="folds: every episode tested once. seen, unseen: shares of every task, or three "
            "tasks held out, as ActProbe does."
        ),
    ] = "folds",
    splits: Annotated[int, typer.Option(help="Number of splits, each with a seed.")] = 5,
    workers: Annotated[int, typer.Option(help="Processes, each on one thread.")] = max(
        1, os.cpu_count() or 1
    ),
    out: Annotated[
        Path, typer.Option(help="Folder for benchmark.json and the scores, which are kept.")
    ] = Path("runs/benchmark"),
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Compare detectors of failure: a clock, published ones and SALUS's, all on the same splits.

    What is fitted or chosen sees the training and validation parts of a split only, and alarm
    thresholds and probabilities a part of their own. Intervals resample episodes, the same for all
    detectors and splits. Scores are kept: the same command goes on where it was stopped, and adds
    detectors to those that are there.
    """
    from salus_ros.cli.progress import bar
    from salus_ros.evaluation.detectors.benchmark import Benchmark
    from salus_ros.evaluation.detectors.catalogue import ablations, catalogue
    from salus_ros.evaluation.folds import make_folds
    from salus_ros.evaluation.rollout_logs import is_actprobe, load_actprobe
    from salus_ros.training.dataset import load_samples

    logs = len(stores) == 1 and is_actprobe(stores[0])
    samples = load_actprobe(stores[0]) if logs else load_samples(stores)
    others = load_samples(held_out) if held_out else None
    names = list(detector or ())
    if ablation:
        names = [*(names or catalogue(samples.signal_names)), *ablations()]
    run = Benchmark(samples, make_folds(samples, protocol, splits), names, others, out / "scores")
    with bar("fits", run.total) as advance:
        run.run(workers, advance)
    results = {"protocol": protocol, "stores": list(map(str, stores))} | run.results()
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    (out / NUMBERS_NAME).write_text(text)
    if as_json:
        sys.stdout.write(text)
        return
    for table in benchmark_tables(results):
        console.print(table)
    console.print(f"wrote {out / NUMBERS_NAME}", soft_wrap=True)


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
        f1 = (found["steps"] or {}).get("f1", [None])[0] if part == "test" else None
        yield [
            name,
            _text(shortest["auroc_within_task"]),
            "-" if low is None else f"{low:.2f} {high:.2f}",
            _text(quarter["auroc_within_task"]),
            _text(shortest["auroc_pooled"]),
            _text(shortest["average_precision"]),
            _text(alarm["detection_rate"], "{:.2f}"),
            _text(alarm["false_alarm_share"], "{:.2f}"),
            _text(alarm["lead_median_s"], "{:.2f}"),
            _text(f1),
            _text(found["step_us"], "{:.0f}"),
        ]


def benchmark_tables(results: Mapping[str, Any]) -> Iterator[Table | str]:
    """Tables of `Benchmark.results`."""
    from salus_ros.reports.sentences import unlabelled_line

    titles = {"test": f"{results['episodes']} episodes, {results['failures']} failed"}
    if "held_out" in results:
        other = results["held_out"]
        titles["held_out"] = f"other conditions: {other['episodes']}, {other['failures']} failed"
    for part, title in titles.items():
        table = Table(title=title, title_justify="left")
        table.add_column("detector", overflow="fold")
        for column in COLUMNS:
            table.add_column(column, justify="right", no_wrap=True)
        for row in benchmark_rows(results, part):
            table.add_row(*row)
        yield table
    yield "\n".join(f"{name}: {meaning}" for name, meaning in COLUMNS.items())
    unlabelled = results["unlabelled_episodes"]
    unlabelled += results.get("held_out", {}).get("unlabelled_episodes", 0)
    if unlabelled:
        yield unlabelled_line(unlabelled)
    for name, reason in results["missing"].items():
        yield f"{name}: not run, {reason}"


def _text(value: float | None, form: str = "{:.3f}") -> str:
    return "-" if value is None else form.format(value)
