"""The `salus` command: its verbs, each in a module of its own, and what an error looks like.

Imports of torch, zarr and matplotlib are in the verbs, so that `salus --help` answers at once.
"""

import sys
from typing import Annotated

import typer
from rich.text import Text

from salus_ros import __version__
from salus_ros.cli.adapt import adapt
from salus_ros.cli.benchmark import benchmark
from salus_ros.cli.calibrate import calibrate
from salus_ros.cli.check_policy import check_app
from salus_ros.cli.collect import collect
from salus_ros.cli.convert import convert
from salus_ros.cli.demo import demo
from salus_ros.cli.doctor import doctor
from salus_ros.cli.evaluate import evaluate
from salus_ros.cli.export_store import export_store
from salus_ros.cli.help_text import add_verb
from salus_ros.cli.import_store import import_store
from salus_ros.cli.info import info
from salus_ros.cli.label import label
from salus_ros.cli.lookahead import lookahead
from salus_ros.cli.manifold import manifold_app
from salus_ros.cli.output import EXIT_ERROR, err_console, out_console
from salus_ros.cli.pack import pack
from salus_ros.cli.policy import policy_app
from salus_ros.cli.predict import predict
from salus_ros.cli.recover import recover_app
from salus_ros.cli.report import report
from salus_ros.cli.train import train_command
from salus_ros.cli.view import view
from salus_ros.cli.world import world_app
from salus_ros.core.errors import SalusError

START, RECORD, EPISODES, LEARN = (
    "Start here",
    "Record episodes",
    "Work with episodes",
    "Learn to predict failures",
)
"""Panels of `salus --help`, in its order."""

app = typer.Typer(
    name="salus",
    help="Record, train and evaluate live failure prediction for vision-language-action policies.",
    epilog="An episode store is a folder (runs/a.zarr), a packed file (a.zarr.zip), or one that "
    "comes with SALUS: shipped:standard, shipped:shifted, shipped:pictures.\n\n"
    "Exit codes: 0 done, 1 a check failed, 2 an error that the message explains, 130 stopped.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)

add_verb(
    app,
    demo,
    "salus demo --episodes 24",
    "It takes some two minutes; Ctrl-C stops it, and whole episodes are kept.",
    panel=START,
)
add_verb(
    app,
    doctor,
    "salus doctor --policy runs/my_policy --store runs/a.zarr",
    panel=START,
)
add_verb(
    app,
    collect,
    "salus collect --episodes 500 --workers 2 --out runs/a.zarr",
    "Ctrl-C or kill loses only the episodes in flight; the same command goes on.",
    panel=RECORD,
)
add_verb(
    app,
    convert,
    "salus convert my_bag --config mapping.yaml --out runs/bag.zarr",
    "The same command goes on where it was stopped.",
    panel=RECORD,
)
add_verb(
    app,
    import_store,
    "salus import old.zarr --layout padded --out runs/old.zarr",
    name="import",
    panel=RECORD,
)
app.add_typer(policy_app, name="policy", rich_help_panel=RECORD)
app.add_typer(check_app, name="check", rich_help_panel=RECORD)
app.add_typer(world_app, name="world", rich_help_panel=RECORD)
add_verb(app, info, "salus info runs/a.zarr --json", panel=EPISODES)
add_verb(
    app,
    label,
    "salus label runs/bag.zarr",
    "Without a window: [bold]salus label runs/bag.zarr --episode ID --outcome failure "
    "--type drop --step 31[/]",
    panel=EPISODES,
)
add_verb(
    app,
    report,
    "salus report runs/a.zarr runs/b.zarr --out report",
    "index.html needs no other file; the figures and report.json lie beside it.",
    panel=EPISODES,
)
add_verb(
    app,
    view,
    "salus view runs/a.zarr --episode 3",
    "The running graph: [bold]ros2 launch salus_ros salus.launch.py view:=true[/]",
    panel=EPISODES,
)
add_verb(
    app,
    pack,
    "salus pack runs/a.zarr runs/b.zarr --out runs/ab.zarr.zip",
    "Plain zarr reads the file too; images are kept without loss.",
    panel=EPISODES,
)
add_verb(
    app,
    export_store,
    "salus export runs/a.zarr --layout padded --out runs/padded.zarr",
    name="export",
    panel=EPISODES,
)
add_verb(
    app,
    adapt,
    "salus adapt runs/arm.zarr --out runs/arm_model",
    "The predictor node takes the folder: model_path.",
    panel=LEARN,
)
add_verb(
    app,
    train_command(),
    "salus train shipped:standard runs/a.zarr --out runs/tcn",
    "Ctrl-C stops early and writes the best epoch so far; the same command then goes on.",
    panel=LEARN,
)
add_verb(app, calibrate, "salus calibrate runs/tcn shipped:standard --alpha 0.05", panel=LEARN)
add_verb(
    app,
    evaluate,
    "salus evaluate runs/tcn shipped:standard --out runs/tcn/evaluation",
    panel=LEARN,
)
add_verb(
    app,
    predict,
    "salus predict shipped:shifted --model runs/tcn --out runs/predicted.zarr",
    panel=LEARN,
)
add_verb(
    app,
    lookahead,
    "salus lookahead runs/a.zarr --out runs/a_lookahead.zarr --workers 2",
    "Ctrl-C or kill loses only the episodes in flight; the same command goes on.",
    panel=LEARN,
)
add_verb(
    app, benchmark, "salus benchmark shipped:standard --held-out shipped:shifted", panel=LEARN
)
app.add_typer(manifold_app, name="manifold", rich_help_panel=LEARN)
app.add_typer(recover_app, name="recover", rich_help_panel=LEARN)


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


def main() -> None:
    """Run the command; an error that SALUS raises on purpose is one red line and exit code 2."""
    try:
        app(prog_name="salus")
    except SalusError as error:
        line = " ".join(str(error).split())
        err_console.print(Text.assemble(("error: ", "bold red"), (line, "red")), soft_wrap=True)
        sys.exit(EXIT_ERROR)
