"""`salus policy`: make, train and judge the small SmolVLA that ships; a reference for any."""

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from salus_ros.cli.progress import bar
from salus_ros.core.errors import ConfigError

policy_app = typer.Typer(
    help="Make demonstrations, train a tiny SmolVLA on them and measure its success.",
    no_args_is_help=True,
)
console = Console()
Policy = Annotated[Path, typer.Argument(help="Policy folder.", show_default=False)]
Demonstrations_ = Annotated[
    Path, typer.Argument(help="File made by `salus policy demonstrate`.", show_default=False)
]
DEFAULT_SEED = 100_000


@policy_app.command(
    epilog="Example: [bold]salus policy demonstrate --out runs/demos.npz --episodes 400[/]"
)
def demonstrate(
    out: Annotated[Path, typer.Option(help="File to write (.npz).")],
    episodes: Annotated[int, typer.Option(min=1, help="Successful episodes to keep.")] = 400,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first attempt.")] = DEFAULT_SEED,
    workers: Annotated[int, typer.Option(min=1, help="Parallel processes.")] = 2,
) -> None:
    """Record the scripted expert in the built-in world, with noise on its motion."""
    from salus_ros.collection.demonstrate import record
    from salus_ros.policies.tiny.build import TINY

    if out.suffix != ".npz":
        raise ConfigError(f"--out is '{out}'; give a file name that ends in .npz")
    with bar("demonstrations", episodes) as advance:
        demos = record(episodes, seed, TINY.image_px, workers, lambda n: advance(n))
    demos.save(out)
    console.print(f"{len(demos.ends)} episodes, {len(demos.state)} steps in {out}")


@policy_app.command(
    epilog="Example: [bold]salus policy train runs/demos.npz --out runs/tiny_smolvla[/]\n\n"
    "Ctrl-C or kill loses at most --save-every iterations; the same command goes on."
)
def train(
    demonstrations: Demonstrations_,
    out: Annotated[Path, typer.Option(help="Policy folder to write.")],
    iterations: Annotated[int, typer.Option(min=1, help="Gradient steps in all.")] = 12_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Steps per gradient step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of AdamW.")] = 6e-4,
    save_every: Annotated[int, typer.Option(min=1, help="Iterations between saves.")] = 250,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and batches.")] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
) -> None:
    """Train a tiny SmolVLA by flow matching on demonstrations."""
    from salus_ros.policies.tiny.demonstrations import Demonstrations
    from salus_ros.policies.tiny.training import PolicyTrainingConfig
    from salus_ros.policies.tiny.training import train as run

    config = PolicyTrainingConfig(
        iterations=iterations,
        batch_size=batch_size,
        learning_rate=learning_rate,
        save_every=save_every,
        seed=seed,
    )
    demos = Demonstrations.load(demonstrations)
    with bar("training", iterations) as advance:
        summary = run(demos, out, config, device, lambda i, loss: advance(i, f"loss {loss:.3f}"))
    console.print(f"loss {summary['loss']:.4f} after {summary['iterations']} iterations: {out}")


@policy_app.command(
    epilog="Example: [bold]salus policy evaluate runs/tiny_smolvla --episodes 300 --json[/]"
)
def evaluate(
    policy: Policy,
    episodes: Annotated[int, typer.Option(min=1, help="Held-out episodes.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the first episode.")] = 1_000_000,
    workers: Annotated[int, typer.Option(min=1, help="Parallel processes.")] = 2,
    task: Annotated[str, typer.Option(help="One instruction; drawn for each by default.")] = "",
    fault: Annotated[
        str, typer.Option(help="none, force, noise or slip for all; random: drawn for each.")
    ] = "none",
    condition: Annotated[str, typer.Option(help="standard or shifted.")] = "standard",
    num_samples: Annotated[int, typer.Option(min=1, help="Chunks per replan.")] = 1,
    replan_every: Annotated[int, typer.Option(min=1, help="Steps between replans.")] = 3,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Measure the success rate of a policy in the built-in world, by task."""
    from salus_ros.collection.config import CollectionConfig
    from salus_ros.collection.success import evaluate_policy

    config = CollectionConfig(
        policy=policy,
        task=task,
        fault=fault,
        condition=condition,
        num_samples=num_samples,
        replan_every=replan_every,
        device=device,
    )
    with nullcontext(None) if as_json else bar("episodes", episodes) as advance:
        result = evaluate_policy(
            config,
            episodes,
            seed,
            workers,
            None if advance is None else lambda n, endings: advance(n, _counts(endings)),
        )
    if as_json:
        typer.echo(json.dumps(result))
        return
    table = Table("task", "episodes", "success", "95 %", "endings")
    for name, row in (*result["tasks"].items(), ("all", result)):
        low, high = row["success_interval_95"]
        rate, interval = f"{row['success_rate']:.0%}", f"{low:.0%} to {high:.0%}"
        table.add_row(name, str(row["episodes"]), rate, interval, _counts(row["endings"]))
    console.print(table)
    console.print(
        f"seeds {seed} and on, condition {condition}, fault {fault}, "
        f"{result['mean_steps']:.0f} steps on average"
    )


@policy_app.command(
    epilog="Example: [bold]salus policy reference runs/tiny_smolvla runs/a.zarr[/]"
)
def reference(
    policy: Policy,
    stores: Annotated[
        list[str], typer.Argument(help="Episodes of that policy.", show_default=False)
    ],
) -> None:
    """Fit what latent_ood measures against: hidden states of successful episodes.

    Takes any SmolVLA checkpoint, and episodes of it that were collected, recorded or converted.
    """
    from salus_ros.collection.reference import fit_reference

    fitted = fit_reference(policy, stores)
    console.print(
        f"reference of {fitted.episodes} successful episodes, {fitted.replans} replans: {policy}"
    )
    if fitted.unknown:
        console.print(
            f"{fitted.unknown} episodes of unknown outcome were left out: "
            f"salus label {' '.join(stores)}"
        )


def _counts(endings: dict[str, Any]) -> str:
    return ", ".join(f"{name} {n}" for name, n in endings.items())
