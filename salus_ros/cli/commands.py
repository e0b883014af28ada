"""The verbs of the `salus` command: each parses its options and calls into the package.

Imports of torch, zarr and matplotlib are in the verbs, so that `salus --help` answers at once.
"""

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.text import Text

from salus_ros import __version__
from salus_ros.cli.benchmark import benchmark
from salus_ros.cli.calibrate import calibrate
from salus_ros.cli.collect import collect
from salus_ros.cli.convert import convert
from salus_ros.cli.evaluate import evaluate
from salus_ros.cli.exchange import export_store, import_store
from salus_ros.cli.label import label
from salus_ros.cli.pack import pack
from salus_ros.cli.policy import policy_app
from salus_ros.cli.train import train_command
from salus_ros.core.errors import SalusError

EXIT_CHECK_FAILED = 1
EXIT_ERROR = 2

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

app.command(
    epilog="Example: [bold]salus evaluate runs/tcn shipped:standard --out runs/tcn/evaluation[/]"
)(evaluate)
app.command(
    epilog="Example: [bold]salus benchmark shipped:standard --held-out shipped:shifted[/]"
)(benchmark)
app.command(epilog="Example: [bold]salus calibrate runs/tcn shipped:standard --alpha 0.05[/]")(
    calibrate
)
app.command(
    epilog="Example: [bold]salus convert my_bag --config mapping.yaml --out runs/bag.zarr[/]\n\n"
    "The same command goes on where it was stopped."
)(convert)
app.command(
    "export",
    epilog="Example: [bold]salus export runs/a.zarr --layout padded --out runs/padded.zarr[/]",
)(export_store)
app.command(
    "import",
    epilog="Example: [bold]salus import old.zarr --layout padded --out runs/old.zarr[/]",
)(import_store)
app.command(
    epilog="Example: [bold]salus label runs/bag.zarr[/]\n\n"
    "Without a window: [bold]salus label runs/bag.zarr --episode ID --outcome failure "
    "--type drop --step 31[/]"
)(label)
app.command(
    epilog="Example: [bold]salus train shipped:standard runs/a.zarr --out runs/tcn[/]\n\n"
    "Ctrl-C stops early and writes the best epoch so far; the same command then goes on.",
)(train_command())

Store = Annotated[Path, typer.Argument(help="Episode store.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")]


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
def info(
    store: Store,
    verify: Annotated[
        bool, typer.Option("--verify", help="Read it all and say what is damaged instead.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show what an episode store holds: episodes, outcomes, steps, gaps and size.

    With --verify it exits with 1 when something is wrong.
    """
    if verify:
        from salus_ros.cli.verify import verify_store

        if not verify_store(store, as_json):
            raise typer.Exit(EXIT_CHECK_FAILED)
        return
    from salus_ros.episodes.reader import StoreReader
    from salus_ros.reports.summary import store_summary, store_tables

    summary = store_summary(StoreReader(store))
    _print(summary, as_json, store_tables)


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
    from salus_ros.reports import write_report
    from salus_ros.reports.page import NUMBERS_NAME

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
