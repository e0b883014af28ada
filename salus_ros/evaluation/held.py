"""The episodes that detectors are compared on, and the one draw that resamples them."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.episode_metrics import draw_folds
from salus_ros.evaluation.operator_metrics import Split
from salus_ros.training.dataset import Samples

SHARES = (0.1, 0.25, 0.5, 0.75)
"""Shares of their time limit at which the episodes that are still running are ranked."""

STEPS = (15, 30, 50, 75, 100)
"""Steps at which they are ranked too, unless others are given."""


class Alarm(NamedTuple):
    """Scores (N,) of each split, and the thresholds they are to exceed."""

    scores: Sequence[NDArray[np.floating]]
    thresholds: Sequence[float]


class Held:
    """Held-out episodes of some splits, and one draw that resamples them for all detectors.

    `moments` are the steps (E,) of the episodes of each split at which they are ranked, by name.

    Args:
        samples: Of each split.
        steps: At which episodes are ranked, beside those of `SHARES`.
    """

    def __init__(self, samples: Sequence[Samples], steps: Sequence[int] = STEPS) -> None:
        self.samples = tuple(samples)
        self.episodes = [episodes_of(one) for one in samples]
        self.keys = [[record.key for record in one.records] for one in samples]
        self.drawn = draw_folds(self.keys, self.episodes)
        self.weights = [np.vstack((np.ones(one.shape[1]), one)) for one in self.drawn]
        self.moments: dict[str, list[NDArray[np.int64]]] = {
            f"{share:.0%}": [one.share_of_limit(share) for one in self.episodes]
            for share in SHARES
        }
        self.moments |= {
            f"step {step}": [np.full(len(one), step) for one in self.episodes] for step in steps
        }
        self.successes = self.distinct(~one.failed for one in self.episodes)

    def split(self, scores: Sequence[NDArray[np.floating]]) -> list[Split]:
        """Scores (N,) of each split, with its episodes and their weights."""
        return list(map(Split, scores, self.episodes, self.weights))

    def failures(self, *kinds: int) -> int:
        """How many different episodes failed so, however many splits have one."""
        return self.distinct(
            one.failed & np.isin(one.failure_type, kinds) for one in self.episodes
        )

    def distinct(self, masks: Iterable[NDArray[np.bool_]]) -> int:
        """How many different episodes are in masks (E,), one of each split."""
        return len({
            key
            for keys, mask in zip(self.keys, masks, strict=True)
            for key, chosen in zip(keys, mask, strict=True)
            if chosen
        })  # fmt: skip
