"""What a detector says at every step, in the forms that the figures ask for."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from salus_ros.prediction.predictor import Prediction
from salus_ros.training.alarm_score import References, excess

Score = NDArray[np.floating]


@dataclass(frozen=True, slots=True, eq=False)
class Readout:
    """Scores of N steps; higher means failure, NaN where nothing is said.

    Attributes:
        ever: (N,), that the episode fails at all, at whatever distance: what an alarm goes by.
        no_progress: (N,), that it ends in no progress, by its time limit.
        soon: (N,), that it fails within the longest horizon.
        by_type: (N, K), that it fails in each way within the longest horizon; None for a detector
            that does not tell failures apart.
    """

    ever: Score
    no_progress: Score
    soon: Score
    by_type: Score | None = None

    @classmethod
    def single(cls, score: Score) -> Self:
        """Of a detector with one score (N,), which then has to do for all."""
        return cls(score, score, score)

    @classmethod
    def of(cls, prediction: Prediction, reached: References | None = None) -> Self:
        """Of a predictor; what it does not tell of the whole episode, its risk has to say.

        Args:
            prediction: What it says.
            reached: What its alarm is measured from, see `alarm_score.references_of`; None for a
                predictor without, and then the probability that the episode fails ranks it.
        """
        whole = prediction.episode_failure
        whole = whole if np.isfinite(whole).any() else prediction.risk
        no_progress = prediction.no_progress
        return cls(
            whole if reached is None else excess(prediction, reached),
            no_progress if np.isfinite(no_progress).any() else whole,
            prediction.risk,
            prediction.probability.max(axis=1),
        )

    def arrays(self, name: str) -> dict[str, Score]:
        """Its arrays, by names that begin with `name`; one score for all is there once."""
        own = {"no_progress": self.no_progress, "soon": self.soon, "by_type": self.by_type}
        several = {} if self.soon is self.ever else own
        return {
            f"{name}_{part}": values
            for part, values in {"ever": self.ever, **several}.items()
            if values is not None
        }

    @classmethod
    def from_arrays(cls, name: str, arrays: Mapping[str, Score]) -> Self:
        """Of what `arrays` gave.

        Raises:
            KeyError: if one is missing.
        """
        ever = arrays[f"{name}_ever"]
        if f"{name}_soon" not in arrays:
            return cls.single(ever)
        no_progress, soon = (arrays[f"{name}_{part}"] for part in ("no_progress", "soon"))
        return cls(ever, no_progress, soon, arrays.get(f"{name}_by_type"))
