"""`salus policy evaluate`."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import AsJson, print_line, print_result
from salus_ros.cli.progress import bar
from salus_ros.cli.world_options import (
    Condition,
    Device,
    EnvId,
    Fault,
    NoiseMemory,
    NumSamples,
    ReplanEvery,
    Seed,
    Task,
    Workers,
)
from salus_ros.worlds.physics import ENV_ID


def evaluate(
    policy: Annotated[Path, typer.Argument(help="Policy folder.", show_default=False)],
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes.")] = 100,
    seed: Seed = 1_000_000,
    workers: Workers = 2,
    env_id: EnvId = ENV_ID,
    task: Task = "",
    fault: Fault = "none",
    condition: Condition = "standard",
    num_samples: NumSamples = 1,
    replan_every: ReplanEvery = 3,
    noise_memory: NoiseMemory = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Measure the success rate of a policy in a world that ships, by task."""
    from salus_ros.collection.config import CollectionConfig
    from salus_ros.collection.success import evaluate_policy
    from salus_ros.reports.tables.layout import listed
    from salus_ros.reports.tables.success import success_tables

    config = CollectionConfig(
        policy=policy,
        env_id=env_id,
        task=task,
        fault=fault,
        condition=condition,
        num_samples=num_samples,
        replan_every=replan_every,
        noise_memory=noise_memory,
        device=device,
    )
    with nullcontext(None) if as_json else bar("episodes", episodes) as advance:
        result = evaluate_policy(
            config,
            episodes,
            seed,
            workers,
            None if advance is None else lambda n, endings: advance(n, listed(endings)),
        )
    print_result(result, as_json, success_tables)
    if not as_json:
        print_line(
            f"{env_id}, seeds {seed} and on, condition {condition}, fault {fault}, "
            f"{result['mean_steps']:.0f} steps on average"
        )
