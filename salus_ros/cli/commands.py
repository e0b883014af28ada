"""The verbs of the `salus` command: each parses its options and calls into the package.

Imports of torch, zarr and matplotlib are in the verbs, so that `salus --help` answers at once.
"""

import json
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from salus_ros import __version__
from salus_ros.cli.collect import collect
from salus_ros.cli.pack import pack
from salus_ros.cli.policy import policy_app
from salus_ros.core.errors import ConfigError, SalusError
from salus_ros.prediction.config import TrainingConfig

EXIT_CHECK_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="salus",
    help="Record, train and evaluate live failure prediction for vision-language-action policies.",
    epilog="Exit codes: 0 done, 1 a check failed, 2 an error that the message explains.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
out_console = Console()
err_console = Console(stderr=True)
app.add_typer(policy_app, name="policy")
app.command(
    epilog="Example: [bold]salus collect --episodes 500 --workers 2 --out runs/a.zarr[/]\n\n"
    "Ctrl-C or kill loses only the episodes in flight; the same command goes on."
)(collect)
app.command(
    epilog="Example: [bold]salus pack runs/a.zarr runs/b.zarr --out runs/ab.zarr.zip[/]\n\n"
    "Plain zarr reads the file too; images are kept without loss."
)(pack)

DEFAULTS = TrainingConfig()
Store = Annotated[Path, typer.Argument(help="Episode store.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]
Device = Annotated[str, typer.Option(help="Where to run: cpu, cuda or cuda:N.")]


class ModelKind(StrEnum):
    """Kinds of predictor that can be trained."""

    MLP = "mlp"


def _print_version(wanted: bool) -> None:
    if wanted:
        out_console.print(__version__)
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    pass


@app.command(epilog="Example: [bold]salus info runs/a.zarr --json[/]")
def info(store: Store, as_json: AsJson = False) -> None:
    """Show what an episode store holds: episodes, outcomes, steps, gaps and size."""
    from salus_ros.cli.summary import store_summary, store_tables
    from salus_ros.episodes.reader import StoreReader

    summary = store_summary(StoreReader(store))
    _print(summary, as_json, store_tables)


@app.command(
    epilog="Example: [bold]salus train runs/a.zarr runs/b.zarr --out runs/mlp[/]\n\n"
    "Ctrl-C stops early and writes the best epoch so far."
)
def train(
    stores: Annotated[
        list[Path], typer.Argument(help="Folders of episode stores.", show_default=False)
    ],
    out: Annotated[
        Path,
        typer.Option(help="Folder for best_predictor.pt, training_results.json and figures."),
    ],
    model: Annotated[ModelKind, typer.Option(help="Kind of predictor.")] = ModelKind.MLP,
    epochs: Annotated[int, typer.Option(help="Passes over the training episodes.")] = (
        DEFAULTS.epochs
    ),
    batch_size: Annotated[int, typer.Option(help="Steps per gradient step.")] = (
        DEFAULTS.batch_size
    ),
    learning_rate: Annotated[float, typer.Option(help="Initial rate of Adam.")] = (
        DEFAULTS.learning_rate
    ),
    weight_decay: Annotated[float, typer.Option(help="L2 weight of Adam.")] = (
        DEFAULTS.weight_decay
    ),
    pos_weight: Annotated[float, typer.Option(help="Weight of a positive label.")] = (
        DEFAULTS.pos_weight
    ),
    scheduler_factor: Annotated[
        float, typer.Option(help="Factor on the rate when the validation loss stalls.")
    ] = DEFAULTS.scheduler_factor,
    scheduler_patience: Annotated[
        int, typer.Option(help="Stalled epochs before the rate drops.")
    ] = DEFAULTS.scheduler_patience,
    dropout: Annotated[float, typer.Option(help="Dropout after each hidden layer.")] = (
        DEFAULTS.dropout
    ),
    hidden: Annotated[str, typer.Option(help="Widths of the hidden layers.")] = ",".join(
        map(str, DEFAULTS.hidden)
    ),
    train_fraction: Annotated[float, typer.Option(help="Share of episodes to train on.")] = (
        DEFAULTS.train_fraction
    ),
    validation_fraction: Annotated[
        float, typer.Option(help="Share of episodes that choose epoch and thresholds.")
    ] = DEFAULTS.validation_fraction,
    seed: Annotated[int, typer.Option(help="Seed of split, weights and batches.")] = DEFAULTS.seed,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Train a failure predictor on recorded episodes, split by episode.

    Labels follow from how each episode ended; episodes without a known outcome are left out.
    """
    config = TrainingConfig(
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        weight_decay=weight_decay,
        pos_weight=pos_weight,
        scheduler_factor=scheduler_factor,
        scheduler_patience=scheduler_patience,
        dropout=dropout,
        hidden=_widths(hidden),
        train_fraction=train_fraction,
        validation_fraction=validation_fraction,
        seed=seed,
    )
    from salus_ros.cli.figures import save_learning_curves
    from salus_ros.cli.progress import epoch_bar
    from salus_ros.cli.summary import training_tables
    from salus_ros.prediction.dataset import load_samples
    from salus_ros.prediction.training import train_predictor

    samples = load_samples(stores)
    with epoch_bar(err_console, config.epochs) as on_epoch:
        results = train_predictor(samples, out, config, device, on_epoch)
    save_learning_curves(results, out / "learning_curves.png")
    _print(results, as_json, training_tables)
    if results["interrupted"]:
        err_console.print(f"interrupted; the best of {results['epochs_run']} epochs is in {out}")
        raise typer.Exit(EXIT_INTERRUPTED)


@app.command(epilog="Example: [bold]salus evaluate runs/mlp runs/b.zarr --json[/]")
def evaluate(
    model: Annotated[
        Path,
        typer.Argument(help="best_predictor.pt or the folder that holds it.", show_default=False),
    ],
    store: Store,
    include_trained: Annotated[
        bool,
        typer.Option(help="Count episodes that were trained on or chose the epoch, too."),
    ] = False,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure a predictor on the episodes of a store.

    Episodes that the predictor was trained on, or that chose its epoch and thresholds, are left
    out, and the output says how many; they are known by their content, wherever they lie.
    """
    from salus_ros.cli.summary import evaluation_tables
    from salus_ros.prediction.evaluation import evaluate_store
    from salus_ros.prediction.predictor import Predictor

    results = evaluate_store(Predictor.load(model, device), store, include_seen=include_trained)
    _print(results, as_json, evaluation_tables)


@app.command(
    epilog="Example: [bold]salus report runs/a.zarr runs/b.zarr --out report[/]\n\n"
    "index.html needs no other file; the figures and report.json lie beside it."
)
def report(
    stores: Annotated[
        list[Path],
        typer.Argument(
            metavar="DATA...", help="Episode stores, shown together.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Option(help="Folder for index.html and the figures.")] = Path(
        "report"
    ),
    episode: Annotated[
        int | None,
        typer.Option(
            help="Episode of the first store to show step by step; the last that failed, if not "
            "given."
        ),
    ] = None,
    model: Annotated[
        Path | None, typer.Option(help="Folder of a trained predictor: adds its risk and curves.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Describe recorded episodes on one page: how they end, the signals, what is missing."""
    from salus_ros.cli.report import write_report
    from salus_ros.cli.report.page import NUMBERS_NAME

    page = write_report(stores, out, episode, model)
    if as_json:
        sys.stdout.write((page.parent / NUMBERS_NAME).read_text())
        return
    out_console.print(f"open {page}", soft_wrap=True)


@app.command(epilog="Example: [bold]salus doctor --store runs/a.zarr[/]")
def doctor(
    policy: Annotated[
        Path | None, typer.Option(help="Policy folder to look at; the shipped one by default.")
    ] = None,
    store: Annotated[Path | None, typer.Option(help="Episode store to look at.")] = None,
    as_json: AsJson = False,
) -> None:
    """Check what this machine has (ROS, rendering, CUDA, a policy) and say what to do.

    Exits with 1 when something is missing that recording and predicting need.
    """
    from salus_ros.cli.doctor import examine, render

    checks = examine(policy, store)
    _print({"checks": [check.to_dict() for check in checks]}, as_json, lambda _: render(checks))
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(EXIT_CHECK_FAILED)


def main() -> None:
    """Run the command; an error that SALUS raises on purpose is one red line and exit code 2."""
    try:
        app()
    except SalusError as error:
        line = " ".join(str(error).split())
        err_console.print(Text.assemble(("error: ", "bold red"), (line, "red")), soft_wrap=True)
        sys.exit(EXIT_ERROR)


def _print(result: dict[str, Any], as_json: bool, tables: Any) -> None:
    if as_json:
        sys.stdout.write(json.dumps(result, indent=2, allow_nan=False) + "\n")
        return
    for table in tables(result):
        out_console.print(table)


def _widths(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(width) for width in text.split(","))
    except ValueError:
        raise ConfigError(f"hidden is {text!r}; allowed are widths like 64,128,128,64") from None
