"""What every failure detector offers, and what they share in reading episodes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import Outcome
from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.episode_metrics import Ranking, episode_scores
from salus_ros.training.dataset import Samples

Score = NDArray[np.float64]


class Detector(Protocol):
    """Scores every step of an episode; higher means failure.

    Attributes:
        name: Short name, as given on the command line.
        needs_failures: Whether failed episodes are needed to fit it.
    """

    name: str
    needs_failures: bool

    def missing(self, samples: Samples) -> str:
        """Say what it reads that these episodes lack; "" when it can run on them."""

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Fit on some episodes; `validation` chooses what training cannot.

        Args:
            samples: Episodes.
            train: Places in `samples.records` to fit on, the normalisation too.
            validation: Places of others, for early stopping and settings.
            seed: Seed of weights and batches; the same seed gives the same scores.
        """

    def score(self, samples: Samples) -> Score:
        """Running score (N,) of every row, from that step and earlier ones of its episode alone.

        NaN where the detector has nothing to go by yet. It changes at replans only.
        """


@dataclass(frozen=True, slots=True, eq=False)
class Replans:
    """The rows at which the policy planned anew, M of them; a detector's time steps.

    Attributes:
        rows: Int64 (M,), ascending.
        episode: Int64 (M,): place of the episode of each.
        first: Int64 (M,): place in `rows` of the first replan of the same episode.
        episodes: Episode of every row of the samples, (N,).
    """

    rows: NDArray[np.int64]
    episode: NDArray[np.int64]
    first: NDArray[np.int64]
    episodes: NDArray[np.int64]

    @classmethod
    def of(cls, samples: Samples, there: NDArray[np.bool_] | None = None) -> Self:
        """Find the replans, of them those in the mask `there` (N,) alone."""
        mask = samples.fresh if there is None else samples.fresh & there
        rows = np.flatnonzero(mask)
        episode = samples.episode[rows]
        first = np.searchsorted(episode, episode, side="left")
        return cls(rows, episode, first, samples.episode)

    def hold(self, values: NDArray[np.floating]) -> Score:
        """Spread values (M,) over all rows (N,): each holds until the next; NaN before."""
        last = np.searchsorted(self.rows, np.arange(len(self.episodes)), side="right") - 1
        held = np.full(len(self.episodes), np.nan)
        known = last >= 0
        known[known] = self.episode[last[known]] == self.episodes[known]
        held[known] = values[last[known]]
        return held

    def running_sum(self, values: NDArray[np.floating], window: int | None = None) -> Score:
        """Sum of values (M,) over the replans of the episode so far, or the last few, (M,)."""
        total = np.concatenate(([0.0], np.cumsum(values, dtype=np.float64)))
        place = np.arange(len(values))
        start = self.first if window is None else np.maximum(self.first, place + 1 - window)
        summed: Score = total[place + 1] - total[start]
        return summed


def failed(samples: Samples) -> NDArray[np.bool_]:
    """Which episodes (E,) failed."""
    return np.array([record.meta.outcome == Outcome.FAILURE for record in samples.records], bool)


def early_auroc(score: Score, samples: Samples) -> float:
    """AUROC of the episodes' maxima over the first quarter of the time limit.

    What chooses a sign or a number of neighbours: it cannot be won by telling how long an episode
    lasts. NaN unless there are both successes and failures.

    Args:
        score: (N,), NaN where there is none.
        samples: The episodes.
    """
    episodes = episodes_of(samples)
    if not len(episodes):
        return float("nan")
    maxima = episode_scores(score, episodes, episodes.share_of_limit(0.25))
    return Ranking(maxima, episodes, within=False).auroc
