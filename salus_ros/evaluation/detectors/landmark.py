"""Detectors for episodes without hidden states: they read what every chunk of actions shows."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit
from sklearn.linear_model import LogisticRegression

from salus_ros.evaluation.detectors.baselines import missing_statistics
from salus_ros.evaluation.detectors.detector import Replans, Score, failed
from salus_ros.evaluation.detectors.sequence_probe import actprobe
from salus_ros.training.dataset import Samples

STATISTICS = ("chunk_error", "chunk_magnitude")

SPEED = "eef_speed_3d"
"""Speed of the end effector, as ActProbe's logs call it."""

AGES = (1 / 16, 1 / 8, 3 / 16, 1 / 4, 3 / 8, 1 / 2, 3 / 4)
"""Shares of the time limit at which a regression is fitted."""

OFFSET = 1e-4
CLIP = 5.0
FEWEST = 10
"""Episodes that an age needs to be standardised by them; later ages take the last that has."""

TASK_PSEUDO_EPISODES = 5
"""Without a difference to the other tasks, that the mean of each task is shrunk by."""

RATE_PSEUDO_EPISODES = 2
"""With the overall share of failures, that the share of each task is shrunk by."""

PRIOR_SCALE = 3.0
"""Makes the penalty on the weight of the task's share of failures a ninth."""

INVERSE_PENALTY = 0.03

RAMP = 4.0
"""How much a score rises over the first quarter of the time limit."""


