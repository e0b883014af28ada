"""`salus manifold`: where successes run, and how far beside them a step is."""

import typer

from salus_ros.cli.help_text import add_verb
from salus_ros.cli.manifold.evaluate import evaluate
from salus_ros.cli.manifold.train import train

manifold_app = typer.Typer(
    help="Learn where successes run, and how far beside them a step is.",
    no_args_is_help=True,
)
add_verb(manifold_app, train, "salus manifold train shipped:standard --out runs/card.safetensors")
add_verb(
    manifold_app,
    evaluate,
    "salus manifold evaluate shipped:standard --manifold runs/card.safetensors --page runs/map",
)
