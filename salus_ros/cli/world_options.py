"""Options of the verbs that run a world that ships."""

from pathlib import Path
from typing import Annotated

import typer

EnvId = Annotated[
    str,
    typer.Option(
        help="World: salus/PickPlace-v1, whose failures build up; the first, PickPlace-v0; or "
        "PickPlace-physx, v1 with PhysX under it (make physx), PickPlace-physx-newton with images "
        "by Newton's ray tracer, PickPlace-isaac in Isaac Sim (docs/isaac.md). MetaWorld-v3 or, "
        "with smaller images, MetaWorldSmall-v3: eight tasks of MetaWorld (extra metaworld)."
    ),
]
Task = Annotated[str, typer.Option(help="One instruction; drawn for each by default.")]
Fault = Annotated[
    str, typer.Option(help="none, force, noise or slip for all; random: drawn for each.")
]
Condition = Annotated[
    str, typer.Option(help="standard, or shifted: poses, light and faults not trained on.")
]
NumSamples = Annotated[int, typer.Option(min=1, help="Chunks per replan.")]
ReplanEvery = Annotated[int, typer.Option(min=1, help="Steps between replans.")]
NoiseMemory = Annotated[
    float | None,
    typer.Option(
        min=0.0,
        help="Steps in which the noise of the sampled chunks is forgotten; 0: drawn anew at each "
        "replan. The policy's own by default.",
    ),
]
Workers = Annotated[int, typer.Option(min=1, help="Parallel processes, one core each.")]
Device = Annotated[str, typer.Option(help="Where to run the policy: cpu, cuda or cuda:N.")]

Policy = Annotated[
    Path | None, typer.Option(help="Policy folder; the shipped one of the world by default.")
]
Seed = Annotated[int, typer.Option(min=0, help="Seed of the first; the next has one more.")]
