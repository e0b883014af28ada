"""`salus doctor`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import EXIT_CHECK_FAILED, AsJson, print_result


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
    from salus_ros.cli.machine import examine
    from salus_ros.reports.tables.checks import check_tables

    checks = [check.to_dict() for check in examine(policy, store)]
    print_result({"checks": checks}, as_json, check_tables)
    if any(check["state"] == "missing" for check in checks):
        raise typer.Exit(EXIT_CHECK_FAILED)
