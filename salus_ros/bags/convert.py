"""Bags into an episode store: what can be read is converted, what cannot is named."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from salus_ros.bags.mapping import Mapping
from salus_ros.bags.reading import Bag
from salus_ros.bags.replay import Advance, Relabelled, Replay
from salus_ros.core import pool
from salus_ros.core.errors import StoreError
from salus_ros.episodes import EpisodeMeta, EpisodeStore, StoreSpec
from salus_ros.episodes.reader import existing
from salus_ros.recording.blocks import Kept, Lost, Piece, Written

if TYPE_CHECKING:
    from salus_ros.bags.policy import PolicyOptions, PolicySignals

PROGRESS_MESSAGES = 200
"""Messages of a bag after which its worker says how far it is."""

type Report = dict[str, Any]


class Converter:
    """Appends the episodes of bags to one store; a context manager.

    An episode is known by what its bag holds and its number there. One that the store has is not
    converted again.

    Attributes:
        mapping: What becomes of a bag.
    """

    def __init__(self, mapping: Mapping, out: Path, policy: "PolicyOptions | None" = None) -> None:
        """For a store that need not exist yet; with a policy, the signals are its own.

        Raises:
            StoreError: if there is something else, or a damaged store.
        """
        self.mapping = mapping
        self._out = out
        self._policy = policy
        self._signals: PolicySignals | None = None
        self._store: EpisodeStore | None = None
        self._refused = ""  # why the episode in flight is not written
        self._known = Known()
        self.spec: StoreSpec | None = None
        if (reader := existing(out)) is not None:
            self._known = Known.of(reader.episodes())
            self.spec = reader.spec

    def __enter__(self) -> Self:
        """Return the converter itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        if self._store is not None:
            self._store.close()

    def convert(self, bag: Bag, advance: Advance = lambda _: None) -> Report:
        """Convert what a bag, an open one, holds.

        Returns:
            As `Replay.report`.

        Raises:
            StoreError: if the store cannot be written.
            ConfigError: if a topic has no header where its stamp is asked for.
        """
        if self._policy is not None and self._signals is None:
            self._signals = load_policy(self._policy, self.mapping)
        replay = Replay(bag, self.mapping, self.spec, self._known, advance, self._signals)
        account = _Account()
        for piece in replay.pieces():
            self._write(piece, account)
        return account.corrected(replay.report())

    def convert_together(
        self,
        paths: Sequence[Path],
        workers: int,
        on_progress: Callable[[int, int, int], None] = lambda *_: None,
    ) -> Iterator[Report]:
        """Convert bags in parallel processes; the episodes and their order are the same.

        A worker that dies takes with it what is left of its bag: the report says so, and
        converting again goes on there.

        Args:
            paths: The bags.
            workers: Number of processes.
            on_progress: Told the index of a bag, the messages read of it, and how many there are.

        Raises:
            SalusError: what stops the conversion of one bag alone, too.
        """
        job = _Job(tuple(paths), self.mapping, self._policy, self._known, self.spec)
        accounts = [_Account() for _ in paths]
        with pool.Pool[int, Any](
            partial(_work, job),
            range(len(paths)),
            workers,
            restart=False,
            ahead=workers,
            size=_size,
            on_progress=on_progress,
        ) as processes:
            for index, piece in processes.results():
                account = accounts[index]
                if isinstance(piece, pool.Lost):
                    if self._store is not None:
                        self._store.discard()
                    yield account.lost(paths[index], piece.exit_code)
                elif isinstance(piece, dict):
                    yield account.corrected(piece)
                else:
                    self._write(piece, account)

    def _write(self, piece: Piece | Relabelled, account: "_Account") -> None:
        if isinstance(piece, Written):
            self._write_block(piece)
        elif isinstance(piece, Relabelled):
            self._relabel(piece, account)
        elif isinstance(piece, Lost) or self._refused:
            if self._store is not None:
                self._store.discard()
            if isinstance(piece, Kept):
                account.refuse(piece, self._refused)
            self._refused = ""
        elif isinstance(piece, Kept):
            assert self._store is not None
            self._store.commit(self._known.named(piece.meta))
            account.add(piece)

    def _write_block(self, piece: Written) -> None:
        if self._refused:
            return
        if self._store is None:
            self._store = EpisodeStore.open_or_create(self._out, piece.spec)
            self.spec = self._store.spec
        stored = self._store.spec
        try:
            if different := stored.misfits(piece.spec):
                listed = "; ".join(f"{name}: store {a}, given {b}" for name, a, b in different)
                raise StoreError(f"it does not fit the store ({listed})")
            block = piece.for_store(stored)
        except StoreError as error:
            self._refused = str(error)
            return
        self._store.write(block)

    def _relabel(self, piece: Relabelled, account: "_Account") -> None:
        if self._store is None or piece.episode_id not in self._known.ids:
            return
        reader = existing(self._out)
        assert reader is not None
        ids = [meta.id for meta in reader.episodes()]
        index = len(ids) - 1 - ids[::-1].index(piece.episode_id)
        try:
            meta = piece.label.on_stored(reader, index)
        except StoreError as error:
            account.unlabelled(piece, str(error))
            return
        self._store.relabel(index, meta.outcome, meta.failure_type, meta.failure_step)


