"""`salus evaluate`: what a predictor is worth on episodes that it never saw."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.figure_options import AtSteps, LimitsFile
from salus_ros.cli.output import AsJson, out_console, print_json, print_line


def evaluate(
    model: Annotated[
        Path,
        typer.Argument(
            help="best_predictor.pt, the folder that holds it, or shipped.", show_default=False
        ),
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
    limits: LimitsFile = None,
    at_step: AtSteps = None,
    device: Annotated[str, typer.Option(help="Where to run: cpu, cuda or cuda:N.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure a predictor on the episodes of some stores, step by step and by episode.

    Episodes that the predictor was trained or calibrated on, or that chose its epoch and
    thresholds, are left out, and the output says how many; they are known by their content,
    wherever they lie. Beside it stand a clock (score = step), the failures of the task in
    training, and how long the robot has been stuck.
    """
    from salus_ros.evaluation.held import STEPS
    from salus_ros.evaluation.knowable_file import Limits
    from salus_ros.evaluation.predictor_evaluation import evaluate_stores
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.reports.tables.evaluation import evaluation_tables

    predictor = Predictor.load(model, device)
    results = evaluate_stores(
        predictor,
        stores,
        include_seen=include_trained,
        limits=None if limits is None else Limits.load(limits),
        steps=at_step or STEPS,
    )
    if out is not None:
        from salus_ros.reports.pages.evaluation import write_evaluation

        page = write_evaluation(predictor, stores, results, out, include_seen=include_trained)
    if as_json:
        print_json(results)
        return
    for table in evaluation_tables(results):
        out_console.print(table)
    if out is not None:
        print_line(f"open {page}")
