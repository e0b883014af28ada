"""Detectors that learn next to nothing: the sober baselines, and sums of one statistic."""

import math
from collections.abc import Callable, Sequence

import numpy as np

from salus_ros.evaluation.detectors.detector import Replans, Score, early_auroc
from salus_ros.evaluation.rules import TaskPrior
from salus_ros.training.dataset import Samples

ENTROPY_WINDOW = 10
"""Replans that the entropy of FIPER is summed over: 1 s when planning every third step."""


class Rule:
    """A rule that fits nothing.

    Args:
        name: Name of the detector.
        rule: Gives the running score (N,) of samples.
        lacks: Says what the rule lacks in samples, "" for nothing.
        declared: Score above which the rule itself alarms; NaN where it declares none.
    """

    needs_failures = False

    def __init__(
        self,
        name: str,
        rule: Callable[[Samples], Score],
        lacks: Callable[[Samples], str] = lambda samples: "",
        declared: float = math.nan,
    ) -> None:
        self.name = name
        self.declared = declared
        self._rule, self._lacks = rule, lacks

    def missing(self, samples: Samples) -> str:
        """Ask for what the rule reads."""
        return self._lacks(samples)

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """There is nothing to fit."""

    def score(self, samples: Samples) -> Score:
        """What the rule gives."""
        return self._rule(samples)


class PriorOfTask:
    """Score = share of failures of the task in training, see `rules.TaskPrior`."""

    name = "task_prior"
    needs_failures = True

    def missing(self, samples: Samples) -> str:
        """Nothing can be missing."""
        return ""

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Count the failures of each task."""
        self.score = TaskPrior([samples.records[place] for place in train])


class SingleSignal:
    """Score = one signal, or minus it: the sign that tells training failures better.

    Args:
        signal: Name of the signal.
    """

    needs_failures = True

    def __init__(self, signal: str) -> None:
        self.signal = signal
        self.name = f"signal:{signal}"
        self.sign = 1.0

    def missing(self, samples: Samples) -> str:
        """Ask for the signal, valid at least once."""
        if self.signal not in samples.signal_names:
            return f"the episodes have no signal '{self.signal}'"
        there = samples.valid[:, samples.signal_names.index(self.signal)].any()
        return "" if there else f"'{self.signal}' was never valid"

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """Choose the sign."""
        part = samples.subset(train)
        values = self._values(part)
        up, down = (early_auroc(sign * values, part) for sign in (1.0, -1.0))
        self.sign = -1.0 if down > up else 1.0

    def score(self, samples: Samples) -> Score:
        """The signal with its sign."""
        return self.sign * self._values(samples)

    def _values(self, samples: Samples) -> Score:
        column = samples.signal_names.index(self.signal)
        values = samples.signals[:, column].astype(np.float64)
        values[~samples.valid[:, column]] = np.nan
        return values


class StatisticSum:
    """Score = sum of a recorded chunk statistic over the replans of the episode so far.

    STAC (Agia et al. 2024, arXiv 2410.04640) sums the discrepancy of overlapping chunks, FIPER
    (Römer et al. 2025) the entropy of the chunks over a window. A replan without the statistic,
    as the first, adds nothing.

    Args:
        name: Name of the detector.
        statistic: One of `Samples.chunk_statistic_names`.
        window: Number of replans summed over; all by default.
    """

    needs_failures = False

    def __init__(self, name: str, statistic: str, window: int | None = None) -> None:
        self.name = name
        self.statistic = statistic
        self.window = window

    def missing(self, samples: Samples) -> str:
        """Ask for the statistic."""
        return missing_statistics(samples, [self.statistic])

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """There is nothing to fit."""

    def score(self, samples: Samples) -> Score:
        """The sum."""
        assert samples.chunk_statistics is not None
        column = samples.chunk_statistic_names.index(self.statistic)
        values = samples.chunk_statistics[:, column]
        replans = Replans.of(samples, ~np.isnan(values))
        return replans.hold(replans.running_sum(values[replans.rows], self.window))


class ReversalRate:
    """Score = how often the action has turned round so far, mean over its dimensions.

    SafeContract (Gupta 2026, arXiv 2605.28726): with v_t = a_t - a_{t-1}, the share of the steps
    with v_t v_{t-1} < 0. Nothing is learnt.
    """

    name = "reversal_rate"
    needs_failures = False

    def missing(self, samples: Samples) -> str:
        """Ask for the action."""
        return "" if samples.action is not None else "the episodes have no action of one width"

    def fit(
        self, samples: Samples, train: Sequence[int], validation: Sequence[int], seed: int
    ) -> None:
        """There is nothing to fit."""

    def score(self, samples: Samples) -> Score:
        """The share up to each replan, from the third step of an episode on."""
        assert samples.action is not None
        speed = np.diff(samples.action, axis=0, prepend=np.nan)  # (N, A)
        turned = (speed * np.roll(speed, 1, axis=0) < 0).sum(axis=1)
        turned[samples.step < 2] = 0  # these look back into another episode
        total = np.concatenate(
            ([0], np.cumsum(turned))
        )  # of integers: exact, whatever came before
        rows = np.arange(len(turned))
        so_far = total[rows + 1] - total[rows - samples.step]
        share = so_far / (np.maximum(samples.step - 1, 1) * speed.shape[1])
        replans = Replans.of(samples, samples.step >= 2)
        return replans.hold(share[replans.rows])


def missing_statistics(samples: Samples, names: Sequence[str]) -> str:
    """Say which chunk statistics the episodes lack; "" if none."""
    lacking = [name for name in names if name not in samples.chunk_statistic_names]
    if lacking or samples.chunk_statistics is None:
        return f"the episodes have no chunk statistic {', '.join(lacking or names)}"
    columns = [samples.chunk_statistic_names.index(name) for name in names]
    there = np.asarray(np.isfinite(samples.chunk_statistics[:, columns]).any(axis=0))
    gone = [name for name, is_there in zip(names, there, strict=True) if not is_there]
    return f"{', '.join(gone)} was never computed" if gone else ""
