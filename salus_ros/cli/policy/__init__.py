"""`salus policy`: make, train and judge the small SmolVLA that ships; a reference for any."""

import typer

from salus_ros.cli.help_text import add_verb
from salus_ros.cli.policy.copy import copy
from salus_ros.cli.policy.demonstrate import demonstrate
from salus_ros.cli.policy.evaluate import evaluate
from salus_ros.cli.policy.reference import reference
from salus_ros.cli.policy.train import train

policy_app = typer.Typer(
    help="Make demonstrations, train a tiny SmolVLA on them and measure its success.",
    no_args_is_help=True,
)
add_verb(
    policy_app,
    demonstrate,
    "salus policy demonstrate --out runs/demos.npz --episodes 400",
)
add_verb(
    policy_app,
    train,
    "salus policy train runs/demos.npz --out runs/tiny_smolvla",
    "Ctrl-C or kill loses at most --save-every iterations; the same command goes on.",
)
add_verb(policy_app, evaluate, "salus policy evaluate runs/tiny_smolvla --episodes 300 --json")
add_verb(policy_app, reference, "salus policy reference runs/tiny_smolvla runs/a.zarr")
add_verb(policy_app, copy, "salus policy copy runs/tiny_smolvla --out runs/base")