@dataclass(slots=True)
class Known:
    """The episodes that a store has, by their sources and their ids.

    Attributes:
        sources: Sources of those that say it.
        ids: Ids of all.
        unsourced: Ids of those that do not say their source, of a store of an older version.
    """

    sources: frozenset[str] = frozenset()
    ids: frozenset[str] = frozenset()
    unsourced: frozenset[str] = frozenset()

    @classmethod
    def of(cls, metas: Sequence[EpisodeMeta]) -> Self:
        """Read what a store holds."""
        return cls(
            frozenset(meta.source for meta in metas if meta.source),
            frozenset(meta.id for meta in metas),
            frozenset(meta.id for meta in metas if not meta.source),
        )

    def __call__(self, source: str, name: str) -> bool:
        """Whether the store has an episode."""
        return source in self.sources or name in self.unsourced

    def named(self, meta: EpisodeMeta) -> EpisodeMeta:
        """An episode under an id that no other one has; it is known from now on."""
        name, number = meta.id, 1
        while name in self.ids:
            number += 1
            name = f"{meta.id} ({number})"
        self.ids |= {name}
        self.sources |= {meta.source}
        return replace(meta, id=name)


class _Account:
    """What of one bag was really written."""

    def __init__(self) -> None:
        self.episodes = self.steps = 0
        self._problems: list[str] = []

    def add(self, piece: Kept) -> None:
        self.episodes += 1
        self.steps += piece.steps

    def refuse(self, piece: Kept, reason: str) -> None:
        self._problems.append(f"episode {piece.meta.id} is left out: {reason}")

    def unlabelled(self, piece: Relabelled, reason: str) -> None:
        self._problems.append(
            f"episode {piece.episode_id} is without its label '{piece.label.words()}': {reason}"
        )

    def corrected(self, report: Report) -> Report:
        problems = report["problems"] + self._problems
        return report | {"episodes": self.episodes, "steps": self.steps, "problems": problems}

    def lost(self, path: Path, exit_code: int | None) -> Report:
        problem = (
            f"the process that read '{path}' has died (exit code {exit_code}); {self.episodes} of "
            "its episodes are written, convert it again for the others; is there enough memory? "
            "use fewer --workers"
        )
        about = {"bag": Bag(path).name, "known_episodes": 0, "streams": {}, "notes": []} | {
            "problems": [problem]
        }
        return self.corrected(about)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a worker needs for the bags."""

    paths: tuple[Path, ...]
    mapping: Mapping
    policy: "PolicyOptions | None"
    known: Known
    spec: StoreSpec | None


def _work(job: _Job, desk: "pool.Desk[int, Any]") -> None:
    """Body of a worker."""
    signals = None if job.policy is None else load_policy(job.policy, job.mapping)
    for index in desk:
        if index is not None:
            convert_one(job, index, desk, signals)


def convert_one(
    job: _Job, index: int, desk: "pool.Desk[int, Any]", signals: "PolicySignals | None" = None
) -> None:
    """Send the pieces of a bag, then its report."""
    with Bag(job.paths[index]) as bag:
        total = bag.count(job.mapping.topics)

        def advance(done: int) -> None:
            if done % PROGRESS_MESSAGES == 0:
                desk.progress(index, done, total)

        replay = Replay(bag, job.mapping, job.spec, job.known, advance, signals)
        for piece in replay.pieces():
            desk.send(index, piece)
        desk.send(index, replay.report())
    desk.done(index)


def _size(piece: Any) -> int:
    if not isinstance(piece, Written):
        return 0
    return sum(frames.nbytes for frames in piece.block.images.values())


def load_policy(options: "PolicyOptions", mapping: Mapping) -> "PolicySignals":
    """Load a policy for the cameras of a mapping; torch is imported only now."""
    from salus_ros.bags.policy import PolicySignals

    return PolicySignals(options, tuple(mapping.cameras))
