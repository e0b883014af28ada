"""`salus check policy`."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.help_text import add_verb
from salus_ros.cli.output import EXIT_CHECK_FAILED, AsJson, print_json, print_line
from salus_ros.cli.world_options import (
    Device,
    NumSamples,
)

check_app = typer.Typer(help="Check what others bring.", no_args_is_help=True)


def policy(
    folder: Annotated[Path, typer.Argument(help="Policy folder.", show_default=False)],
    num_samples: NumSamples = 4,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Try a LeRobot checkpoint: whether it loads, repeats, and does what it does without SALUS.

    Looks for causality, determinism from a seed, equality of the executed chunk with LeRobot's
    own call, normalisation, and measures the cost. Exits with 1 when a check fails.
    """
    from salus_ros.policies.conformance import check_policy

    findings = check_policy(folder, device, num_samples)
    if as_json:
        print_json({"policy": str(folder), "checks": [asdict(one) for one in findings]})
    else:
        words = {True: "ok", False: "FAILED", None: "-"}
        for one in findings:
            print_line(f"{words[one.passed]:<7}{one.check}: {one.detail}")
    if any(one.passed is False for one in findings):
        raise typer.Exit(EXIT_CHECK_FAILED)


@check_app.callback()
def _group() -> None:
    """Keep `policy` a verb of its own while it is the only one."""


add_verb(check_app, policy, "salus check policy runs/my_policy")
