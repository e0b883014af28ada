"""Figures of detectors that were scored on the same folds."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.episode_metrics import (
    Episodes,
    Ranking,
    average_precision_replicates,
    episode_scores,
    percentile_interval,
    raise_alarms,
)
from salus_ros.core.failures import FailureType
from salus_ros.core.metrics import average_precision
from salus_ros.core.statistics import wilson_interval
from salus_ros.prediction.episode_evaluation import CUTS, cut_steps
from salus_ros.prediction.step_evaluation import defined

Score = NDArray[np.float64]

FIGURES = ("auroc_within_task", "auroc_pooled", "average_precision")

STEP_FIGURES = ("f1", "precision", "recall", "f1_without_timeout", "macro_f1",
                "average_precision", "calibration_error")  # fmt: skip


def rank_all(
    scores: Mapping[str, Sequence[Score]],
    episodes: Sequence[Episodes],
    seeds: Sequence[int],
    reference: str | None,
) -> dict[str, dict[str, Any]]:
    """Rank the episodes by every detector's score.

    Args:
        scores: By detector, of each fold the running scores of its rows.
        episodes: The episodes of each fold.
        seeds: Seed of each fold's resamples; the same episodes are drawn for every detector.
        reference: Detector that the others are compared with, in pairs.

    Returns:
        By detector and cut the `FIGURES`, see `Benchmark.results`.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in scores}
    for cut in CUTS:
        drawn = {name: _replicates(one, episodes, seeds, cut) for name, one in scores.items()}
        for name, (values, replicates) in drawn.items():
            figures: dict[str, Any] = {}
            for figure in FIGURES:
                figures[figure] = defined(values[figure])
                figures[f"{figure}_interval"] = _interval(replicates[figure])
                if reference is not None and name != reference:
                    other_values, other = drawn[reference]
                    difference = other_values[figure] - values[figure]
                    figures[f"{figure}_below_reference"] = defined(difference)
                    figures[f"{figure}_below_reference_interval"] = _interval(
                        other[figure] - replicates[figure]
                    )
            found[name][cut] = figures
    return found


def _replicates(
    scores: Sequence[Score], episodes: Sequence[Episodes], seeds: Sequence[int], cut: str
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """Mean over the folds of each of `FIGURES`, and of their bootstrap replicates."""
    values: dict[str, list[float]] = {name: [] for name in FIGURES}
    replicates: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FIGURES}
    for score, some, seed in zip(scores, episodes, seeds, strict=True):
        best = episode_scores(score, some, cut_steps(some, cut))
        for name, within in (("auroc_within_task", True), ("auroc_pooled", False)):
            ranking = Ranking(best, some, within=within)
            values[name].append(ranking.auroc)
            replicates[name].append(ranking.replicates(seed))
        known = np.where(np.isnan(best), -np.inf, best)
        values["average_precision"].append(average_precision(_ranks(known), some.failed))
        replicates["average_precision"].append(average_precision_replicates(best, some, seed))
    return (
        {name: float(np.mean(one)) for name, one in values.items()},
        {name: np.mean(one, axis=0) for name, one in replicates.items()},
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same order in finite numbers."""
    return np.unique(values, return_inverse=True)[1].astype(np.float64)


def alarm_figures(
    scores: Sequence[Score], episodes: Sequence[Episodes], thresholds: Sequence[float]
) -> dict[str, Any]:
    """Raise alarms at each fold's threshold and describe them, pooled over the folds.

    The interval of the false alarms counts every episode once, however many folds have it.
    """
    joined = replace(
        episodes[0],
        **{
            field: np.concatenate([getattr(one, field) for one in episodes])
            for field in ("length", "failed", "failure_step", "failure_type", "task", "rate_hz")
        },
    )
    limits = np.repeat(thresholds, [len(one) for one in episodes])
    alarms = raise_alarms(np.concatenate(scores), joined, limits)
    share, _, per_hour = alarms.false_alarms()
    repeated = len(episodes) > 1 and all(one is episodes[0] for one in episodes)
    good = int((~(episodes[0] if repeated else joined).failed).sum())
    low, high = wilson_interval(round(share * good), good) if good else (np.nan, np.nan)
    median, p10 = alarms.lead_quantiles([0.5, 0.1])
    return {
        "detection_rate": defined(alarms.detection_rate()),
        "false_alarm_share": defined(share),
        "false_alarm_interval": [defined(low), defined(high)],
        "false_alarms_per_hour": defined(per_hour),
        "lead_median_s": defined(median),
        "lead_p10_s": defined(p10),
        "lead_before_drop_or_collision_s": defined(
            alarms.lead_quantiles([0.5], int(FailureType.DROP), int(FailureType.COLLISION))[0]
        ),
        "never_sounds": bool(np.isinf(thresholds).all()),
    }


def mean_and_deviation(
    several: Sequence[Mapping[str, float | None]],
) -> dict[str, list[float | None]] | None:
    """Mean and standard deviation over the folds of `STEP_FIGURES`; None without them."""
    if not all(several):
        return None
    found: dict[str, list[float | None]] = {}
    for name in STEP_FIGURES:
        there = [value for one in several if (value := one[name]) is not None]
        deviation = float(np.std(there, ddof=1)) if len(there) > 1 else None
        found[name] = [float(np.mean(there)) if there else None, deviation]
    return found


def _interval(replicates: NDArray[np.float64]) -> list[float | None]:
    return [defined(end) for end in percentile_interval(replicates)]
