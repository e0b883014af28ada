"""`salus adapt`: train, calibrate and evaluate on episodes of one's own; what that promises."""

from pathlib import Path
from typing import Annotated, Any

import typer

from salus_ros.cli.output import AsJson, err_console, print_result


def adapt(
    stores: Annotated[
        list[Path],
        typer.Argument(metavar="STORE...", help="Episode stores.", show_default=False),
    ],
    out: Annotated[Path, typer.Option(help="Folder for the predictor; the node's model_path.")],
    model: Annotated[
        str, typer.Option(help="Network and its settings, as in `salus train --model`.")
    ] = "tcn",
    start: Annotated[
        Path | None,
        typer.Option(
            help="Predictor whose weights to begin with, or shipped; its network is used."
        ),
    ] = None,
    alpha: Annotated[
        float, typer.Option(help="Share of successful episodes that may alarm.")
    ] = 0.05,
    time_limit_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps after which an episode counts as failed, where there is such a limit: the "
            "predictor then has a clock, and tells how close the limit is.",
        ),
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes; the model's own.")] = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda or cuda:N.")] = "cpu",
    as_json: AsJson = False,
) -> None:
    """Make a predictor for an arm, a policy and a task of your own from some 50 to 200 episodes.

    Trains, calibrates and tries the alarm, each on episodes of its own, and says what it promises
    with so many, and how many more a better promise takes. As many go to the calibration as
    --alpha needs, up to four in ten. `salus evaluate` has all other figures.
    """
    from dataclasses import replace

    from salus_ros.cli.progress import epoch_bar
    from salus_ros.core.errors import ConfigError
    from salus_ros.evaluation.predictor_evaluation import evaluate, evaluate_alarm
    from salus_ros.prediction.config import PRESETS
    from salus_ros.prediction.predictor import Predictor
    from salus_ros.reports.tables.adapt import adapt_tables
    from salus_ros.training.adapt import deal, promise_of
    from salus_ros.training.calibrate import calibrate
    from salus_ros.training.dataset import load_samples
    from salus_ros.training.train import train_predictor, without_lacking

    if model not in PRESETS:
        raise ConfigError(f"model is {model!r}; allowed is one of {', '.join(PRESETS)}")
    begun = None if start is None else Predictor.load(start, device).checkpoint
    config = PRESETS[model] if begun is None else begun.config
    if time_limit_steps is not None:
        if begun is not None and config.time_limit_steps != time_limit_steps:
            has = config.time_limit_steps
            raise ConfigError(
                f"time_limit_steps is {time_limit_steps}, but '{start}' has "
                + (f"a time limit of {has} steps" if has else "no clock")
                + "; leave --time-limit-steps or --start out"
            )
        config = config.with_time_limit(time_limit_steps)
    samples = load_samples(
        stores,
        None if begun is None else begun.horizons_s,
        None if begun is None else begun.failure_types,
        config.inputs,
    )
    config = deal(samples.records, config, alpha)
    if begun is None:
        config = without_lacking(config, samples)
    if epochs is not None:
        config = replace(config, epochs=epochs)
    with epoch_bar(err_console, config.epochs) as on_epoch:
        trained = train_predictor(samples, out, evaluate, config, device, on_epoch, begun)
    calibration = calibrate(Predictor.load(out, device), samples, alpha)
    calibration.save(out)
    values: dict[str, Any] = {
        "model": str(out),
        "model_id": trained["model_id"],
        "started_from": None if start is None else str(start),
        "episodes": {name: part["episodes"] for name, part in trained["splits"].items()},
        **samples.left_out,
        "promise": promise_of(calibration, samples.records, alpha).to_json(),
        "tested": evaluate_alarm(Predictor.load(out, device), stores),
    }
    print_result(values, as_json, adapt_tables)
