"""`salus policy train`."""

from pathlib import Path
from typing import Annotated

import typer

from salus_ros.cli.output import print_line
from salus_ros.cli.progress import bar


def train(
    demonstrations: Annotated[
        Path, typer.Argument(help="File made by `salus policy demonstrate`.", show_default=False)
    ],
    out: Annotated[Path, typer.Option(help="Policy folder to write.")],
    init: Annotated[
        Path | None,
        typer.Option(help="Policy folder whose weights to begin with; random ones by default."),
    ] = None,
    iterations: Annotated[int, typer.Option(min=1, help="Gradient steps in all.")] = 12_000,
    batch_size: Annotated[int, typer.Option(min=1, help="Steps per gradient step.")] = 32,
    learning_rate: Annotated[float, typer.Option(help="Peak rate of AdamW.")] = 6e-4,
    save_every: Annotated[int, typer.Option(min=1, help="Iterations between saves.")] = 250,
    seed: Annotated[int, typer.Option(min=0, help="Seed of weights and batches.")] = 0,
    noise_memory: Annotated[
        float,
        typer.Option(
            min=0.0,
            help="Steps in which the noise of its chunks shall be forgotten when the policy is "
            "run; 0: drawn anew at each replan.",
        ),
    ] = 0.0,
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
        noise_memory=noise_memory,
    )
    demos = Demonstrations.load(demonstrations)
    with bar("training", iterations) as advance:
        summary = run(
            demos, out, config, device, lambda i, loss: advance(i, f"loss {loss:.3f}"), init
        )
    print_line(f"loss {summary['loss']:.4f} after {summary['iterations']} iterations: {out}")
