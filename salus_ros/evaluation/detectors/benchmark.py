"""Comparing failure detectors on the same episodes and the same splits."""

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch

from salus_ros import __version__
from salus_ros.core.pool import Desk, Lost, Pool
from salus_ros.evaluation.detectors.catalogue import OURS, choose
from salus_ros.evaluation.detectors.comparison import (
    ALPHA,
    Scored,
    mean_and_deviation,
    part_figures,
)
from salus_ros.evaluation.detectors.detector import Detector, failed
from salus_ros.evaluation.detectors.predicting import HorizonPredictor
from salus_ros.evaluation.episode_evaluation import evaluate_episodes
from salus_ros.evaluation.folds import Fold
from salus_ros.evaluation.predictor_evaluation import evaluate
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.calibrate import calibrate
from salus_ros.training.dataset import Samples

TIMED_EPISODES = 5

type Job = tuple[Fold, tuple[str, ...]]
"""Detectors of one model, to be fitted to a fold."""

type Found = dict[tuple[str, str], Scored]
"""By names of detector and fold."""


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
    return Scored(
        test=detector.score(test),
        calibration=detector.score(calibration),
        held_out=None if held_out is None else detector.score(held_out),
        steps=_step_figures(detector, calibration, test),
        fit_s=fit_s,
        step_us=_time(detector, samples, fold.test[:TIMED_EPISODES]),
    )


def _step_figures(
    detector: Detector, calibration: Samples, test: Samples
) -> dict[str, float | None]:
    """Figures of the outputs by horizon and type, calibrated on the calibration part."""
    if not isinstance(detector, HorizonPredictor):
        return {}
    test = detector.readings(test)
    fitted = calibrate(detector.predictor, detector.readings(calibration), ALPHA)
    calibrated = Predictor(detector.predictor.checkpoint, "cpu", fitted)
    found = evaluate(calibrated, test, test.usable)
    chosen = found["at_threshold"]
    prediction = calibrated.predict_episodes(*test.inputs)
    level = calibrated.alarm_level(prediction)
    alarm = evaluate_episodes(prediction.risk, test, level, ALPHA)["alarm"]
    return {
        **{name: chosen[name] for name in ("f1", "precision", "recall")},
        "f1_without_timeout": (chosen["without_timeout"] or {}).get("f1"),
        "macro_f1": chosen["macro"]["f1"],
        "average_precision": found["average_precision"],
        "calibration_error": found["calibration_error"],
        "alarm_detected": alarm["detection_rate"],
        "alarm_false": alarm["false_alarm_share"],
        "alarm_false_per_hour": alarm["false_alarms_per_hour"],
        "alarm_lead_s": alarm["lead_s"]["median"],
        "alarm_lead_p10_s": alarm["lead_s"]["p10"],
        "alarm_lead_before_drop_or_collision_s": alarm["lead_before_drop_or_collision_s"][
            "median"
        ],
    }


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