class Landmark:
    """Score = w(t) . x(t) + b(t), x running means since the start of the episode.

    Landmarking, as survival analysis knows it (van Houwelingen 2007): a logistic regression at
    each of `AGES`, on the episodes that still run then, the weights interpolated between. x are
    the means so far of log(`STATISTICS` + `OFFSET`), standardised at each age by the episodes
    of training that still run, which leaves no clock in them, less the mean of the task; and the
    logit of the task's share of failures. A task that training lacked has zeros for both. Fixed
    on rollouts of pi0 on LIBERO-10.

    Args:
        name: Name of the detector.
        speed: Whether the signal `SPEED` is read too, where it is there.
    """

    needs_failures = True

    def __init__(self, name: str = "landmark", *, speed: bool = False) -> None:
        self.name = name
        self.speed = speed

    def missing(self, samples: Samples) -> str:
        """Ask for the statistics of chunks."""
        return missing_statistics(samples, STATISTICS)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Fit; nothing is chosen on the held-back episodes, and nothing is drawn."""
        part = samples.subset(train)
        bad = failed(part)
        self.limit = float(np.median(part.time_limits))
        self._ages: list[int] = []
        if len(np.unique(bad)) < 2:
            return
        self._reads_speed = self.speed and SPEED in part.signal_names
        replans, means = self._means(part)
        held = np.column_stack([replans.hold(column) for column in means.T])  # (N, F)
        held, step, episode = held[part.usable], part.step[part.usable], part.episode[part.usable]
        self._centre, self._scale = _moments_by_age(held, step)
        tasks = np.array([record.meta.task for record in part.records])
        scaled = self._standardised(held, step)
        self._of_task: dict[str, NDArray[np.float64]] = {}
        self._prior: dict[str, float] = {}
        for task in np.unique(tasks).tolist():
            rows = np.isin(episode, np.flatnonzero(tasks == task))
            total, count = _sums_by_age(scaled[rows], step[rows], len(self._centre))
            self._of_task[task] = total / (count + TASK_PSEUDO_EPISODES)[:, None]
            ends = bad[tasks == task]
            share = (ends.sum() + RATE_PSEUDO_EPISODES * bad.mean()) / (
                len(ends) + RATE_PSEUDO_EPISODES
            )
            self._prior[task] = PRIOR_SCALE * float(logit(share) - logit(bad.mean()))
        inputs = self._inputs(scaled, step, tasks[episode])
        weights = []
        for age in np.unique(np.ceil(np.array(AGES) * self.limit).astype(np.int64) - 1).tolist():
            running = step == age
            if len(np.unique(bad[episode[running]])) < 2:
                continue
            model = LogisticRegression(C=INVERSE_PENALTY, class_weight="balanced")
            model.fit(inputs[running], bad[episode[running]])
            weights.append(np.append(model.coef_[0], model.intercept_))
            self._ages.append(age)
        self._weights = np.array(weights).reshape(len(weights), inputs.shape[1] + 1)

    def score(self, samples: Samples) -> Score:
        """The logit at each replan, held until the next; NaN where no age could be fitted."""
        if not self._ages:
            return np.full(len(samples.step), np.nan)
        replans, means = self._means(samples)
        step = samples.step[replans.rows]
        tasks = np.array([record.meta.task for record in samples.records])[replans.episode]
        inputs = self._inputs(self._standardised(means, step), step, tasks)
        weights = np.column_stack(
            [np.interp(step, self._ages, column) for column in self._weights.T]
        )
        logits: Score = (inputs * weights[:, :-1]).sum(axis=1) + weights[:, -1]
        return replans.hold(logits)

    def _means(self, samples: Samples) -> tuple[Replans, NDArray[np.float64]]:
        """Running means (M, F) of what is read, NaN before the first value."""
        assert samples.chunk_statistics is not None
        replans = Replans.of(samples)
        columns = []
        for name in STATISTICS:
            one = samples.chunk_statistics[:, samples.chunk_statistic_names.index(name)]
            columns.append(np.log(np.where(one >= 0, one, np.nan) + OFFSET))
        if self._reads_speed:
            place = samples.signal_names.index(SPEED)
            columns.append(np.where(samples.valid[:, place], samples.signals[:, place], np.nan))
        values = np.column_stack(columns)[replans.rows].astype(np.float64)  # (M, F)
        there = np.isfinite(values)
        means = np.full(values.shape, np.nan)
        for column in range(values.shape[1]):
            total = replans.running_sum(np.where(there[:, column], values[:, column], 0.0))
            count = replans.running_sum(there[:, column])
            np.divide(total, count, out=means[:, column], where=count > 0)
        return replans, means

    def _standardised(
        self, means: NDArray[np.float64], step: NDArray[np.int64]
    ) -> NDArray[np.float64]:
        """Values (M, F) at their age, within +-`CLIP`; 0 for what is not there."""
        age = np.minimum(step, len(self._centre) - 1)
        scaled = np.clip((means - self._centre[age]) * self._scale[age], -CLIP, CLIP)
        return np.where(np.isnan(scaled), 0.0, scaled)

    def _inputs(
        self, scaled: NDArray[np.float64], step: NDArray[np.int64], tasks: NDArray[np.str_]
    ) -> NDArray[np.float64]:
        """Inputs (M, F + 1) of the regressions."""
        inputs = np.column_stack((scaled, np.zeros(len(scaled))))
        for task in np.unique(tasks).tolist():
            if task in self._of_task:
                rows = tasks == task
                age = np.minimum(step[rows], len(self._centre) - 1)
                inputs[rows, :-1] -= self._of_task[task][age]
                inputs[rows, -1] = self._prior[task]
        return inputs


class Blend:
    """Score = mean of the logits of ActProbe and of `Landmark`, and `RAMP` over the first quarter.

    Each logit is standardised by the first quarter of the training episodes. `Landmark` is right
    within a task and wrong between tasks, ActProbe the other way round. By the ramp what is seen
    later counts more, so that the largest score is the latest verdict and not an early scare.
    """

    name = "blend"
    needs_failures = True

    def __init__(self) -> None:
        self._parts = (actprobe(), Landmark(speed=True))

    def missing(self, samples: Samples) -> str:
        """Ask for the statistics of chunks."""
        return missing_statistics(samples, STATISTICS)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Fit both, and what their logits are standardised by."""
        for part in self._parts:
            part.fit(samples, train, validation, seed)
        self._quarter = self._parts[1].limit / 4
        learnt = samples.subset(train)
        early = learnt.usable & (learnt.step < self._quarter)
        logits = self._logits(learnt)[early]
        self._centre = np.nanmean(logits, axis=0)
        deviation = np.nanstd(logits, axis=0)
        self._scale = np.divide(1.0, deviation, out=np.zeros(2), where=deviation > 0)

    def score(self, samples: Samples) -> Score:
        """The mean at each replan, held until the next."""
        mean: Score = ((self._logits(samples) - self._centre) * self._scale).mean(axis=1)
        replans = Replans.of(samples)
        age = np.minimum(samples.step[replans.rows] / self._quarter, 1.0)
        return mean + RAMP * replans.hold(age)

    def _logits(self, samples: Samples) -> NDArray[np.float64]:
        """Logits (N, 2) of the two."""
        probe, regression = (part.score(samples) for part in self._parts)
        return np.column_stack((logit(np.clip(probe, 1e-6, 1 - 1e-6)), regression))


def _sums_by_age(
    values: NDArray[np.float64], step: NDArray[np.int64], ages: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum (A, F) of the values of each age, and how many rows each has, (A,)."""
    columns = [np.bincount(step, column, ages).astype(np.float64) for column in values.T]
    return np.column_stack(columns), np.bincount(step, minlength=ages).astype(np.int64)


def _moments_by_age(
    values: NDArray[np.float64], step: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and inverse deviation (A, F) of the values at each age, up to the last with enough."""
    there = np.isfinite(values)
    ages = int(step.max()) + 1
    count, rows = _sums_by_age(there.astype(np.float64), step, ages)
    known = np.maximum(count, 1)
    mean = _sums_by_age(np.where(there, values, 0.0), step, ages)[0] / known
    spread = np.where(there, values - mean[step], 0.0)
    deviation = np.sqrt(_sums_by_age(spread**2, step, ages)[0] / known)
    inverse = np.divide(1.0, deviation, out=np.zeros_like(deviation), where=deviation > 1e-8)
    enough = np.flatnonzero(rows >= FEWEST)
    last = int(enough[-1]) + 1 if enough.size else ages
    return mean[:last], inverse[:last]
