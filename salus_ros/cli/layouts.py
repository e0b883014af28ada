"""The layouts that `salus export` and `salus import` know."""

from enum import StrEnum
from typing import Annotated

import typer


class Layout(StrEnum):
    """Layouts of other programs that episodes are exported to and imported from."""

    PADDED = "padded"
    LEROBOT = "lerobot"
    MCAP = "mcap"


LayoutOption = Annotated[
    Layout,
    typer.Option(
        "--layout",
        help="padded: zarr arrays (E, T, ...); lerobot: a LeRobotDataset; mcap, export alone: "
        "files for Foxglove and Rerun, and a layout.",
    ),
]
