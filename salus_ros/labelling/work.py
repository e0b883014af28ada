"""Going through episodes and saying how each ended; what is drawn of it is elsewhere."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from salus_ros.core.closing import Closing
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import ALL_FAILURE_TYPES, FailureType, Outcome
from salus_ros.episodes.clip import ClipStore, is_clip
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.episodes.files import is_packed
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.shipped import PREFIX
from salus_ros.episodes.store import EpisodeStore

LISTED = 20
"""Ids that an error names."""


@dataclass(frozen=True, slots=True)
class Change:
    """An episode that was labelled.

    Attributes:
        path: Its store.
        index: Its place there.
        before: What was known about it.
        after: What is now.
    """

    path: Path
    index: int
    before: EpisodeMeta
    after: EpisodeMeta

    def to_json(self) -> dict[str, Any]:
        """Return it in JSON values."""
        return {
            "store": str(self.path),
            "index": self.index,
            "episode": self.after.id,
            "before": _ending(self.before),
            "after": _ending(self.after),
        }

    def __str__(self) -> str:
        """Say it in words."""
        return f"{self.after.id}: {in_words(self.before)} -> {in_words(self.after)}"


class Labelling(Closing):
    """The episodes of some stores to be labelled, one after the other; a context manager.

    It is the writer of the stores until it is left. Each answer is written at once.
    """

    def __init__(
        self,
        stores: Sequence[Path],
        *,
        everything: bool = False,
        episode: str | None = None,
        index: int | None = None,
    ) -> None:
        """Open the stores and choose the episodes.

        Args:
            stores: Folders of episode stores, and clips.
            everything: Take all episodes; by default those without a known outcome, and those
                that failed at an unknown moment.
            episode: Take only the episode of this id.
            index: Take only this episode of the one store.

        Raises:
            ConfigError: if a store is given twice, or an index for several stores.
            StoreError: if a store can only be read, has a writer already or is damaged, or there
                is no such episode.
        """
        if not stores or len({path.resolve() for path in stores}) < len(stores):
            raise ConfigError(
                f"the stores given are {[str(path) for path in stores]}; give one or more, each "
                "once"
            )
        if index is not None and (len(stores) > 1 or episode is not None):
            raise ConfigError(
                "an index means one episode of one store; give one store, and no id with it"
            )
        for path in stores:
            _refuse_read_only(path)
        with ExitStack() as opened:
            self._writers: list[EpisodeStore | ClipStore] = [
                opened.enter_context(_writer(path)) for path in stores
            ]
            self.readers = [StoreReader(path) for path in stores]
            self._metas = [reader.episodes() for reader in self.readers]
            self.places = self._choose(everything, episode, index)
            self._opened = opened.pop_all()
        self._history: list[Change | None] = []

    def _choose(
        self, everything: bool, episode: str | None, index: int | None
    ) -> list[tuple[int, int]]:
        """Places of the episodes: the number of the store, and the index in it."""
        if index is not None:
            self.readers[0].rows(index)  # refuses one that is not there
            return [(0, index)]
        every = [(s, i) for s, metas in enumerate(self._metas) for i in range(len(metas))]
        if episode is not None:
            return [self._find(episode, every)]
        return [(s, i) for s, i in every if everything or not self._metas[s][i].labelled]

    def _find(self, episode: str, every: Sequence[tuple[int, int]]) -> tuple[int, int]:
        found = [(s, i) for s, i in every if self._metas[s][i].id == episode]
        paths = ", ".join(f"'{reader.path}'" for reader in self.readers)
        if not found:
            ids = list(dict.fromkeys(self._metas[s][i].id for s, i in every))
            more = f" and {len(ids) - LISTED} more" if len(ids) > LISTED else ""
            listed = ", ".join(ids[:LISTED]) + more if ids else "none"
            raise StoreError(f"no episode '{episode}' in {paths}; there are {listed}")
        if len(found) > 1:
            places = ", ".join(f"{i} of '{self.readers[s].path}'" for s, i in found)
            raise StoreError(
                f"{len(found)} episodes are called '{episode}': {places}; give one store, and "
                "the index of the episode in it instead of the id"
            )
        return found[0]

    def __len__(self) -> int:
        """Number of episodes to go through."""
        return len(self.places)

    @property
    def place(self) -> int:
        """How many of them have been answered or skipped."""
        return len(self._history)

    @property
    def current(self) -> tuple[StoreReader, int] | None:
        """The episode to answer for: the reader of its store and its index; None at the end."""
        if self.place == len(self):
            return None
        store, index = self.places[self.place]
        return self.readers[store], index

    @property
    def meta(self) -> EpisodeMeta:
        """What is known of the current episode, with what has been answered."""
        store, index = self.places[self.place]
        return self._metas[store][index]

    @property
    def changes(self) -> list[Change]:
        """The answers, without those taken back."""
        return [change for change in self._history if change is not None]

    @property
    def unlabelled(self) -> int:
        """Number of episodes of the stores that cannot be learnt from yet."""
        return sum(not meta.labelled for metas in self._metas for meta in metas)

    def answer(self, outcome: Outcome, kind: FailureType, step: int) -> Change:
        """Label the current episode and go on to the next.

        Args:
            outcome: How it ended.
            kind: Type of the failure; `NONE` for anything else.
            step: Step of the failure, 0 to the number of steps; -1 for no failure, or a moment
                that is not known.

        Raises:
            StoreError: if these contradict each other, the step lies outside, or the disk takes
                no more.
        """
        store, index = self.places[self.place]
        before = self.meta
        after = self._write(store, index, outcome, kind, step)
        self._history.append(Change(self.readers[store].path, index, before, after))
        return Change(self.readers[store].path, index, before, after)

    def skip(self) -> None:
        """Leave the current episode as it is and go on to the next."""
        if self.place < len(self):
            self._history.append(None)

    def undo(self) -> Change | None:
        """Go back to the episode before, and take back what was answered for it, if anything.

        Returns:
            The change that was taken back; None where the episode was skipped, or is the first.
        """
        if not self._history:
            return None
        change = self._history[-1]
        if change is not None:
            was = change.before
            store, index = self.places[self.place - 1]
            ending = was.outcome, was.failure_type, was.failure_step
            self._write(store, index, *ending, was.failure_cause)
        return self._history.pop()

    def _write(
        self,
        store: int,
        index: int,
        outcome: Outcome,
        kind: FailureType,
        step: int,
        cause: str | None = None,
    ) -> EpisodeMeta:
        meta = self._writers[store].relabel(index, outcome, kind, step, cause)
        self._metas[store][index] = meta
        return meta

    def close(self) -> None:
        """Give the stores back to other writers."""
        self._opened.close()


def parse_ending(
    outcome: str, kind: str | None, step: int | None
) -> tuple[Outcome, FailureType, int]:
    """Read an ending that was given in words.

    Args:
        outcome: "success", "failure" or "unknown".
        kind: Type of the failure; None for anything else.
        step: Step of the failure; None where there is none, or its moment is not known.

    Raises:
        ConfigError: if a word is not known, or they contradict each other.
    """
    outcomes = {one.name.lower(): one for one in Outcome}
    kinds = {one.label: one for one in ALL_FAILURE_TYPES}
    if outcome not in outcomes:
        raise ConfigError(f"outcome is '{outcome}'; allowed is one of {', '.join(outcomes)}")
    if outcomes[outcome] != Outcome.FAILURE:
        if kind is not None or step is not None:
            raise ConfigError(
                f"outcome '{outcome}' has no type and no step; leave them out, or give the "
                "outcome 'failure'"
            )
        return outcomes[outcome], FailureType.NONE, -1
    if kind not in kinds:
        given = "is missing" if kind is None else f"is '{kind}'"
        raise ConfigError(f"the type of the failure {given}; allowed is one of {', '.join(kinds)}")
    if step is not None and step < 0:
        raise ConfigError(
            f"step is {step}; allowed is 0 to the number of steps of the episode, or leave it out "
            "where the moment of the failure is not known"
        )
    return Outcome.FAILURE, kinds[kind], -1 if step is None else step


def in_words(meta: EpisodeMeta) -> str:
    """How an episode ended, as "success", "drop at step 31" or "unknown"."""
    if meta.outcome != Outcome.FAILURE:
        return meta.ending
    moment = f"step {meta.failure_step}" if meta.failure_step >= 0 else "an unknown moment"
    return f"{meta.ending} at {moment}"


def _ending(meta: EpisodeMeta) -> dict[str, Any]:
    return {
        "outcome": meta.outcome.name.lower(),
        "failure_type": meta.failure_type.label,
        "failure_step": meta.failure_step,
    }


def _writer(path: Path) -> AbstractContextManager[EpisodeStore | ClipStore]:
    return ClipStore(path) if is_packed(path) else EpisodeStore.open(path)


def _refuse_read_only(path: Path) -> None:
    if str(path).startswith(PREFIX):
        raise StoreError(
            f"'{path}' comes with SALUS and can only be read; label a recording of your own"
        )
    if is_packed(path) and not is_clip(path):
        raise StoreError(
            f"'{path}' is a packed store, which can only be read, or no clip that is whole; label "
            "the folders that it was packed from, and pack them again"
        )
