"""Which steps are to lie near to each other, and which apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.recovery.manifold.settings import ManifoldSettings
from salus_ros.training.dataset import Samples

Places = NDArray[np.int64]
"""Rows of the samples."""

ELSEWHERE = (0.25, 0.75)
"""How much further on, as a share of the episode and round its end, a step is another one."""


@dataclass(frozen=True, slots=True, eq=False)
class Triplets:
    """Draws triplets of steps of some episodes.

    - anchor: a step of a success;
    - positive: with even odds a step of the same success up to `near_steps` away, or that of
      another success of the task that is as far on;
    - negatives: steps within `last_steps` before a failure, and a step of a success of the task
      that is elsewhere on its way, without which all successes could become one point.

    Attributes:
        settings: Of the manifold.
        starts: Int64 (E,), first row of each success.
        lengths: Int64 (E,), steps of each.
        peers: For each success, which successes are about the same task.
        last: Int64 (M,), rows within `last_steps` before a failure.
    """

    settings: ManifoldSettings
    starts: Places
    lengths: NDArray[np.int64]
    peers: Sequence[NDArray[np.int64]]
    last: Places

    @classmethod
    def of(cls, samples: Samples, episodes: Sequence[int], settings: ManifoldSettings) -> Self:
        """Those of some episodes, given by their place in `samples.records`.

        Raises:
            ConfigError: if no success or no failure is among them.
        """
        records, slices = samples.records, samples.slices
        good = [n for n in episodes if records[n].meta.outcome is Outcome.SUCCESS]
        bad = [n for n in episodes if records[n].meta.outcome is Outcome.FAILURE]
        last = [
            np.arange(max(slices[n].start, end - settings.last_steps), end)
            for n in bad
            if (end := _end(slices[n], records[n].meta.failure_step)) > slices[n].start
        ]
        if not good or not last:
            raise ConfigError(
                f"{len(good)} successes and {len(bad)} failures to learn a manifold from; it "
                "takes some of both: record more episodes"
            )
        tasks = [records[n].meta.task for n in good]
        of_task = {one: np.array([n for n, t in enumerate(tasks) if t == one]) for one in tasks}
        return cls(
            settings,
            np.array([slices[n].start for n in good], np.int64),
            np.array([records[n].length for n in good], np.int64),
            [of_task[task] for task in tasks],
            np.concatenate(last).astype(np.int64),
        )

    def draw(self, count: int, rng: np.random.Generator) -> tuple[Places, Places, Places, Places]:
        """Draw so many.

        Returns:
            Rows of anchors (B,), positives (B,), steps before failures (B, `candidates`), of which
            the nearest is the negative, and steps elsewhere (B,).
        """
        steps = np.cumsum(self.lengths)
        drawn = rng.integers(steps[-1], size=count)
        episode = np.searchsorted(steps, drawn, side="right")
        step = drawn - (steps[episode] - self.lengths[episode])
        progress = (step + 0.5) / self.lengths[episode]
        near = self.settings.near_steps
        beside = np.clip(step + rng.integers(-near, near + 1, count), 0, None)
        beside = np.minimum(beside, self.lengths[episode] - 1)
        own = rng.random(count) < 0.5
        positive = np.where(own, self.starts[episode] + beside, self._at(episode, progress, rng))
        further = (progress + rng.uniform(*ELSEWHERE, count)) % 1.0
        return (
            self.starts[episode] + step,
            positive,
            rng.choice(self.last, (count, self.settings.candidates)),
            self._at(episode, further, rng),
        )

    def _at(
        self, episode: NDArray[np.int64], progress: NDArray[np.float64], rng: np.random.Generator
    ) -> Places:
        """Rows of other successes of the same tasks that are so far on."""
        odds = rng.random(len(episode))
        other = np.array(
            [
                peers[int(odd * len(peers))]
                for peers, odd in zip((self.peers[n] for n in episode), odds, strict=True)
            ]
        )
        found: Places = self.starts[other] + (progress * self.lengths[other]).astype(np.int64)
        return found


def _end(rows: slice, failure_step: int) -> int:
    """First row at or after a failure."""
    return int(rows.stop) if failure_step < 0 else min(rows.stop, rows.start + failure_step)
