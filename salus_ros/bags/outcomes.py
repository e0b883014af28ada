"""What becomes of the episodes of a bag, by their names in the store."""

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from salus_ros.bags.mapping import Mapping
from salus_ros.bags.reading import Bag
from salus_ros.policies.noise import noise_seed
from salus_ros.recording.arrays import ReadImage
from salus_ros.recording.blocks import BlockMaker, Kept, Lost, Piece
from salus_ros.recording.rows import Block, Dropped, Result, Row

if TYPE_CHECKING:
    from salus_ros.bags.policy import PolicySignals


class Outcomes:
    """Takes what an assembler gives; gives what is to be written.

    Attributes:
        names: Names of the episodes by the ids they have in the bag.
        episodes: Number of episodes found so far.
        known_episodes: How many of them the store has already.
        steps: Steps of those that are kept.
        kept: Number of those that are kept.
        ages: Ages in ms of the samples of every step, by stream; NaN for a gap.
        problems: What was left out, in words.
        notes: What is to be known of what was not.
    """

    def __init__(
        self,
        bag: Bag,
        mapping: Mapping,
        blocks: BlockMaker,
        read_image: ReadImage,
        known: Callable[[str, str], bool],
        policy: "PolicySignals | None",
    ) -> None:
        """Nothing has been taken yet.

        Args:
            bag: The bag.
            mapping: What becomes of it.
            blocks: Makes blocks of rows.
            read_image: Reads what a row holds of a camera.
            known: Whether the store has an episode, by its source and its id.
            policy: Gives the episodes its signals in place of the bag's.
        """
        self._bag, self._mapping, self._policy = bag, mapping, policy
        self._blocks, self._read_image, self._known = blocks, read_image, known
        self._in_flight = ""  # episode of the last result, while more of it may come
        self._name = ""
        self._skipping = False
        self.names: dict[str, str] = {}
        self.episodes = self.known_episodes = self.steps = self.kept = 0
        self.ages: dict[str, list[float]] = {name: [] for name in mapping.streams}
        self.problems: list[str] = []
        self.notes: list[str] = []

    def take(self, results: list[Result]) -> Iterator[Piece]:
        """Take what an assembler gives; yields what is to be written, in that order."""
        for result in results:
            begins = self._in_flight != result.episode_id
            if begins:
                self._begin(result.episode_id)
            self._in_flight = result.episode_id if isinstance(result, Block) else ""
            if self._skipping:
                continue
            rows: list[Row] = [] if isinstance(result, Dropped) else result.rows
            if self._policy is not None and not isinstance(result, Dropped):
                meta = result.meta
                task = self._mapping.task or ("" if meta is None else meta.task)
                own = -1 if meta is None else meta.seed
                seed = noise_seed(own, result.episode_id) if begins else None
                self._policy.fill(rows, task, self._read_image, seed)
            pieces = list(self._blocks.take(result))
            for row in rows:
                answered = math.nan if row.action is None else 0.0
                for stream, ages in self.ages.items():
                    ages.append(row.age_ms.get(stream, answered))
            for piece in pieces:
                yield self._named(piece)

    def _begin(self, episode_id: str) -> None:
        """Give the next episode its number, and see whether the store has it."""
        self._source = f"{self._bag.identity}/{self.episodes}"
        self._name = self.names[episode_id] = f"{self._bag.name}/{self.episodes}"
        self.episodes += 1
        self._skipping = self._known(self._source, self._name)
        self.known_episodes += self._skipping

    def _named(self, piece: Piece) -> Piece:
        """A piece by the name of its episode; notes what becomes of that."""
        name = self._name
        if isinstance(piece, Kept):
            meta = replace(
                piece.meta,
                id=name,
                source=self._source,
                task=self._mapping.task or piece.meta.task,
                policy_id=self._policy.policy_id if self._policy else piece.meta.policy_id,
            )
            if piece.note:
                self.notes.append(f"episode {name}: {piece.note}")
            if not meta.task:
                self.notes.append(f"episode {name} has no task: set task in the mapping")
            self.kept, self.steps = self.kept + 1, self.steps + piece.steps
            return replace(piece, meta=meta)
        if isinstance(piece, Lost):
            self.problems.append(f"episode {name} is left out: {piece.reason}")
            return replace(piece, episode_id=name)
        return piece
