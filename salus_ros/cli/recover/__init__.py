"""`salus recover`: what a foreseen failure is worth when somebody acts on it."""

import typer

from salus_ros.cli.help_text import add_verb
from salus_ros.cli.recover.trial import trial

recover_app = typer.Typer(
    help="Act on a foreseen failure, and measure what that gains.",
    no_args_is_help=True,
)
add_verb(
    recover_app,
    trial,
    "salus recover trial --model runs/tcn --episodes 400 --out runs/trial.json",
    "Ctrl-C or kill loses only what is in flight; the same command goes on.",
)
