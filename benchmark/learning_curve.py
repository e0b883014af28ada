"""What the default model gains by more episodes to learn from, tested on the same ones.

Each split trains on its own episodes of STORE and, further down the curve, on the first so many of
MORE as well; what it is validated, calibrated and tested on stays. What was fitted is kept in the
folder, and the same command goes on.

    python benchmark/learning_curve.py MORE... [--store shipped:standard] [--further 0 500 1000] \
        [--detector salus_tcn] [--splits 5] [--workers 2] [--out runs/learning_curve] \
        [--limits benchmark/results/knowable.json] > benchmark/results/learning_curve.json
"""

import argparse
import json
import os
import platform
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from salus_ros.evaluation.detectors.benchmark import Benchmark
from salus_ros.evaluation.folds import Fold, make_folds
from salus_ros.evaluation.knowable_file import Limits
from salus_ros.training.dataset import Samples, load_samples


def longer(folds: Sequence[Fold], own: int, further: int) -> list[Fold]:
    """The splits of the first `own` episodes, with the `further` next ones to learn from."""
    added = tuple(range(own, own + further))
    return [replace(fold, train=(*fold.train, *added)) for fold in folds]


def point(
    samples: Samples, folds: Sequence[Fold], given: argparse.Namespace, further: int
) -> dict[str, Any]:
    """Figures of the detectors with so many further episodes to learn from."""
    names = given.detector
    folder = given.out / f"{further}"
    run = Benchmark(samples, folds, names, folder=folder)
    if run.missing:
        sys.exit("; ".join(f"no {name}: {reason}" for name, reason in run.missing.items()))

    def progress(done: int, name: str) -> None:
        sys.stderr.write(f"{further} further episodes: {done}/{run.total} {name}\n")

    run.run(given.workers, progress)
    found = run.results(None if given.limits is None else Limits.load(given.limits))["detectors"]
    learnt = [len(fold.train) for fold in folds]
    kinds = Counter(
        samples.records[place].meta.finest_type.label
        for fold in folds
        for place in fold.train
        if samples.endings[place, 0]
    )
    return {
        "further_episodes": further,
        "episodes_to_learn_from": sum(learnt) / len(learnt),
        "failures_to_learn_from": {kind: count / len(folds) for kind, count in kinds.items()},
        "detectors": {name: figures(found[name]) for name in names},
    }


def figures(found: dict[str, Any]) -> dict[str, Any]:
    """Those that the targets are about, of a detector's results."""
    operator, steps = found["test"]["operator"], found["steps"]
    chosen, quarter = operator["foreseen"]["at_share"], operator["running"]["failure"]["25%"]
    ranked = ("auroc_within_task", "auroc_within_task_interval")
    recalled = ("recall", "recall_interval")
    shown = ("average_precision", "f1", "f1_events")
    return {
        "recall_at_5_percent": {
            name: {kind: chosen[name][kind] for kind in ("all", "sudden")} for name in recalled
        },
        "sudden_by_false_alarms_an_hour": {
            rate: at["recall"]["sudden"] for rate, at in operator["events"]["by_rate"].items()
        },
        "at_a_quarter": {name: quarter[name] for name in ranked},
        "average_precision_by_output": found["outputs"],
        **{name: None if steps is None else steps[name] for name in shown},
        "fit_s": found["fit_s"],
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("more", nargs="+", help="stores of further episodes to learn from")
    parser.add_argument("--store", default="shipped:standard", help="what it is tested on")
    parser.add_argument("--further", type=int, nargs="+", default=[0, 500, 1000])
    parser.add_argument("--detector", action="append", help="salus_tcn alone by default")
    parser.add_argument("--splits", type=int, default=5, help="how many of five")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--limits", type=Path, help="of benchmark/knowable.py, as `salus benchmark`'s"
    )
    parser.add_argument("--out", type=Path, default=Path("runs/learning_curve"))
    given = parser.parse_args()
    given.detector = given.detector or ["salus_tcn"]
    home = load_samples([given.store])
    folds = make_folds(home)[: given.splits]
    own = len(home.records)
    samples = load_samples([given.store, *given.more])
    there = len(samples.records) - own
    if not 0 <= min(given.further) <= max(given.further) <= there:
        sys.exit(f"--further is {given.further}; {', '.join(given.more)}: {there} episodes")
    if repeated := {r.key for r in home.records} & {r.key for r in samples.records[own:]}:
        sys.exit(f"{len(repeated)} of {', '.join(given.more)} are episodes that are tested on")
    points = []
    for further in given.further:
        some = samples.subset(range(own + further))
        points.append(point(some, longer(folds, own, further), given, further))
    seeds = [record.meta.seed for record in samples.records[own : own + max(given.further)]]
    result = {
        "benchmark": "learning_curve",
        "command": shlex.join(["python", *sys.argv]),
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
        "store": given.store,
        "more": given.more,
        "more_seeds": [min(seeds), max(seeds)] if seeds else None,
        "data_hash": samples.subset(range(own + max(given.further))).data_hash(),
        "splits": given.splits,
        "points": points,
    }
    sys.stdout.write(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
