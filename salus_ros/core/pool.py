"""Worker processes that share out tasks; what they make comes back in the order of the tasks.

A worker asks for a task when it has room for one and sends pieces of what it makes, each as soon
as it is there. It is held to one core, hears nothing of Ctrl-C, and ends with its parent. Workers
are forked off a server process that has imported what they need, so that libraries which take ten
seconds to import do so once and not in each.
"""

import multiprocessing
import os
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from functools import partial
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Protocol, Self

from salus_ros.core.errors import SalusError

DEATHS_IN_A_ROW = 3
"""After so many deaths of workers in which no task was ended, none is started again."""

STOP_TIMEOUT_S = 5.0

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "1"}
"""Holds torch and Mesa's software renderer to one core each; read when they are imported."""


class _Word(Enum):
    """What a message is, and so what follows it."""

    ASK = auto()  # from a worker: it has room for a task
    TASK = auto()  # answers: here it is; none now; never again
    LATER = auto()
    END = auto()
    PIECE = auto()  # from a worker: see `Desk`
    DONE = auto()
    PROGRESS = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Lost:
    """In place of the rest of a task whose worker died.

    Attributes:
        exit_code: Of the worker; -9 where it was killed by SIGKILL.
    """

    exit_code: int | None


class Desk[Task: Hashable, Piece]:
    """A worker's side of the pool: iterating gives tasks, `send` and `done` give them back.

    A task may be worked on beside others: None is given where there is no further one now, and
    only to a worker that has one to go on with. The iteration ends when there are no more.
    """

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe

    def __iter__(self) -> Iterator[Task | None]:
        """Tasks to work on."""
        while True:
            self._say(_Word.ASK)
            try:
                word, task = self._pipe.recv()
            except (EOFError, ConnectionError):
                raise SystemExit from None
            if word is _Word.END:
                return
            yield task

    def send(self, task: Task, piece: Piece) -> None:
        """Give the next piece of what becomes of a task; waits while too much is ahead."""
        self._say(_Word.PIECE, task, piece)

    def done(self, task: Task) -> None:
        """Say that a task has no further piece."""
        self._say(_Word.DONE, task)

    def progress(self, task: Task, *figures: Any) -> None:
        """Tell the parent's `on_progress` at once how far a task is."""
        self._say(_Word.PROGRESS, task, figures)

    def fail(self, error: SalusError) -> None:
        """Say that the worker cannot go on."""
        self._say(_Word.FAILED, error)

    def _say(self, *message: Any) -> None:
        try:
            self._pipe.send(message)
        except ConnectionError:
            raise SystemExit from None  # nobody listens any more


class Process(Protocol):
    """What a pool asks of a worker's process; `multiprocessing`'s have it."""

    @property
    def exitcode(self) -> int | None: ...  # noqa: D102
    def terminate(self) -> None: ...  # noqa: D102
    def kill(self) -> None: ...  # noqa: D102
    def join(self, timeout: float | None = None) -> None: ...  # noqa: D102
    def is_alive(self) -> bool: ...  # noqa: D102


@dataclass(slots=True, eq=False)
class _Worker[Task]:
    process: Process
    pipe: Connection
    tasks: set[Task] = field(default_factory=set)
    """Handed out and not done."""
    waiting: bool = False
    """For a task, with nothing else to do."""
    dismissed: bool = False
    """Told that there is none for it."""


@dataclass(slots=True)
class _Made:
    """What has become of a task so far."""

    pieces: deque[tuple[Any, int]] = field(default_factory=deque)
    """With the size of each."""
    done: bool = False
    error: Exception | None = None


