"""Worker processes that run episodes; this process hands out seeds and takes what they send."""

import multiprocessing
import os
import resource
import signal
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from salus_ros.collection.config import CollectionConfig
from salus_ros.core.errors import SalusError
from salus_ros.core.processes import end_with_parent
from salus_ros.episodes import Episode

DEATHS_IN_A_ROW = 3
"""A worker that has died so often without having sent an episode is not started again."""

STOP_TIMEOUT_S = 5.0

LOOK_AHEAD, LOOK_AHEAD_IMAGES = 16, 1
"""Episodes, for each that runs, that may wait for one before them; with images each is 100 MB."""

LATER, DONE = "later", "done"
"""Answers to a worker that wants a seed: not now; never again."""

ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "LP_NUM_THREADS": "1"}
"""Holds torch and Mesa's software renderer to one core each; read when they are imported."""


@dataclass(frozen=True, slots=True)
class Ready:
    """What a worker says of its policy before its first episode."""

    policy_id: str
    embedding_dim: int


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    pipe: Connection
    seeds: set[int] = field(default_factory=set)
    """Handed out and not answered."""
    deaths: int = 0
    waiting: bool = False
    """For a seed, with nothing else to do."""


class WorkerPool:
    """Runs the episodes of some seeds in parallel processes, and gives them in that order.

    A context manager: its end ends the workers. One that dies is started again with the seeds it
    had; the episodes do not depend on who runs them. What is ahead of the next episode in order
    is bounded, and workers wait for a reader that is slower than they are.

    Attributes:
        ready: What the first worker has said of its policy; None before.
        peak_mb: Largest memory of a worker in MB, after each episode received.
        restarts: Workers started again.

    Args:
        config: What to run.
        seeds: Of the episodes.
        workers: Number of processes.
    """

    def __init__(self, config: CollectionConfig, seeds: Sequence[int], workers: int) -> None:
        self._config = config
        self._order = deque(seeds)
        self._queue = deque(seeds)
        self._count = max(1, min(workers, len(seeds)))
        ahead = LOOK_AHEAD_IMAGES if config.images else LOOK_AHEAD
        self._window = self._count * config.envs * (1 + ahead)
        self._context = multiprocessing.get_context("spawn")
        self._workers: list[_Worker] = []
        self._held: dict[int, Episode] = {}
        self.ready: Ready | None = None
        self.peak_mb: list[float] = []
        self.restarts = 0

    def __enter__(self) -> "WorkerPool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers:
            worker.process.terminate()
        for worker in self._workers:
            worker.process.join(STOP_TIMEOUT_S)
            if worker.process.is_alive():
                worker.process.kill()
            worker.pipe.close()

    def start(self) -> Ready:
        """Start the workers and wait for the first one to load its policy.

        Raises:
            SalusError: what a worker could not do; or that one died again and again.
        """
        if not self._workers:
            self._workers = [self._start() for _ in range(self._count)]
        while self.ready is None:
            self._receive()
        return self.ready

    def episodes(self) -> Iterator[Episode]:
        """Episodes in the order of their seeds; starts the workers if that is not yet done.

        Raises:
            SalusError: what a worker could not do; or that one died again and again.
        """
        if not self._order:
            return
        self.start()
        while self._order:
            while self._order and self._order[0] in self._held:
                yield self._held.pop(self._order.popleft())
                self._serve()
            if self._order:
                self._receive()

    def _start(self, deaths: int = 0) -> _Worker:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(self._config, theirs), daemon=True, name="salus-collect"
        )
        before = {name: os.environ.get(name) for name in ONE_THREAD}
        os.environ.update(ONE_THREAD)
        # A child inherits the mask: Ctrl-C is for the one that writes, from the first moment on.
        # The tracker is started before, as its start would take SIGINT out of the mask.
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
        return _Worker(process, ours, deaths=deaths)

    def _receive(self) -> None:
        pipes = {worker.pipe: worker for worker in self._workers}
        for pipe in wait(list(pipes)):
            worker = pipes[pipe]  # type: ignore[index]
            try:
                message = worker.pipe.recv()
                self._take(worker, message)
            except (EOFError, OSError):  # the latter where it died in the middle of an episode
                self._replace(worker)

    def _take(self, worker: _Worker, message: Any) -> None:
        match message:
            case None:
                self._answer(worker)
            case Ready():
                self.ready = message
            case (Episode() as episode, float() as peak_mb):
                worker.seeds.discard(episode.meta.seed)
                worker.deaths = 0
                self.peak_mb.append(peak_mb)
                self._held[episode.meta.seed] = episode
            case Exception():
                raise message

    def _answer(self, worker: _Worker) -> None:
        """Tell a worker that wants a seed which, or make it wait if it has nothing else to do."""
        worker.waiting = False
        if not self._queue:
            worker.pipe.send(DONE)
        elif len(self._order) - len(self._queue) < self._window:
            seed = self._queue.popleft()
            worker.seeds.add(seed)
            worker.pipe.send(seed)
        elif worker.seeds:
            worker.pipe.send(LATER)
        else:
            worker.waiting = True

    def _serve(self) -> None:
        """Answer those that wait, now that there is room."""
        for worker in [worker for worker in self._workers if worker.waiting]:
            try:
                self._answer(worker)
            except OSError:
                self._replace(worker)

    def _replace(self, worker: _Worker) -> None:
        worker.process.join()
        worker.pipe.close()
        self._workers.remove(worker)
        if not worker.seeds and (not self._queue or worker.process.exitcode == 0):
            return  # it had nothing left to do
        if worker.deaths + 1 >= DEATHS_IN_A_ROW:
            raise SalusError(
                f"a worker died {DEATHS_IN_A_ROW} times in a row, at last with exit code "
                f"{worker.process.exitcode} and seeds {sorted(worker.seeds)}; is there enough "
                "memory? use fewer --workers or --envs"
            )
        again = {*self._queue, *worker.seeds}
        self._queue = deque(seed for seed in self._order if seed in again)
        self.restarts += 1
        self._workers.append(self._start(worker.deaths + 1))


def _work(config: CollectionConfig, pipe: Connection) -> None:
    """Body of a worker: ask for seeds, send episodes; ends when nobody listens any more."""
    end_with_parent()
    import torch

    from salus_ros.collection.rollout import Rollout

    torch.set_num_threads(1)

    def seeds() -> Iterator[int | None]:
        while True:
            pipe.send(None)
            answer = pipe.recv()
            if answer == DONE:
                return
            yield None if answer == LATER else answer

    try:
        rollout = Rollout(config)
        pipe.send(Ready(rollout.policy_id, rollout.embedding_dim))
        for episode in rollout.run(seeds()):
            pipe.send((episode, _peak_mb()))
        rollout.close()
    except (EOFError, ConnectionError):
        return  # nobody listens any more
    except SalusError as error:
        pipe.send(error)
    except Exception:  # noqa: BLE001 - told to the one that can say it
        pipe.send(SalusError(f"a worker failed:\n{traceback.format_exc()}"))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
