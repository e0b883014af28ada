"""`salus collect`."""

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from salus_ros.cli.output import EXIT_INTERRUPTED, AsJson, err_console, print_result
from salus_ros.cli.progress import bar
from salus_ros.cli.world_options import (
    Condition,
    Device,
    EnvId,
    Fault,
    NoiseMemory,
    NumSamples,
    Policy,
    ReplanEvery,
    Seed,
    Task,
)
from salus_ros.worlds.physics import ENV_ID

if TYPE_CHECKING:
    from salus_ros.collection.collect import CollectionResult


def collect(
    out: Annotated[Path, typer.Option(help="Folder of the episode store; made or gone on with.")],
    episodes: Annotated[int, typer.Option(min=1, help="Episodes in all.")] = 100,
    seed: Seed = 0,
    workers: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Parallel processes, one core each; 2 by default, with --ray all CPUs of the "
            "cluster.",
        ),
    ] = None,
    ray: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESS",
            help="Spread the workers over a Ray cluster (host:port, or auto); its machines need "
            "SALUS, and the policy at the same path. Needs the extra: salus_ros[ray].",
        ),
    ] = None,
    policy: Policy = None,
    env_id: EnvId = ENV_ID,
    task: Task = "",
    fault: Fault = "random",
    fault_rate: Annotated[
        float | None,
        typer.Option(
            help="Share of the episodes that get each fault, where it is drawn; the world's own "
            "by default (v0: 0.1, v1: 0.03)."
        ),
    ] = None,
    condition: Condition = "standard",
    num_samples: NumSamples = 4,
    replan_every: ReplanEvery = 3,
    noise_memory: NoiseMemory = None,
    plan_samples: Annotated[
        bool, typer.Option(help="Keep all planned chunks, not only the one that is executed.")
    ] = False,
    truth: Annotated[
        bool,
        typer.Option(
            help="Keep poses and contact forces, which only the world knows, to measure."
        ),
    ] = True,
    lookahead: Annotated[
        bool,
        typer.Option(help="Keep what is seen ahead along the plan, see `salus lookahead`."),
    ] = False,
    images: Annotated[
        bool, typer.Option(help="Keep the images (some 10 MB an episode on disk).")
    ] = False,
    image_codec: Annotated[
        str, typer.Option(help="Compression of a new store's images: lossless, or jpeg.")
    ] = "lossless",
    envs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Episodes side by side in a process; 8 by default, 2 with images."
        ),
    ] = None,
    device: Device = "cpu",
    as_json: AsJson = False,
) -> None:
    """Run a policy in a world that ships and record episodes with signals, without ROS.

    An episode depends on its seed and the options alone, not on --workers or --envs.
    """
    from salus_ros.collection.cluster import RayCluster
    from salus_ros.collection.collect import collect as run
    from salus_ros.collection.config import CollectionConfig
    from salus_ros.policies.cameras import in_words
    from salus_ros.policies.tiny import shipped_policy
    from salus_ros.reports.tables.collected import collected_tables

    config = CollectionConfig(
        policy=(policy or shipped_policy(env_id)).absolute(),
        env_id=env_id,
        task=task,
        fault=fault,
        fault_rate=fault_rate,
        condition=condition,
        num_samples=num_samples,
        replan_every=replan_every,
        noise_memory=noise_memory,
        plan_samples=plan_samples,
        truth=truth,
        lookahead=lookahead,
        images=images,
        image_codec=image_codec,
        envs=envs or (2 if images else 8),
        device=device,
    )
    try:
        with (
            nullcontext() if ray is None else RayCluster(ray) as cluster,
            nullcontext() if as_json else bar("episodes", episodes, err_console) as advance,
        ):

            def progress(result: "CollectionResult") -> None:
                if advance is not None:
                    advance(result.episodes, _status(result))

            count = workers or (2 if cluster is None else max(1, cluster.cpus))
            result = run(config, out, episodes, seed, count, progress, cluster)
    except KeyboardInterrupt:
        err_console.print(f"stopped; {out} keeps every whole episode, the same command goes on")
        raise typer.Exit(EXIT_INTERRUPTED) from None
    if any(ours != theirs for ours, theirs in result.camera_of.items()):
        err_console.print(f"cameras of the policy: {in_words(result.camera_of)} of the world")
    for name, reason in result.unavailable.items():
        err_console.print(f"{name} never exists: {reason}")
    print_result(_summary(result), as_json, collected_tables)


def _status(result: "CollectionResult") -> str:
    from salus_ros.reports.tables.layout import listed

    speed = f"{result.steps / result.seconds:.0f} steps/s"
    return f"{listed(dict(result.endings.most_common()))}; {speed}"


def _summary(result: "CollectionResult") -> dict[str, Any]:
    return {
        "episodes": result.episodes,
        "collected": result.collected,
        "steps": result.steps,
        "seconds": result.seconds,
        "loading_s": result.loading_s,
        "steps_per_s": result.steps / result.seconds if result.collected else None,
        "endings": dict(result.endings.most_common()),
        "cameras": result.camera_of,
        "unavailable_signals": result.unavailable,
        "worker_restarts": result.restarts,
        "worker_peak_mb": max(result.peak_mb, default=None),
    }
