"""Hold a detector of one's own to the rules of the benchmark, beside others.

python examples/own_detector.py [--store shipped:standard]

A detector is a class with `missing`, `fit` and `score`. It sees the training part of a split, is
given a threshold on the calibration part, and is judged on the test part. With a line in
salus_ros/evaluation/detectors/catalogue.py `salus benchmark` runs it too.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from salus_ros.evaluation.detectors.baselines import Rule
from salus_ros.evaluation.detectors.comparison import part_figures
from salus_ros.evaluation.detectors.detector import Detector, Replans, Score
from salus_ros.evaluation.detectors.scoring import run_detector
from salus_ros.evaluation.folds import make_folds
from salus_ros.evaluation.held import Held
from salus_ros.evaluation.rules import clock
from salus_ros.training.dataset import Samples, load_samples


class Surprise:
    """How far the signals are from what successful episodes have, mean over the last replans."""

    name = "surprise"
    needs_failures = False

    def missing(self, samples: Samples) -> str:
        """Nothing can be missing: a signal that is not there does not count."""
        return ""

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Take mean and deviation of each signal; the training part alone may be looked at."""
        part = samples.subset(train)
        values = np.where(part.valid, part.signals, np.nan)
        self.mean, self.deviation = np.nanmean(values, axis=0), np.nanstd(values, axis=0) + 1e-6

    def score(self, samples: Samples) -> Score:
        """Score (N,) of every step, from it and those before it in the episode alone."""
        replans = Replans.of(samples)
        rows = replans.rows
        values = np.where(samples.valid[rows], samples.signals[rows], np.nan)
        with np.errstate(invalid="ignore"):
            distance = np.nanmean(np.abs((values - self.mean) / self.deviation), axis=1)
        return replans.hold(replans.running_sum(np.nan_to_num(distance), window=10))


def main(store: str) -> None:
    """Judge it beside a clock, on one split of a store."""
    samples = load_samples([store], inputs=())
    fold = make_folds(samples)[0]
    detectors: list[Detector] = [Surprise(), Rule("clock", clock)]
    scored = {one.name: [run_detector(one, samples, fold)] for one in detectors}
    test, calibration = samples.subset(fold.test), samples.subset(fold.calibration)
    figures = part_figures(scored, "test", Held([test]), [calibration], None)
    print(f"{store}: {len(fold.train)} episodes to fit, {len(fold.test)} to test")
    for name, found in figures.items():
        alarm = found["operator"]["foreseen"]["conformal"]
        recall, alarmed = alarm["recall"]["all"], alarm["alarmed"]
        print(f"  {name}: foresees {recall:.2f} of the failures, {alarmed:.2f} of successes alarm")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Judge a detector of one's own.")
    parser.add_argument("--store", default="shipped:standard")
    main(parser.parse_args().store)
