"""Options of the verbs that measure what detectors are worth."""

from pathlib import Path
from typing import Annotated

import typer

LimitsFile = Annotated[
    Path | None,
    typer.Option(
        help="What is knowable of such episodes, from benchmark/knowable.py --json: stands beside "
        "the average precision of each type and horizon, with the share that is reached.",
        show_default=False,
    ),
]
AtSteps = Annotated[
    list[int] | None,
    typer.Option(
        "--at-step",
        min=0,
        help="Step at which the episodes still running are ranked, beside shares of the time "
        "limit; may be repeated. 15, 30, 50, 75 and 100 by default.",
        show_default=False,
    ),
]
