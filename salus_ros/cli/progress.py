"""Progress bars of the verbs, on stderr so that stdout stays for results."""

import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.text import Text

if TYPE_CHECKING:
    from salus_ros.training.fitting import EpochRecord


LINE_EVERY_S = 30.0


class Advance(Protocol):
    """Sets a bar to `done`, with a few words below it."""

    def __call__(self, done: int, status: str = "") -> None: ...  # noqa: D102


class _WithStatus(Progress):
    """A bar, and below it a line of its own for the status: 80 columns do not hold both."""

    def get_renderables(self) -> Iterable[RenderableType]:
        """The bar and its status."""
        yield self.make_tasks_table(self.tasks)
        for task in self.tasks:
            if status := task.fields["status"]:
                yield Text(f"  {status}", style="dim", no_wrap=True, overflow="ellipsis")


@contextmanager
def bar(description: str, total: int, console: Console | None = None) -> Iterator[Advance]:
    """Show a progress bar with elapsed and remaining time; yields the function that moves it.

    The bar appears with the first call, so that an error before it stands alone. Where no terminal
    shows it, as in a log, a plain line is written instead, twice a minute at most.
    """
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _plain(description, total, console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
    )
    progress = _WithStatus(*columns, console=console)
    task = progress.add_task(description, total=total, status="")

    def advance(done: int, status: str = "") -> None:
        progress.start()
        progress.update(task, completed=done, status=status)

    try:
        yield advance
    finally:
        if progress.live.is_started:
            progress.stop()


def _plain(description: str, total: int, console: Console) -> Advance:
    told = -math.inf

    def advance(done: int, status: str = "") -> None:
        nonlocal told
        now = time.monotonic()
        if now - told >= LINE_EVERY_S or done >= total:
            told = now
            console.print(f"{description} {done}/{total} {status}".rstrip(), highlight=False)

    return advance


@contextmanager
def epoch_bar(console: Console, epochs: int) -> Iterator[Callable[["EpochRecord"], None]]:
    """Show a bar of training epochs; yields the function to call after each."""
    with bar("training", epochs, console) as advance:
        done = 0

        def on_epoch(record: "EpochRecord") -> None:
            nonlocal done
            done += 1
            advance(done, _losses(record))

        yield on_epoch


def _losses(record: "EpochRecord") -> str:
    """The losses as trained, by the names that the table of the results has."""
    status = f"training loss {record.train_loss:.4f}"
    if record.validation_loss is not None:
        status += f", validation loss {record.validation_loss:.4f}"
    if record.validation_average_precision is not None:
        status += f", average precision {record.validation_average_precision:.3f}"
    return status
