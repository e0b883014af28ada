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
    """Show a bar of training epochs; yields the function to call after each.

    The bar appears with the first epoch, so that an error before it stands alone.
    """
    columns = (
        TextColumn("training"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    progress = Progress(*columns, console=console)
    task = progress.add_task("training", total=epochs, figures="")

    def on_epoch(record: "EpochRecord") -> None:
        figures = f"loss {record.train_loss:.4f}"
        if record.validation_loss is not None:
            figures += f", validation loss {record.validation_loss:.4f}"
        if record.validation_f1 is not None:
            figures += f", F1 {record.validation_f1:.3f}"
        progress.start()
        progress.update(task, advance=1, figures=figures)

    try:
        yield on_epoch
    finally:
        if progress.live.is_started:
            progress.stop()