class Pool[Task: Hashable, Piece]:
    """Runs tasks in parallel processes; a context manager whose end ends them.

    Attributes:
        restarts: Workers that died and were started again.

    Args:
        work: Run in each worker, with its `Desk`; picklable, as are tasks and pieces. A
            SalusError that it raises travels.
        tasks: In the order in which their pieces are wanted; no two are equal.
        workers: Number of processes at most.
        restart: Whether the tasks of a worker that died are run again, which needs them to be
            repeatable; a task's pieces are then given when it is done, else as they come, with
            `Lost` in place of those that a death took.
        ahead: Tasks, at least 1, that may be handed out before the first of them is over.
        size: Bytes of a piece.
        held_bytes: Pieces of so many bytes wait for those before them; then their workers wait.
        on_progress: Told a task and what its worker says of it, as soon as it comes.
        advice: What to do where workers die again and again.
        start: Starts a worker: gives its process, and the pipe whose other end its `Desk` has.
        preload: Modules that the server imports before it forks workers off; none that starts
            threads or opens a device when it is imported, as mujoco does for rendering. The first
            pool of a process decides.
        deaths: After so many deaths in a row in which no task was ended it is given up.
    """

    def __init__(
        self,
        work: Callable[[Desk[Task, Piece]], None],
        tasks: Sequence[Task],
        workers: int,
        *,
        restart: bool,
        ahead: int,
        size: Callable[[Piece], int] = lambda _: 0,
        held_bytes: int = 2 << 30,
        on_progress: Callable[..., None] = lambda *_: None,
        advice: str = "use fewer --workers",
        start: Callable[[Any], tuple[Process, Connection]] | None = None,
        deaths: int = DEATHS_IN_A_ROW,
        preload: Sequence[str] = (),
    ) -> None:
        if len(set(tasks)) != len(tasks):
            raise ValueError("two tasks of a pool are equal")
        self._work, self._restart, self._advice = work, restart, advice
        self._size, self._held_bytes, self._on_progress = size, held_bytes, on_progress
        self._ahead = max(1, ahead)
        self._order = deque(tasks)  # those that are not over
        self._queue = deque(tasks)  # of these, those that nobody has
        self._made = {task: _Made() for task in tasks}
        self._count = max(1, min(workers, len(tasks)))
        self._start = start or partial(start_process, preload=preload)
        self._most_deaths = deaths
        self._workers: list[_Worker[Task]] = []
        self._held = 0  # bytes
        self._deaths = 0  # since a task was ended
        self.restarts = 0

    def __enter__(self) -> Self:
        """Start the workers."""
        try:
            for _ in range(self._count if self._order else 0):
                self._workers.append(_Worker(*self._start(self._work)))
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End the workers."""
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(STOP_TIMEOUT_S)
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join()
            worker.pipe.close()

    @property
    def processes(self) -> list[Process]:
        """The workers."""
        return [worker.process for worker in self._workers]

    def results(self) -> Iterator[tuple[Task, Piece | Lost]]:
        """Each piece with its task: task by task in their order.

        Raises:
            SalusError: what a worker could not do, in place of its first task that was not done;
                or that workers died again and again.
        """
        while self._order:
            task = self._order[0]
            made = self._made[task]
            if made.pieces and (made.done or not self._restart):
                piece, size = made.pieces.popleft()
                self._held -= size
                self._serve()
                yield task, piece
            elif made.error is not None:
                raise made.error
            elif made.done:
                self._order.popleft()
                del self._made[task]
                self._serve()
            else:
                self._receive()
                self._serve()

    def _receive(self) -> None:
        """Take a message of each worker that has one; of the first task's alone if it is full."""
        of_first = [worker for worker in self._workers if self._order[0] in worker.tasks]
        listened = of_first if of_first and self._held >= self._held_bytes else self._workers
        by_pipe = {worker.pipe: worker for worker in listened}
        for pipe in wait(list(by_pipe)):
            worker = by_pipe[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):  # the latter where it died in the middle of a piece
                self._replace(worker)
            else:
                self._take(worker, *message)

    def _take(self, worker: _Worker[Task], word: _Word, *rest: Any) -> None:
        match word, *rest:
            case _Word.ASK, *_:
                worker.waiting = True  # answered by `_serve`
            case _Word.PIECE, task, piece:
                size = self._size(piece)
                self._held += size
                self._made[task].pieces.append((piece, size))
            case _Word.DONE, task:
                self._made[task].done = True
                worker.tasks.discard(task)
                self._deaths = 0
            case _Word.PROGRESS, task, figures:
                self._on_progress(task, *figures)
            case _Word.FAILED, error:
                self._fail(worker, error)

    def _serve(self) -> None:
        """Answer the workers that want a task, where there is an answer."""
        for worker in [worker for worker in self._workers if worker.waiting]:
            try:
                if not self._queue:
                    worker.dismissed = True
                    worker.pipe.send((_Word.END, None))
                elif self._has_room():
                    task = self._queue.popleft()
                    worker.tasks.add(task)
                    worker.pipe.send((_Word.TASK, task))
                elif worker.tasks:
                    worker.pipe.send((_Word.LATER, None))
                else:
                    continue
                worker.waiting = False
            except OSError:
                self._replace(worker)

    def _has_room(self) -> bool:
        """Whether the next task may be handed out; the first one always may."""
        out = len(self._order) - len(self._queue)
        return self._queue[0] == self._order[0] or (
            out < self._ahead and self._held < self._held_bytes
        )

    def _fail(self, worker: _Worker[Task], error: Exception) -> None:
        """Keep an error for its task's turn; nothing after that task is wanted any more."""
        first = next((task for task in self._order if task in worker.tasks), None)
        if first is None:
            raise error
        self._made[first].error = error
        worker.tasks.clear()
        before = list(self._order)[: self._order.index(first)]
        self._order = deque([*before, first])
        self._queue = deque(task for task in self._queue if task in before)

    def _replace(self, worker: _Worker[Task]) -> None:
        """Go on without a worker that has ended, with another one if there is something to do."""
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        cut_off = [task for task in self._order if task in worker.tasks]
        if not cut_off and not self._queue:
            return
        died = bool(cut_off) or not worker.dismissed  # else what another one lost has come back
        if died:
            self._give_back(worker, cut_off)
        if self._queue:
            self.restarts += died
            self._workers.append(_Worker(*self._start(self._work)))

    def _give_back(self, worker: _Worker[Task], cut_off: list[Task]) -> None:
        """Take the tasks of a worker that died as lost, or have them done again."""
        self._deaths += 1
        if cut_off and not self._restart:
            self._deaths = 0
            for task in cut_off:
                self._made[task].pieces.append((Lost(worker.process.exitcode), 0))
                self._made[task].done = True
        elif self._deaths >= self._most_deaths:
            raise SalusError(
                f"a worker died {self._deaths} times in a row, at last with exit code "
                f"{worker.process.exitcode} and tasks {cut_off}; is there enough memory? "
                f"{self._advice}"
            )
        else:
            for task in cut_off:
                self._held -= sum(size for _, size in self._made[task].pieces)
                self._made[task].pieces.clear()
            again = {*self._queue, *cut_off}
            self._queue = deque(task for task in self._order if task in again)


