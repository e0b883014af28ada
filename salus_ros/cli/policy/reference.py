"""`salus policy reference`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import print_line


def reference(
    policy: Annotated[Path, typer.Argument(help="Policy folder.", show_default=False)],
    store: Annotated[Path, typer.Argument(help="Episodes of that policy.", show_default=False)],
) -> None:
    """Fit what latent_ood measures against: hidden states of successful episodes."""
    from salus_ros.collection.reference import fit_reference

    fitted = fit_reference(policy, store)
    print_line(
        f"reference of {fitted.episodes} successful episodes, {fitted.replans} replans: {policy}"
    )
    if fitted.unknown:
        print_line(
            f"{fitted.unknown} episodes of unknown outcome were left out: salus label {store}"
        )
