"""`salus calibrate`: true probabilities, and an alarm with a promised false-alarm rate."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import AsJson, out_console, print_json, print_line


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
    as_json: AsJson = False,
) -> None:
    """Calibrate a predictor; writes calibration.json beside it, which the node then uses.

    Of the stores it was trained on, the part that training kept for this sets the threshold of
    the alarm, and the part that its epoch was chosen by fits the probabilities: what it was
    trained on would flatter it, and the test part stays for `salus evaluate`. Of other stores, one
    half of the episodes sets the threshold and the other fits the probabilities.
    """
    from salus_ros.core.errors import ConfigError
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.prediction.shipped import SHIPPED
    from salus_ros.reports.sentences import left_out_lines
    from salus_ros.reports.tables.calibration import calibration_tables
    from salus_ros.training.calibrate import calibrate as fit
    from salus_ros.training.dataset import samples_for

    if str(model) == SHIPPED:
        raise ConfigError(
            "the predictor that ships stays as it is; give a folder of your own, or see "
            f"`salus adapt --start {SHIPPED}`"
        )
    predictor = Predictor.load(model, device)
    samples = samples_for(predictor, stores)
    result = fit(predictor, samples, alpha)
    path = result.save(model if model.is_dir() else model.parent)
    if as_json:
        values = result.to_json() | samples.left_out
        print_json(values)
        return
    for table in calibration_tables(result):
        out_console.print(table)
    for line in left_out_lines(samples.left_out):
        out_console.print(line)
    print_line(f"wrote {path}")
