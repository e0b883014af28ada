"""Comparing failure detectors on the same episodes and the same splits."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros import __version__
from salus_ros.core.pool import Desk, Lost, Pool
from salus_ros.evaluation.detectors.catalogue import OURS, choose, default_of_logs
from salus_ros.evaluation.detectors.comparison import mean_and_deviation, part_figures
from salus_ros.evaluation.detectors.detector import failed
from salus_ros.evaluation.detectors.scoring import ALPHA, FORM, Scored, run_detector
from salus_ros.evaluation.folds import Fold
from salus_ros.evaluation.held import STEPS, Held
from salus_ros.evaluation.knowable_file import Limits, mean_outputs
from salus_ros.prediction.features import CLOSE_STEPS
from salus_ros.training.dataset import Samples

type Job = tuple[Fold, tuple[str, ...]]
"""Detectors of one model, to be fitted to a fold."""

type Found = dict[tuple[str, str], Scored]
"""By names of detector and fold."""


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
        detector = self.detectors[name]()
        config = getattr(detector, "config", "")
        clock = CLOSE_STEPS if "clock" in getattr(config, "inputs", ()) else ""
        settings = f"{config}{getattr(detector, 'output', '')}{clock}"
        text = f"{__version__} {FORM} {settings} {self.samples.data_hash()} {held_out} {fold}"
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def _path(self, name: str, fold: Fold) -> Path | None:
        file = f"{name.replace(':', '-')}-{fold.name}.npz"
        return None if self._folder is None else self._folder / file

    def _save(self, name: str, fold: Fold, scored: Scored) -> None:
        if (path := self._path(name, fold)) is not None:
            scored.save(path, self._key(name, fold))

    def _load(self, name: str, fold: Fold) -> Scored | None:
        path = self._path(name, fold)
        return None if path is None else Scored.load(path, self._key(name, fold))

    def results(
        self, limits: Limits | None = None, steps: Sequence[int] = STEPS
    ) -> dict[str, Any]:
        """Compute the figures of all detectors.

        Args:
            limits: What is knowable of the episodes, to stand beside the precision of outputs.
            steps: At which the episodes that are still running are ranked.

        Returns:
            JSON values: `episodes`, `failures`, `failures_by_type` (the finest that is known),
            `unlabelled_episodes` (they are left out), `folds`, `alpha`, `reference` (the detector
            that the others are compared with: the default model, or that of episodes without
            hidden states), `detectors`, `missing` (why one was not run) and, where they are given,
            where the `limits` come from. Of a detector: `test` and, with other episodes,
            `held_out` (see `part_figures`); `outputs`, means over the folds of
            `precision_by_output` on the test parts, with the limits beside them where they are
            given; `steps`, mean and standard deviation over the folds of `STEP_FIGURES`; `fit_s`;
            `step_us`.
        """
        ran = [name for name in self.detectors if name not in self.missing]
        taught = min(int(failed(self.samples)[list(fold.train)].sum()) for fold in self.folds)
        defaults = (OURS, default_of_logs(taught))
        reference = next((name for name in defaults if name in ran), None)
        described = {name: dict[str, Any]() for name in ran}
        scored = {name: [self._scored[name, f.name] for f in self.folds] for name in ran}
        checked = [self.samples.subset(fold.calibration) for fold in self.folds]
        parts = {"test": [self.samples.subset(fold.test) for fold in self.folds]}
        if self.held_out is not None:
            parts["held_out"] = [self.held_out] * len(self.folds)
        for part, samples in parts.items():
            found = part_figures(scored, part, Held(samples, steps), checked, reference)
            for name, figures in found.items():
                described[name][part] = figures
        for name, folds in scored.items():
            outputs = mean_outputs([one.outputs for one in folds])
            described[name] |= {
                "outputs": outputs if limits is None else limits.beside(outputs),
                "steps": mean_and_deviation([one.steps for one in folds]),
                "fit_s": float(np.mean([one.fit_s for one in folds])),
                "step_us": float(np.median([one.step_us for one in folds])),
            }
        bad = failed(self.samples)
        records = [self.samples.records[place] for place in np.flatnonzero(bad)]
        kinds = Counter(record.meta.finest_type.label for record in records)
        result: dict[str, Any] = {
            "salus_version": __version__,
            "data_hash": self.samples.data_hash(),
            "episodes": len(bad),
            "failures": int(bad.sum()),
            "failures_by_type": dict(kinds),
            **self.samples.left_out,
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
        if limits is not None:
            result["limits"] = limits.source
        if self.held_out is not None:
            bad = failed(self.held_out)
            result["held_out"] = {
                "episodes": len(bad),
                "failures": int(bad.sum()),
                **self.held_out.left_out,
            }
        return result


def _work(benchmark: Benchmark, desk: Desk[Job, Found]) -> None:
    """Body of a worker."""
    for job in desk:
        assert job is not None  # one at a time
        desk.send(job, benchmark._compute(*job))
        desk.done(job)
