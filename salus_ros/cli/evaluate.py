"""`salus evaluate`: what a predictor is worth on episodes that it never saw."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

console = Console()


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="best_predictor.pt or the folder that holds it.", show_default=False),
    ],
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Episode stores.", show_default=False),
    ],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for index.html, figures and evaluation.json."),
    ] = None,
    include_trained: Annotated[
        bool,
        typer.Option(
            "--include-trained",
            help="Count episodes that were used in training or calibration, too.",
        ),
    ] = False,
    device: Annotated[str, typer.Option(help="Where to run: cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Measure a predictor on the episodes of some stores, step by step and by episode.

    Episodes that the predictor was trained or calibrated on, or that chose its epoch and
    thresholds, are left out, and the output says how many; they are known by their content,
    wherever they lie. A clock (score = step) stands beside it in every ranking.
    """
    from salus_ros.evaluation.predictor_evaluation import evaluate_stores
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.reports.tables.evaluation import evaluation_tables

    predictor = Predictor.load(model, device)
    results = evaluate_stores(predictor, stores, include_seen=include_trained)
    if out is not None:
        from salus_ros.reports.pages.evaluation import write_evaluation

        page = write_evaluation(predictor, stores, results, out, include_seen=include_trained)
    if as_json:
        sys.stdout.write(json.dumps(results, indent=2, allow_nan=False) + "\n")
        return
    for table in evaluation_tables(results):
        console.print(table)
    if out is not None:
        console.print(f"open {page}", soft_wrap=True)
