"""`salus benchmark`: failure detectors beside each other, on the same episodes and splits."""

import json
import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.figure_options import AtSteps, LimitsFile
from salus_ros.cli.output import AsJson, out_console, print_line
from salus_ros.cli.progress import bar

NUMBERS_NAME = "benchmark.json"


def benchmark(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="STORE...",
            help="Episode stores; or logs in ActProbe's form (*.jsonl, *.jsonl.gz), or folders of "
            "them.",
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
    limits: LimitsFile = None,
    at_step: AtSteps = None,
    workers: Annotated[int, typer.Option(help="Processes, each on one thread.")] = max(
        1, os.cpu_count() or 1
    ),
    out: Annotated[
        Path, typer.Option(help="Folder for benchmark.json and the scores, which are kept.")
    ] = Path("runs/benchmark"),
    as_json: AsJson = False,
) -> None:
    """Compare detectors of failure: a clock, published ones and SALUS's, all on the same splits.

    What is fitted or chosen sees the training and validation parts of a split only, and alarm
    thresholds and probabilities a part of their own. Intervals resample episodes, the same for all
    detectors and splits. Scores are kept: the same command goes on where it was stopped, and adds
    detectors to those that are there.
    """
    from salus_ros.evaluation.detectors.benchmark import Benchmark
    from salus_ros.evaluation.detectors.catalogue import ablations, catalogue
    from salus_ros.evaluation.folds import make_folds
    from salus_ros.evaluation.held import STEPS
    from salus_ros.evaluation.knowable_file import Limits
    from salus_ros.evaluation.rollout_files import holds_logs
    from salus_ros.evaluation.rollout_logs import load_actprobe
    from salus_ros.reports.tables.benchmark import benchmark_tables
    from salus_ros.training.dataset import load_samples

    known = None if limits is None else Limits.load(limits)
    notes: tuple[str, ...] = ()
    if any(map(holds_logs, stores)):
        logs = load_actprobe(*stores)
        samples, notes = logs.samples, logs.notes
    else:
        samples = load_samples(stores)
    if known is not None:
        known.check(samples)
    others = load_samples(held_out) if held_out else None
    names = list(detector or ())
    if ablation:
        names = [*(names or catalogue(samples.signal_names)), *ablations()]
    run = Benchmark(samples, make_folds(samples, protocol, splits), names, others, out / "scores")
    with bar("fits", run.total) as advance:
        run.run(workers, advance)
    results = {"protocol": protocol, "stores": list(map(str, stores)), "notes": list(notes)}
    results |= run.results(known, at_step or STEPS)
    out.mkdir(parents=True, exist_ok=True)
    text = json.dumps(results, indent=1, allow_nan=False) + "\n"
    (out / NUMBERS_NAME).write_text(text)
    if as_json:
        sys.stdout.write(text)
        return
    for table in benchmark_tables(results):
        out_console.print(table)
    for note in notes:
        print_line(note)
    print_line(f"wrote {out / NUMBERS_NAME}")
