"""Progress bars of the verbs, on stderr so that stdout stays for results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

if TYPE_CHECKING:
    from salus_ros.prediction.training import EpochRecord


@contextmanager
def epoch_bar(console: Console, epochs: int) -> Iterator[Callable[["EpochRecord"], None]]:
    """Show a bar of training epochs; yields the function to call after each."""
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("training", total=epochs, figures="")

        def on_epoch(record: "EpochRecord") -> None:
            figures = f"loss {record.train_loss:.4f}"
            if record.validation_loss is not None:
                figures += f", validation loss {record.validation_loss:.4f}"
            if record.validation_f1 is not None:
                figures += f", F1 {record.validation_f1:.3f}"
            progress.update(task, advance=1, figures=figures)

        yield on_epoch
