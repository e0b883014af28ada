"""SALUS's own predictor among the detectors."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np

from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.dataset import Samples
from salus_ros.prediction.detectors.detector import Score
from salus_ros.prediction.detectors.distances import missing_embedding
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.split import Split
from salus_ros.prediction.training import fit_checkpoint


class HorizonPredictor:
    """Score = an output of the predictor, uncalibrated.

    Args:
        name: Name of the detector.
        config: Settings of its training; those of the split do not count.
        output: "risk" (any failure within the longest horizon) or "episode_failure" (at all).

    Attributes:
        predictor: The trained predictor, after `fit`.
    """

    needs_failures = True

    def __init__(
        self,
        name: str,
        config: TrainingConfig,
        output: Literal["risk", "episode_failure"] = "risk",
    ) -> None:
        self.name = name
        self.config = config
        self.output = output

    def missing(self, samples: Samples) -> str:
        """Ask for the hidden state where it is an input."""
        return missing_embedding(samples) if "embedding" in self.config.inputs else ""

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train as `salus train` does."""
        config = replace(self.config, seed=seed)
        self.predictor = _trained(samples, tuple(train), tuple(validation), config)

    def score(self, samples: Samples) -> Score:
        """The output."""
        prediction = self.predictor.predict_samples(samples)
        return np.asarray(getattr(prediction, self.output), dtype=np.float64)


@lru_cache(maxsize=1)
def _trained(
    samples: Samples, train: tuple[int, ...], validation: tuple[int, ...], config: TrainingConfig
) -> Predictor:
    """Train; the last one is kept, for a second detector that reads its other output."""
    split: Split = {"train": train, "validation": validation, "test": ()}
    checkpoint, fitted = fit_checkpoint(samples, split, config)
    if fitted.interrupted:  # training ends early on Ctrl-C; a comparison must not
        raise KeyboardInterrupt
    return Predictor(checkpoint)