def start_process(
    work: Callable[[Desk[Any, Any]], None], preload: Sequence[str] = ()
) -> tuple[BaseProcess, Connection]:
    """Start a worker on this machine, with one thread, that ends with this process."""
    context = multiprocessing.get_context("forkserver")
    if preload:
        context.set_forkserver_preload(list(preload))
    ours, theirs = context.Pipe()
    process = context.Process(target=_run, args=(work, theirs), daemon=True, name="salus-worker")
    before = {name: os.environ.get(name) for name in ONE_THREAD}
    os.environ.update(ONE_THREAD)
    # A child inherits the mask, and here the server does, which the first start starts: Ctrl-C
    # is for the parent, from the first moment on. The tracker is started before, as its start
    # would take SIGINT out of the mask.
    resource_tracker.ensure_running()
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    theirs.close()  # so that the end of either side is seen by the other
    return process, ours


def _run(work: Callable[[Desk[Any, Any]], None], pipe: Connection) -> None:
    """Body of a worker's process."""
    end_with_parent()
    run_work(work, pipe)


def run_work(work: Callable[[Desk[Any, Any]], None], pipe: Connection) -> None:
    """Do a worker's work, and tell its pool of an error."""
    desk = Desk[Any, Any](pipe)
    try:
        work(desk)
    except SalusError as error:
        desk.fail(error)
    except Exception:  # noqa: BLE001 - told to the one that can say it
        desk.fail(SalusError(f"a worker failed:\n{traceback.format_exc()}"))


def end_with_parent() -> None:
    """End this process as soon as its parent is gone, however that ended.

    A worker that computes would otherwise go on for nobody after a kill.
    """
    threading.Thread(target=_wait, daemon=True).start()


def _wait() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
