"""SALUS's own predictor among the detectors."""

from collections.abc import Sequence
from dataclasses import replace

from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.dataset import Samples
from salus_ros.prediction.detectors.detector import Score
from salus_ros.prediction.detectors.distances import missing_embedding
from salus_ros.prediction.predictor import Predictor
from salus_ros.prediction.training import fit_checkpoint


class HorizonPredictor:
    """Score = the predictor's risk: any failure within its longest horizon, uncalibrated.

    Args:
        name: Name of the detector.
        config: Settings of its training; those of the split do not count.
    """

    needs_failures = True

    def __init__(self, name: str, config: TrainingConfig) -> None:
        self.name = name
        self.config = config

    def missing(self, samples: Samples) -> str:
        """Ask for the hidden state where it is an input."""
        return missing_embedding(samples) if "embedding" in self.config.inputs else ""

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train as `salus train` does."""
        checkpoint, fitted = fit_checkpoint(
            samples,
            {"train": tuple(train), "validation": tuple(validation), "test": ()},
            replace(self.config, seed=seed),
        )
        if fitted.interrupted:  # training ends early on Ctrl-C; a comparison must not
            raise KeyboardInterrupt
        self._predictor = Predictor(checkpoint)

    def score(self, samples: Samples) -> Score:
        """The risk."""
        return self._predictor.predict_samples(samples).risk.astype("f8")
