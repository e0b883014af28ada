"""`salus calibrate`: true probabilities, and an alarm with a promised false-alarm rate."""

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

console = Console()


def calibrate(
    model: Annotated[Path, typer.Argument(help="Folder that training wrote.", show_default=False)],
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Episode stores.", show_default=False),
    ],
    alpha: Annotated[
        float, typer.Option(help="Promised share of successful episodes with a false alarm.")
    ] = 0.05,
    device: Annotated[str, typer.Option(help="Where to run: cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object and nothing else.")
    ] = False,
) -> None:
    """Calibrate a predictor; writes calibration.json beside it, which the node then uses.

    Of the stores it was trained on, the part that training kept for this is used: what it was
    trained on, or its epoch chosen by, would flatter it, and the test part stays for `salus
    evaluate`. Of other stores, all episodes. One half of them fits the probabilities, the other
    sets the threshold.
    """
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.reports.sentences import unlabelled_line
    from salus_ros.training.calibrate import calibrate as fit
    from salus_ros.training.calibrate import promise
    from salus_ros.training.dataset import load_samples

    predictor = Predictor.load(model, device)
    samples = load_samples(stores, predictor.horizons_s, predictor.failure_types)
    predictor.check_signals(samples.signal_names)
    result = fit(predictor, samples, alpha)
    path = result.save(model if model.is_dir() else model.parent)
    if as_json:
        values = result.to_json() | {"unlabelled_episodes": samples.unlabelled}
        sys.stdout.write(json.dumps(values, indent=2, allow_nan=False) + "\n")
        return
    score = "failing at all" if predictor.checkpoint.config.eventual else "the risk"
    table = Table("alpha", f"threshold of {score}", "what it promises")
    for one, threshold in result.thresholds.items():
        chosen = "[bold]" if one == alpha else ""
        limit = min(threshold, result.episode_thresholds[one])
        table.add_row(f"{chosen}{one:g}", f"{limit:.3f}", promise(result, one))
    console.print(table)
    console.print(
        f"{len(result.probability_keys)} episodes for the probabilities; "
        f"{len(result.threshold_keys)} others, {result.successes} successful, for the threshold"
    )
    if samples.unlabelled:
        console.print(unlabelled_line(samples.unlabelled))
    if result.shared:
        console.print(f"too few failures for a fit of their own: {', '.join(result.shared)}")
    console.print(f"wrote {path}", soft_wrap=True)
