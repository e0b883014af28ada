"""The steps of successes that a manifold knows."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import RecoveryError
from salus_ros.recovery.manifold.neighbours import Neighbours

Rows = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Library:
    """Steps of successes, the episodes one after the other.

    Attributes:
        embedding: Float32 (N, D); NaN for a step without a key.
        state: Float32 (N, Q), joints in rad.
        action: Float32 (N, A), what was done at each step.
        ends: Int64 (E,), first row after each episode.
        task: Int64 (E,), which of `tasks` each is about.
        tasks: Instructions.
    """

    embedding: Rows
    state: Rows
    action: Rows
    ends: NDArray[np.int64]
    task: NDArray[np.int64]
    tasks: tuple[str, ...]

    @cached_property
    def episode(self) -> NDArray[np.int64]:
        """Which episode each row belongs to, (N,)."""
        return np.repeat(np.arange(len(self.ends)), np.diff(self.ends, prepend=0))

    @cached_property
    def step(self) -> NDArray[np.int64]:
        """Step of each row within its episode, (N,)."""
        starts = np.concatenate([[0], self.ends[:-1]])
        found: NDArray[np.int64] = np.arange(len(self.embedding)) - starts[self.episode]
        return found

    @cached_property
    def known(self) -> NDArray[np.bool_]:
        """Which rows (N,) have a key."""
        there: NDArray[np.bool_] = np.asarray(np.isfinite(self.embedding).all(axis=1))
        return there

    @cached_property
    def all_steps(self) -> Neighbours:
        """Index of all rows that have a key.

        Raises:
            ConfigError: if none has.
        """
        return Neighbours(self.embedding[self.known])

    def find(self, point: Rows, task: str, steps: int) -> tuple[int, float]:
        """The nearest step of a success of a task that goes on for a while.

        Args:
            point: Float32 (D,).
            task: The instruction.
            steps: It has to go on for so many.

        Returns:
            Its row and how far it is.

        Raises:
            RecoveryError: if there is no such step.
        """
        index, rows = self._of_task(task, steps)
        distance, nearest = index.nearest(point[None])
        return int(rows[nearest[0]]), float(distance[0])

    def tasks_known(self) -> Sequence[str]:
        """Instructions that it has successes of."""
        return [self.tasks[place] for place in np.unique(self.task)]

    def _of_task(self, task: str, steps: int) -> tuple[Neighbours, NDArray[np.int64]]:
        made: dict[tuple[str, int], tuple[Neighbours, NDArray[np.int64]]] = self._indices
        if (task, steps) not in made:
            asked = np.array([name == task for name in self.tasks], np.bool_)
            long_enough = self.ends[self.episode] - np.arange(len(self.embedding)) >= steps
            rows = np.flatnonzero(self.known & asked[self.task[self.episode]] & long_enough)
            if not rows.size:
                raise RecoveryError(
                    f"no success of '{task}' that goes on for {steps} steps is known, only of "
                    f"{', '.join(self.tasks_known())}"
                )
            made[task, steps] = Neighbours(self.embedding[rows]), rows
        return made[task, steps]

    @cached_property
    def _indices(self) -> dict[tuple[str, int], tuple[Neighbours, NDArray[np.int64]]]:
        return {}
