"""Progress bars of the verbs, on stderr so that stdout stays for results."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

if TYPE_CHECKING:
    from salus_ros.training.fitting import EpochRecord


class Advance(Protocol):
    """Sets a bar to `done`, with a few words beside it."""

    def __call__(self, done: int, figures: str = "") -> None: ...  # noqa: D102


@contextmanager
def bar(description: str, total: int, console: Console | None = None) -> Iterator[Advance]:
    """Show a progress bar with elapsed and remaining time; yields the function that moves it.

    The bar appears with the first call, so that an error before it stands alone.
    """
    columns = (
        TextColumn(description),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[figures]}"),
    )
    progress = Progress(*columns, console=console or Console(stderr=True))
    task = progress.add_task(description, total=total, figures="")

    def advance(done: int, figures: str = "") -> None:
        progress.start()
        progress.update(task, completed=done, figures=figures)

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()


@contextmanager
def epoch_bar(console: Console, epochs: int) -> Iterator[Callable[["EpochRecord"], None]]:
    """Show a bar of training epochs; yields the function to call after each."""
    with bar("training", epochs, console) as advance:
        done = 0

        def on_epoch(record: "EpochRecord") -> None:
            nonlocal done
            done += 1
            figures = f"loss {record.train_loss:.4f}"
            if record.validation_loss is not None:
                figures += f", validation loss {record.validation_loss:.4f}"
            if record.validation_f1 is not None:
                figures += f", F1 {record.validation_f1:.3f}"
            advance(done, figures)

        yield on_epoch
