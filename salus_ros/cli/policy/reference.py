"""`salus policy reference`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import print_line


def reference(
    policy: Annotated[Path, typer.Argument(help="Policy folder.", show_default=False)],
    stores: Annotated[
        list[str],
        typer.Argument(metavar="STORE...", help="Episodes of that policy.", show_default=False),
    ],
) -> None:
    """Fit what latent_ood measures against: hidden states of successful episodes.

    Takes any policy whose hidden state SALUS reads (SmolVLA, ACT, diffusion), and episodes of it
    that were collected, recorded or converted.
    """
    from salus_ros.collection.reference import fit_reference

    fitted = fit_reference(policy, stores)
    print_line(
        f"reference of {fitted.episodes} successful episodes, {fitted.replans} replans: {policy}"
    )
    if fitted.unknown:
        print_line(
            f"{fitted.unknown} episodes of unknown outcome were left out: "
            f"salus label {' '.join(stores)}"
        )
