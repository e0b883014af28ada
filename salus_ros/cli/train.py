"""`salus train`: one option for every setting of a training run."""

import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from salus_ros.cli.output import EXIT_INTERRUPTED, err_console, out_console, print_json
from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import ALL_FAILURE_TYPES, FAILURE_TYPES
from salus_ros.core.failures import failure_types as read_types
from salus_ros.prediction.config import PRESETS, TrainingConfig, describe

TENSORBOARD_FOLDER = "tensorboard"

_DEFAULT = tuple(kind.label for kind in FAILURE_TYPES)
_ALL = tuple(kind.label for kind in ALL_FAILURE_TYPES)


def train(
    stores: list[Path],
    out: Path,
    model: str,
    failure_types: str | None,
    device: str,
    as_json: bool,
    **settings: Any,
) -> None:
    """Train a failure predictor on recorded episodes, split by episode.

    Labels follow from how each episode ended; episodes without a known outcome are left out.
    --model chooses a network with settings that suit it, and each setting can be given.
    Several GPUs share the work under `torchrun --nproc-per-node N --no-python salus train ...` or
    `accelerate launch --num_processes N --no_python salus train ...`.
    """
    if model not in PRESETS:
        raise ConfigError(f"model is {model!r}; allowed is one of {', '.join(PRESETS)}")
    given = {name: _parsed(name, value) for name, value in settings.items() if value is not None}
    config = replace(PRESETS[model], **given)
    if limit := given.get("time_limit_steps"):
        if "inputs" in given and "clock" not in config.inputs:
            raise ConfigError(
                f"time_limit_steps is {limit}, but the clock, which reads it, is not among the "
                f"inputs {', '.join(config.inputs)}; add clock to them, or leave the limit out"
            )
        config = config.with_time_limit(limit)
    types = None if failure_types is None else read_types(_listed(failure_types))

    from salus_ros.cli.progress import epoch_bar
    from salus_ros.evaluation.predictor_evaluation import evaluate
    from salus_ros.reports.figures.learning_curves import save_learning_curves
    from salus_ros.reports.tables.training import training_tables
    from salus_ros.training.acceleration import processes
    from salus_ros.training.dataset import load_samples
    from salus_ros.training.train import train_predictor, without_lacking

    samples = load_samples(stores, failure_types=types, inputs=config.inputs)
    wanted = config.inputs
    if "inputs" not in given:
        config = without_lacking(config, samples)
    lacking = [name for name in wanted if name not in config.inputs]
    with (
        processes(device) as first,
        epoch_bar(Console(stderr=True, quiet=not first), config.epochs) as on_epoch,
    ):
        results = train_predictor(samples, out, evaluate, config, device, on_epoch)
    if not first:
        return
    save_learning_curves(results, out / "learning_curves.png")
    _write_tensorboard(results, out / TENSORBOARD_FOLDER)
    if as_json:
        print_json(results)
    else:
        for table in training_tables(results):
            out_console.print(table)
    if lacking:
        err_console.print(
            f"the episodes have no {', '.join(lacking)} (or not all alike), so none was used"
        )
    if results["interrupted"]:
        err_console.print(
            f"interrupted; the best of {results['epochs_run']} epochs is in {out}, and the same "
            "command goes on with the next"
        )
        raise typer.Exit(EXIT_INTERRUPTED)


def train_command() -> Callable[..., None]:
    """Return `train` with the signature that typer reads, an option for each setting."""

    def option(annotation: Any, help_text: str, default: Any, name: str, *flags: str) -> Any:
        return inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            default=default,
            annotation=Annotated[annotation, typer.Option(*flags, help=help_text)],
        )

    stores = inspect.Parameter(
        "stores",
        inspect.Parameter.KEYWORD_ONLY,
        annotation=Annotated[
            list[Path],
            typer.Argument(metavar="STORE...", help="Episode stores.", show_default=False),
        ],
    )
    parameters = [
        stores,
        option(
            Path,
            "Folder for best_predictor.pt, training_results.json, figures and TensorBoard logs.",
            inspect.Parameter.empty,
            "out",
        ),
        option(
            str,
            f"Network and its settings: {', '.join(PRESETS)}. The options below change them.",
            next(iter(PRESETS)),
            "model",
        ),
        option(
            str | None,
            f"Kinds of failure to tell apart, of {', '.join(_ALL)}, separated by commas: each is "
            "an output, and a failure counts as the finest of them that covers it, or as none. "
            f"By default those of the first store ({','.join(_DEFAULT)}, unless a model recorded "
            "with it has others).",
            None,
            "failure_types",
        ),
        *(_setting(one.name, option) for one in fields(TrainingConfig) if one.name != "model"),
        option(str, "Where to train: cpu, cuda or cuda:N.", "cpu", "device"),
        option(bool, "Print one JSON object and nothing else.", False, "as_json", "--json"),
    ]

    def command(**values: Any) -> None:
        train(**values)

    command.__doc__ = train.__doc__
    command.__name__ = "train"
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _setting(name: str, option: Callable[..., Any]) -> Any:
    default = getattr(PRESETS[next(iter(PRESETS))], name)
    kind = str if isinstance(default, tuple) else type(default)
    shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
    listed = " Separated by commas." if isinstance(default, tuple) else ""
    text = f"{describe(name)}{listed} ({next(iter(PRESETS))}: {shown})"
    flags = ("--eventual/--no-eventual",) if kind is bool else ()
    return option(kind | None, text, None, name, *flags)


def _parsed(name: str, value: Any) -> Any:
    if not isinstance(getattr(TrainingConfig(), name), tuple):
        return value
    parts = _listed(value)
    if name != "hidden":
        return parts
    try:
        return tuple(int(part) for part in parts)
    except ValueError:
        raise ConfigError(f"hidden is {value!r}; allowed are widths like 64,128,128,64") from None


def _listed(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def _write_tensorboard(results: dict[str, Any], folder: Path) -> None:
    """Write the history for `tensorboard --logdir`; anew, so that a resumed run is one curve."""
    from tensorboardX import SummaryWriter

    for old in folder.glob("events.*"):
        old.unlink()
    with SummaryWriter(str(folder), write_to_disk=True) as writer:
        for record in results["history"]:
            for name, value in record.items():
                if name != "epoch" and value is not None:
                    writer.add_scalar(name, value, record["epoch"])
