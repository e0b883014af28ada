"""Fitting a detector to a fold, and what it says of what it has not seen."""

import json
import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray

from salus_ros.evaluation.beside_rules import output_precision
from salus_ros.evaluation.detectors.baselines import Rule
from salus_ros.evaluation.detectors.detector import Detector
from salus_ros.evaluation.detectors.predicting import HorizonPredictor
from salus_ros.evaluation.episode_evaluation import evaluate_episodes
from salus_ros.evaluation.folds import Fold
from salus_ros.evaluation.knowable_file import Outputs
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.evaluation.readout import Readout
from salus_ros.prediction.predictor import Prediction, Predictor
from salus_ros.training.calibrate import calibrate
from salus_ros.training.dataset import Samples

Score = NDArray[np.float64]

ALPHA = 0.05
"""Share of false alarms that the tables are about."""

TIMED_EPISODES = 5

KEPT = ("outputs", "steps", "fit_s", "step_us")
"""Fields of `Scored` that are kept as they are."""

FORM = 2
"""Of the files that scores are kept in, and of what they mean."""

STEP_FIGURES = (
    "f1",
    "precision",
    "recall",
    "f1_events",
    "macro_f1",
    "average_precision",
    "calibration_error",
    "alarm_detected",
    "alarm_false",
    "alarm_false_per_hour",
    "alarm_lead_s",
    "alarm_lead_p10_s",
    "alarm_lead_before_drop_or_collision_s",
)
"""Of SALUS's models, calibrated: of their single outputs, `f1_events` of those but the timeout at
a threshold of their own, and of their alarm."""


@dataclass(frozen=True, slots=True, eq=False)
class Scored:
    """What one detector gave on one fold.

    Attributes:
        test: What it says of the rows of the test part.
        calibration: Running scores of those of the calibration part.
        held_out: As `test`, of the other episodes; None without any.
        outputs: `precision_by_output` of the test part.
        steps: `STEP_FIGURES` on the test part, for SALUS's own models; else empty.
        declared: Score above which it alarms by its own rule; NaN for none.
        fit_s: Time to fit it.
        step_us: Time to score a step of single episodes, on one thread.
    """

    test: Readout
    calibration: Score
    held_out: Readout | None
    outputs: Outputs
    steps: dict[str, float | None]
    declared: float
    fit_s: float
    step_us: float

    def save(self, path: Path, key: str) -> None:
        """Keep it in a file, at once or not at all.

        Args:
            path: The file; its folder is made.
            key: Of all that it depends on.
        """
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {name: getattr(self, name) for name in KEPT} | {"key": key}
        about["declared"] = None if math.isnan(self.declared) else self.declared
        arrays = {"calibration": self.calibration, **self.test.arrays("test")}
        if self.held_out is not None:
            arrays |= self.held_out.arrays("held_out")
        small: dict[str, Any] = {name: one.astype(np.float32) for name, one in arrays.items()}
        partial = path.with_suffix(f".{os.getpid()}.part")
        with partial.open("wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(about)), **small)
        partial.replace(path)

    @classmethod
    def load(cls, path: Path, key: str) -> Self | None:
        """What was kept under that key; None where it was not, or the file is damaged."""
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                if about.pop("key") != key:
                    return None
                arrays = {name: file[name].astype("f8") for name in file if name != "about"}
            declared = about.pop("declared")
            return cls(
                test=Readout.from_arrays("test", arrays),
                calibration=arrays["calibration"],
                held_out=Readout.from_arrays("held_out", arrays)
                if "held_out_ever" in arrays
                else None,
                declared=math.nan if declared is None else declared,
                **about,
            )
        except (OSError, ValueError, KeyError, TypeError, BadZipFile):
            return None  # damaged: computed again


def run_detector(
    detector: Detector, samples: Samples, fold: Fold, held_out: Samples | None = None
) -> Scored:
    """Fit a detector to a fold and score what it has not seen.

    Args:
        detector: Unfitted.
        samples: The episodes.
        fold: Which of them are for what.
        held_out: Other episodes, of conditions that none of `samples` has.
    """
    started = time.perf_counter()
    detector.fit(samples, fold.train, fold.validation, fold.seed)
    fit_s = time.perf_counter() - started
    test, calibration = samples.subset(fold.test), samples.subset(fold.calibration)
    calibrated = _calibrated(detector, samples.subset(fold.validation + fold.calibration))
    readout, outputs, steps = _tested(detector, calibrated, test)
    return Scored(
        test=readout,
        calibration=detector.score(calibration),
        held_out=None if held_out is None else _read(detector, calibrated, held_out)[0],
        outputs=outputs,
        steps=steps,
        declared=detector.declared if isinstance(detector, Rule) else math.nan,
        fit_s=fit_s,
        step_us=_time(detector, samples, fold.test[:TIMED_EPISODES]),
    )


def _calibrated(detector: Detector, kept: Samples) -> Predictor | None:
    """A model of SALUS with what validation and calibration make of it; None of another."""
    if not isinstance(detector, HorizonPredictor):
        return None
    fitted = calibrate(detector.predictor, detector.readings(kept), ALPHA)
    return Predictor(detector.predictor.checkpoint, "cpu", fitted)


def _read(
    detector: Detector, calibrated: Predictor | None, samples: Samples
) -> tuple[Readout, Prediction | None]:
    """What a detector says, and where it is a model of SALUS, all of it."""
    score = detector.score(samples)
    if calibrated is None:
        return Readout.single(score), None
    assert isinstance(detector, HorizonPredictor)
    prediction = calibrated.predict_episodes(*detector.readings(samples).inputs)
    return replace(Readout.of(prediction), ever=score), prediction


def _tested(
    detector: Detector, calibrated: Predictor | None, test: Samples
) -> tuple[Readout, Outputs, dict[str, float | None]]:
    """What it says on the test part; precision of its outputs; `STEP_FIGURES` of a model."""
    readout, prediction = _read(detector, calibrated, test)
    if calibrated is None or prediction is None:
        return readout, output_precision(readout.ever, test), {}
    assert isinstance(detector, HorizonPredictor)
    test = detector.readings(test)
    found = evaluate(calibrated, test, test.usable)
    chosen, events = found["at_threshold"], found["events"] or {}
    alarm = evaluate_episodes(test, calibrated.alarm_level(prediction), ALPHA)["alarm"]
    sudden = alarm["lead_before_drop_or_collision_s"]
    return readout, output_precision(prediction.probability, test), {
        **{name: chosen[name] for name in ("f1", "precision", "recall")},
        "f1_events": events.get("f1"),
        "macro_f1": chosen["macro"]["f1"],
        "average_precision": found["average_precision"],
        "calibration_error": found["calibration_error"],
        "alarm_detected": alarm["detection_rate"],
        "alarm_false": alarm["false_alarm_share"],
        "alarm_false_per_hour": alarm["false_alarms_per_hour"],
        "alarm_lead_s": alarm["lead_s"]["median"],
        "alarm_lead_p10_s": alarm["lead_s"]["p10"],
        "alarm_lead_before_drop_or_collision_s": sudden["median"],
    }  # fmt: skip


def _time(detector: Detector, samples: Samples, places: Sequence[int]) -> float:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        parts = [samples.subset([place]) for place in places]
        detector.score(parts[0])  # what is made at the first use does not count
        started = time.perf_counter()
        for part in parts:
            detector.score(part)
        spent = time.perf_counter() - started
    finally:
        torch.set_num_threads(threads)
    return 1e6 * spent / sum(len(part.step) for part in parts)