class Benchmark:
    """Detectors, episodes and splits; what is computed is kept in a folder and not done again.

    Args:
        samples: The episodes.
        folds: How they are split.
        names: Names of the detectors; all of the catalogue if none.
        held_out: Other episodes, of conditions that none of `samples` has.
        folder: Where scores are kept.
    """

    def __init__(
        self,
        samples: Samples,
        folds: Sequence[Fold],
        names: Sequence[str] = (),
        held_out: Samples | None = None,
        folder: str | Path | None = None,
    ) -> None:
        self.samples = samples
        self.folds = tuple(folds)
        self.held_out = held_out
        self.detectors = choose(names, samples.signal_names)
        self.missing = {
            name: reason for name, make in self.detectors.items()
            if (reason := make().missing(samples))
        }  # fmt: skip
        self._folder = None if folder is None else Path(folder)
        self._scored: dict[tuple[str, str], Scored] = {}

    @property
    def total(self) -> int:
        """Number of fits."""
        return len(self.folds) * (len(self.detectors) - len(self.missing))

    def run(self, workers: int = 1, on_done: Callable[[int, str], None] | None = None) -> None:
        """Fit and score whatever is not kept already.

        Args:
            workers: Processes, each on one thread.
            on_done: Called with the number of fits that are done and the name of the last.
        """
        jobs = []
        for fold in self.folds:
            together: dict[str, list[str]] = {}  # outputs of one model are learnt once
            for name, make in self.detectors.items():
                if name in self.missing:
                    continue
                if (kept := self._load(name, fold)) is not None:
                    self._scored[name, fold.name] = kept
                else:
                    detector = make()
                    model = type(detector), getattr(detector, "config", name)
                    together.setdefault(repr(model), []).append(name)
            jobs += [(fold, tuple(names)) for names in together.values()]
        for found in self._computed(jobs, workers):
            for (name, fold_name), scored in found.items():
                self._scored[name, fold_name] = scored
                if on_done is not None:
                    on_done(len(self._scored), name)

    def _computed(self, jobs: Sequence[Job], workers: int) -> Iterator[Found]:
        if workers == 1 or len(jobs) < 2:
            for fold, names in jobs:
                yield self._compute(fold, names)
            return
        advice = "what was scored is kept, the same command with fewer --workers goes on"
        work = partial(_work, self)
        with Pool(work, jobs, workers, restart=True, ahead=len(jobs), advice=advice) as pool:
            for _, found in pool.results():
                assert not isinstance(found, Lost)  # what a worker lost is run again
                yield found

    def __getstate__(self) -> dict[str, Any]:
        """What a worker needs; it makes the detectors by name."""
        return self.__dict__ | {"_scored": {}, "detectors": tuple(self.detectors)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Take over what another process has."""
        self.__dict__ |= state
        self.detectors = choose(state["detectors"], self.samples.signal_names)

    def _compute(self, fold: Fold, names: Sequence[str]) -> Found:
        found = {}
        for name in names:
            detector = self.detectors[name]()
            scored = run_detector(detector, self.samples, fold, self.held_out)
            self._save(name, fold, scored)
            found[name, fold.name] = scored
        return found

    def _key(self, name: str, fold: Fold) -> str:
        held_out = "" if self.held_out is None else self.held_out.data_hash()
        settings = getattr(self.detectors[name](), "config", "")
        text = f"{__version__} {settings} {self.samples.data_hash()} {held_out} {fold}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _path(self, name: str, fold: Fold) -> Path | None:
        file = f"{name.replace(':', '-')}-{fold.name}.npz"
        return None if self._folder is None else self._folder / file

    def _save(self, name: str, fold: Fold, scored: Scored) -> None:
        path = self._path(name, fold)
        if path is None:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        about = {
            "key": self._key(name, fold),
            "steps": scored.steps,
            "fit_s": scored.fit_s,
            "step_us": scored.step_us,
        }
        arrays: dict[str, Any] = {
            name: getattr(scored, name).astype(np.float32) for name in ("test", "calibration")
        }
        if scored.held_out is not None:
            arrays["held_out"] = scored.held_out.astype(np.float32)
        partial = path.with_suffix(f".{os.getpid()}.part")
        with partial.open("wb") as file:
            np.savez_compressed(file, about=np.array(json.dumps(about)), **arrays)
        partial.replace(path)

    def _load(self, name: str, fold: Fold) -> Scored | None:
        path = self._path(name, fold)
        if path is None or not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                about = json.loads(str(file["about"]))
                if about.pop("key") != self._key(name, fold):
                    return None
                arrays = {name: file[name].astype("f8") for name in file if name != "about"}
                return Scored(**({"held_out": None} | arrays | about))
        except (OSError, ValueError, KeyError, TypeError, BadZipFile):
            return None  # damaged: computed again

    def results(self) -> dict[str, Any]:
        """Compute the figures of all detectors.

        Returns:
            JSON values: `episodes`, `failures`, `unlabelled_episodes` (they are left out),
            `folds`, `alpha`, `reference` (the detector that the others are compared with),
            `detectors` and `missing` (why one was not run). Of a
            detector: `test` and, with other episodes, `held_out` (see `part_figures`); `steps`,
            mean and standard deviation over the folds of `STEP_FIGURES`; `fit_s`; `step_us`.
        """
        ran = [name for name in self.detectors if name not in self.missing]
        reference = next((name for name in (OURS, f"{OURS}_signals") if name in ran), None)
        described = {name: dict[str, Any]() for name in ran}
        for part in ("test", "held_out") if self.held_out is not None else ("test",):
            scored = {name: [self._scored[name, f.name] for f in self.folds] for name in ran}
            tests = [self.samples.subset(fold.test) for fold in self.folds]
            others = tests if self.held_out is None or part == "test" else [self.held_out]
            others = others * (len(self.folds) // len(others))
            checked = [self.samples.subset(fold.calibration) for fold in self.folds]
            found = part_figures(scored, part, others, checked, reference)
            for name, figures in found.items():
                described[name][part] = figures
        for name in ran:
            folds = [self._scored[name, fold.name] for fold in self.folds]
            described[name] |= {
                "steps": mean_and_deviation([one.steps for one in folds]),
                "fit_s": float(np.mean([one.fit_s for one in folds])),
                "step_us": float(np.median([one.step_us for one in folds])),
            }
        bad = failed(self.samples)
        result: dict[str, Any] = {
            "salus_version": __version__,
            "data_hash": self.samples.data_hash(),
            "episodes": len(bad),
            "failures": int(bad.sum()),
            "unlabelled_episodes": self.samples.unlabelled,
            "folds": [
                {"name": f.name, "seed": f.seed, "train": len(f.train),
                 "validation": len(f.validation), "calibration": len(f.calibration),
                 "calibration_successes": int((~bad[list(f.calibration)]).sum()),
                 "test": len(f.test)}
                for f in self.folds
            ],
            "alpha": ALPHA,
            "reference": reference,
            "detectors": described,
            "missing": self.missing,
        }  # fmt: skip
        if self.held_out is not None:
            bad = failed(self.held_out)
            result["held_out"] = {
                "episodes": len(bad),
                "failures": int(bad.sum()),
                "unlabelled_episodes": self.held_out.unlabelled,
            }
        return result


def _work(benchmark: Benchmark, desk: Desk[Job, Found]) -> None:
    """Body of a worker."""
    for job in desk:
        assert job is not None  # one at a time
        desk.send(job, benchmark._compute(*job))
        desk.done(job)
