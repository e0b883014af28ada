"""SALUS's own predictor among the detectors."""

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Literal

import numpy as np

from salus_ros.core.failures import Outcome
from salus_ros.core.labels import horizon_labels
from salus_ros.core.schema import horizon_steps
from salus_ros.evaluation.detectors.detector import Score
from salus_ros.prediction.config import TrainingConfig
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.alarm_score import excess, references
from salus_ros.training.dataset import Samples
from salus_ros.training.split import Split
from salus_ros.training.train import fit_checkpoint, lacking_inputs, without_lacking


class HorizonPredictor:
    """Score = an output of the predictor, uncalibrated, or what its alarm goes by.

    Args:
        name: Name of the detector.
        config: Settings of its training; those of the split do not count.
        output: "risk" (any failure within the longest horizon), "episode_failure" (at all), or
            "alarm" (the further of the two above what successes reach in the validation part,
            see `alarm_score`).
        share: Of the training episodes, how many it learns from, drawn by the seed.

    Attributes:
        predictor: The trained predictor, after `fit`.
    """

    needs_failures = True

    def __init__(
        self,
        name: str,
        config: TrainingConfig,
        output: Literal["risk", "episode_failure", "alarm"] = "risk",
        share: float = 1.0,
    ) -> None:
        self.name = name
        self.config = config
        self.output = output
        self.share = share

    def missing(self, samples: Samples) -> str:
        """Ask for what it reads; what a robot need not have is left out where it is not."""
        optional = ("joints", "lookahead")
        lacking = [n for n in lacking_inputs(self.config, samples) if n not in optional]
        return f"the episodes have no {', '.join(lacking)}, or not all alike" if lacking else ""

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train as `salus train` does."""
        given = self.readings(samples)
        config = replace(without_lacking(self.config, given), seed=seed)
        if "clock" in config.inputs:
            config = replace(config, time_limit_steps=samples.time_limit)
        if self.share < 1:
            order = np.random.default_rng(seed).permutation(np.asarray(train, dtype=np.int64))
            train = np.sort(order[: round(self.share * len(order))]).tolist()
        self.predictor = _trained(given, tuple(train), tuple(validation), config)
        if self.output == "alarm":
            known = given.subset(validation)
            said = self.predictor.predict_episodes(*known.inputs)
            self._reached = references(said, known)

    def score(self, samples: Samples) -> Score:
        """The output."""
        prediction = self.predictor.predict_episodes(*self.readings(samples).inputs)
        if self.output == "alarm":
            return excess(prediction, self._reached)
        return np.asarray(getattr(prediction, self.output), dtype=np.float64)

    def readings(self, samples: Samples) -> Samples:
        """The episodes as the model gets them."""
        return samples


class JointsAndAction(HorizonPredictor):
    """The same, but it reads the robot's state and the action in place of the hidden state.

    A control: what they tell of a failure, the signals of the policy could have told too.
    """

    def missing(self, samples: Samples) -> str:
        """Ask for both."""
        there = samples.state is not None and samples.action is not None
        return "" if there else "the stores differ in the width of state or action"

    def readings(self, samples: Samples) -> Samples:
        """The episodes with (N, Q + A) in the place of the embedding."""
        assert samples.state is not None
        assert samples.action is not None
        both = np.column_stack((samples.state, samples.action)).astype(np.float16)
        return replace(samples, extras={"embedding": both})


class ShuffledControl(HorizonPredictor):
    """The same, taught endings that were dealt out anew: what it tells is not from the endings.

    Each episode of training and validation gets the ending of another, at its own last step. On
    test episodes this falls to chance, unless something leaks.
    """

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Train on the wrong endings."""
        super().fit(_shuffled(samples, [*train, *validation], seed), train, validation, seed)


def _shuffled(samples: Samples, places: Sequence[int], seed: int) -> Samples:
    """The same episodes, with the endings of some of them dealt out among them."""
    order = np.random.default_rng(seed).permutation(np.asarray(places, dtype=np.int64))
    records, labels = list(samples.records), samples.labels.copy()
    usable = samples.usable.copy()
    slices = samples.slices
    for place, source in zip(places, order.tolist(), strict=True):
        record, other = samples.records[place], samples.records[source].meta
        failed = other.outcome == Outcome.FAILURE
        step = record.length if failed else -1
        meta = record.meta.judged(other.outcome, other.finest_type, step)
        records[place] = replace(record, meta=meta)
        steps = horizon_steps(samples.horizons_s, meta.rate_hz)
        how = (record.length, meta.failure_step, meta.finest_type, steps, samples.failure_types)
        labels[slices[place]] = horizon_labels(*how)
        usable[slices[place]] = samples.valid[slices[place]].any(axis=1)
    return replace(samples, records=tuple(records), labels=labels, usable=usable)


@lru_cache(maxsize=1)
def _trained(
    samples: Samples, train: tuple[int, ...], validation: tuple[int, ...], config: TrainingConfig
) -> Predictor:
    """Train; the last one is kept, for a second detector that reads its other output."""
    split: Split = {"train": train, "validation": validation, "calibration": (), "test": ()}
    checkpoint, fitted = fit_checkpoint(samples, split, config)
    if fitted.interrupted:  # training ends early on Ctrl-C; a comparison must not
        raise KeyboardInterrupt
    return Predictor(checkpoint)
