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

    Given a policy and a store, it says what of them does not go together: cameras, sizes,
    normalisation and units, order of joints, rate. Exits with 1 when something is missing that
    recording and predicting need.
    """
    from salus_ros.cli.machine import examine
    from salus_ros.cli.policy_fit import fit_checks
    from salus_ros.reports.tables.checks import check_tables

    found = examine(policy, store)
    if policy is not None and store is not None and found[-1].state == found[-2].state == "ok":
        found += fit_checks(policy, store)
    checks = [check.to_dict() for check in found]
    print_result({"checks": checks}, as_json, check_tables)
    if any(check["state"] == "missing" for check in checks):
        raise typer.Exit(EXIT_CHECK_FAILED)
