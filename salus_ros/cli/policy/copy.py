"""`salus policy copy`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import print_line


def copy(
    policy: Annotated[Path, typer.Argument(help="Policy folder.", show_default=False)],
    out: Annotated[Path, typer.Option(help="Folder to write.")],
) -> None:
    """Copy a SmolVLA so that lerobot-train can go on from it, started anywhere.

    Its checkpoints load in SALUS as long as the copy is where it was made.
    """
    from salus_ros.policies.smolvla.backbone import copy_to_train

    copy_to_train(policy, out)
    print_line(f"go on from it: lerobot-train --policy.path={out.absolute()}")
