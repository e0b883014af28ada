"""Bags into an episode store: what can be read is converted, what cannot is named."""

import sys
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salus_ros.bags.conversion import Advance, convert_bag
from salus_ros.bags.mapping import Mapping
from salus_ros.bags.reading import Bag
from salus_ros.episodes import Episode, EpisodeStore, StoreSpec
from salus_ros.episodes.reader import existing

if TYPE_CHECKING:
    from salus_ros.bags.policy import PolicyOptions, PolicySignals


class Converter:
    """Appends the episodes of bags to one store; a context manager.

    An episode is known by its bag's name and its number there: "name/3". One that the store has
    is not converted again.

    Attributes:
        mapping: What becomes of a bag.
        spec: Sizes of the store; None as long as there is none.
        known: Names of its episodes.
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
        self._stack = ExitStack()
        self._writer = ThreadPoolExecutor(1, "store")
        self._writing: Future[None] | None = None
        self.known: set[str] = set()
        self.spec: StoreSpec | None = None
        if (reader := existing(out)) is not None:
            self.known = {meta.id for meta in reader.episodes()}
            self.spec = reader.spec

    def __enter__(self) -> "Converter":
        """Return the converter itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Write what was appended and close the store."""
        self._writer.shutdown()
        self._stack.close()

    def convert(self, bag: Bag, advance: Advance | None = None) -> dict[str, Any]:
        """Convert what the bag, an open one, holds; see `convert_bag`."""
        if self._policy is not None and self._signals is None:
            self._signals = load_policy(self._policy, self.mapping)
        report = convert_bag(bag, self.mapping, self, advance, self._signals)
        self.flush()
        return report

    def has(self, name: str) -> bool:
        """Whether the store has an episode of this name."""
        return name in self.known

    def append(self, episode: Episode, spec: StoreSpec) -> None:
        """Write an episode, while the next one is read; the first one makes the store.

        Raises:
            StoreError: if the store was made with other sizes, or the episode before could not
                be written.
        """
        self.flush()
        if self._store is None:
            store = EpisodeStore.open_or_create(self._out, spec)
            self._store = self._stack.enter_context(store)
        self.spec = self._store.spec
        self._writing = self._writer.submit(self._write, self._store, episode)

    def flush(self) -> None:
        """Wait until what was appended is committed.

        Raises:
            StoreError: if it could not be written.
        """
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.result()

    def _write(self, store: EpisodeStore, episode: Episode) -> None:
        store.append(episode)
        self.known.add(episode.meta.id)


def load_policy(options: "PolicyOptions", mapping: Mapping) -> "PolicySignals":
    """Load a policy for the cameras of a mapping; torch is imported only now.

    What its libraries print while they load goes to stderr: stdout is for results.
    """
    with redirect_stdout(sys.stderr):
        from salus_ros.bags.policy import PolicySignals

        return PolicySignals(options, tuple(mapping.cameras))
