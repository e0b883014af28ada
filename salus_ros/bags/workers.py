"""Several bags at once: worker processes read them, this one writes, in the order of the bags."""

import multiprocessing
import signal
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salus_ros.bags.conversion import convert_bag
from salus_ros.bags.convert import Converter, load_policy
from salus_ros.bags.mapping import Mapping
from salus_ros.bags.reading import Bag
from salus_ros.core.errors import ObservationError, SalusError
from salus_ros.core.processes import end_with_parent
from salus_ros.episodes import Episode, StoreSpec

if TYPE_CHECKING:
    from salus_ros.bags.policy import PolicyOptions

HELD_BYTES = 2 << 30
"""Images of episodes that may wait for those of the bags before."""

STOP_TIMEOUT_S = 5.0
PROGRESS_MESSAGES = 200
"""Messages of a bag after which its worker says how far it is."""

type Advance = Callable[[int, int, int], None]
"""Told the index of a bag, the messages read of it, and how many there are to read."""


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs for one bag."""

    path: Path
    mapping: Mapping
    policy: "PolicyOptions | None"
    known: frozenset[str]
    spec: StoreSpec | None


@dataclass(slots=True)
class _Worker:
    """A process, its pipe, and what it has sent that is not written yet."""

    process: BaseProcess
    pipe: Connection
    waiting: deque[Any] = field(default_factory=deque)


class BagPool:
    """Converts bags in parallel processes, into one store; a context manager.

    The episodes are written in the order of the bags and are those that `Converter.convert`
    makes. A worker that dies takes with it what is left of its bag: the report says so, and
    converting again goes on there.

    Args:
        converter: Writes.
        paths: The bags.
        workers: Number of processes.
        policy: Whose signals the episodes get.
        advance: Told how far each bag is.
    """

    def __init__(
        self,
        converter: Converter,
        paths: Sequence[Path],
        workers: int,
        policy: "PolicyOptions | None" = None,
        advance: Advance = lambda *_: None,
    ) -> None:
        self._converter, self._paths, self._policy = converter, list(paths), policy
        self._count, self._advance = workers, advance
        self._context = multiprocessing.get_context("spawn")
        self._workers: dict[int, _Worker] = {}
        self._started = 0
        self._held = 0

    def __enter__(self) -> "BagPool":
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.process.terminate()
        for worker in self._workers.values():
            worker.process.join(STOP_TIMEOUT_S)
            if worker.process.is_alive():
                worker.process.kill()
            worker.pipe.close()

    def reports(self) -> Iterator[dict[str, Any]]:
        """Convert; yields the report of each bag, see `convert_bag`.

        Raises:
            SalusError: what stops the conversion of one bag alone, too.
        """
        for index in range(len(self._paths)):
            report = self._convert(index)
            self._converter.flush()
            yield report

    @property
    def processes(self) -> list[BaseProcess]:
        """Those that run."""
        return [worker.process for worker in self._workers.values()]

    def _convert(self, index: int) -> dict[str, Any]:
        written: list[int] = []  # steps of each episode
        refused: list[str] = []
        while True:
            self._start()
            worker = self._workers[index]
            while not worker.waiting:
                self._receive(index)
            match worker.waiting.popleft():
                case (Episode() as episode, StoreSpec() as spec):
                    self._held -= _image_bytes(episode)
                    try:
                        self._append(episode, spec)
                        written.append(len(episode))
                    except ObservationError as error:
                        refused.append(f"episode {episode.meta.id} is left out: {error}")
                case Exception() as failed:
                    raise failed
                case None:
                    self._end(index)
                    return _lost(self._paths[index], worker.process.exitcode, written)
                case report:
                    self._end(index)
                    report["problems"] += refused
                    return {**report, "episodes": len(written), "steps": sum(written)}

    def _append(self, episode: Episode, spec: StoreSpec) -> None:
        stored = self._converter.spec
        if stored is not None and stored.image_size != spec.image_size:
            ours, theirs = (f"{s.image_size[1]}x{s.image_size[0]}" for s in (spec, stored))
            raise ObservationError(
                f"its images are {ours}, the store takes {theirs} of every camera; set "
                "image_size in the mapping"
            )
        self._converter.append(episode, spec)

    def _start(self) -> None:
        """Start as many workers as may run at once, in the order of the bags."""
        while self._started < len(self._paths) and len(self._workers) < self._count:
            ours, theirs = self._context.Pipe()
            path, known = self._paths[self._started], frozenset(self._converter.known)
            job = _Job(path, self._converter.mapping, self._policy, known, self._converter.spec)
            process = self._context.Process(
                target=_work, args=(job, theirs), daemon=True, name="salus-convert"
            )
            # A child inherits the mask: Ctrl-C is for the one that writes. The tracker is started
            # before, as its start would take SIGINT out of the mask.
            resource_tracker.ensure_running()
            mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
            try:
                process.start()
            finally:
                signal.pthread_sigmask(signal.SIG_SETMASK, mask)
            theirs.close()  # so that the end of either side is seen by the other
            self._workers[self._started] = _Worker(process, ours)
            self._started += 1

    def _end(self, index: int) -> None:
        worker = self._workers.pop(index)
        worker.pipe.close()
        worker.process.join()

    def _receive(self, index: int) -> None:
        """Take what the workers have: that of bag `index`, and ahead of it what there is room for.

        A worker whose pipe has ended and that said nothing else has died: None.
        """
        full = self._held >= HELD_BYTES
        wanted = {
            worker.pipe: number
            for number, worker in self._workers.items()
            if (number == index or not full) and not _is_over(worker)
        }
        for pipe in wait(list(wanted)):
            number = wanted[pipe]  # type: ignore[index]
            worker = self._workers[number]
            try:
                message = worker.pipe.recv()
            except (EOFError, OSError):  # the latter where it died in the middle of an episode
                worker.process.join()
                worker.waiting.append(None)
                continue
            match message:
                case (int() as done, int() as total):
                    self._advance(number, done, total)
                    continue
                case (Episode() as episode, StoreSpec()):
                    self._held += _image_bytes(episode)
            worker.waiting.append(message)


class _Pipe:
    """Sends episodes to the process that writes."""

    def __init__(self, job: _Job, pipe: Connection) -> None:
        self.spec = job.spec
        self._known, self._pipe = job.known, pipe

    def has(self, name: str) -> bool:
        """Whether the store has an episode of this name."""
        return name in self._known

    def append(self, episode: Episode, spec: StoreSpec) -> None:
        """Send an episode."""
        self.spec = self.spec or spec
        self._pipe.send((episode, spec))


def _work(job: _Job, pipe: Connection) -> None:
    """Body of a worker: send the episodes of one bag, then its report."""
    end_with_parent()
    try:
        signals = None if job.policy is None else load_policy(job.policy, job.mapping)
        with Bag(job.path) as bag:
            total = bag.to_read(job.mapping.topics, job.mapping.cameras.values())

            def advance(done: int) -> None:
                if done % PROGRESS_MESSAGES == 0:
                    pipe.send((done, total))

            pipe.send(convert_bag(bag, job.mapping, _Pipe(job, pipe), advance, signals))
    except (EOFError, ConnectionError):
        return  # nobody listens any more
    except SalusError as error:
        pipe.send(error)
    except Exception:  # noqa: BLE001 - told to the one that can say it
        pipe.send(SalusError(f"a worker failed:\n{traceback.format_exc()}"))


def _is_over(worker: _Worker) -> bool:
    """Whether nothing more will come from a worker."""
    last = worker.waiting[-1] if worker.waiting else ()
    return last is None or isinstance(last, dict | Exception)


def _image_bytes(episode: Episode) -> int:
    return sum(frames.nbytes for frames in episode.images.values())


def _lost(path: Path, exit_code: int | None, written: list[int]) -> dict[str, Any]:
    return {
        "bag": Bag(path).name,
        "episodes": len(written),
        "known_episodes": 0,
        "steps": sum(written),
        "problems": [
            f"the process that read '{path}' has died (exit code {exit_code}); {len(written)} of "
            "its episodes are written, convert it again for the others; is there enough memory? "
            "use fewer --workers"
        ],
        "streams": {},
    }
