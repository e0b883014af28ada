"""The figures of a score over whole episodes, any detector's."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.alarm import HYSTERESIS
from salus_ros.core.failures import FailureType, Outcome, kinds_of
from salus_ros.evaluation.episode_metrics import (
    Alarms,
    Episodes,
    Ranking,
    average_precision_replicates,
    draw_episodes,
    percentile_interval,
    raise_alarms,
)
from salus_ros.evaluation.metrics import average_precision
from salus_ros.evaluation.statistics import LEAST_EPISODES
from salus_ros.evaluation.step_evaluation import defined
from salus_ros.training.dataset import Samples

CUTS = ("shortest", "quarter", "full")
"""Where an episode's score ends: at the shortest episode of its task, at a quarter of the time
limit, and at its end; the last depends on the outcome and only shows what that is worth."""

SUDDEN = tuple(map(int, kinds_of(FailureType.DROP, FailureType.COLLISION)))
"""Failures that come within a moment, misplaced releases among them, as `Episodes` holds them."""


def episodes_of(samples: Samples) -> Episodes:
    """Return how the episodes went."""
    metas = [record.meta for record in samples.records]
    tasks = [meta.task for meta in metas]
    return Episodes(
        length=np.array([record.length for record in samples.records], np.int64),
        failed=np.array([meta.outcome == Outcome.FAILURE for meta in metas], np.bool_),
        failure_step=np.array([meta.failure_step for meta in metas], np.int64),
        failure_type=np.array([int(r.meta.finest_type) for r in samples.records], np.int64),
        task=np.unique(tasks, return_inverse=True)[1].astype(np.int64),
        rate_hz=np.array([meta.rate_hz for meta in metas], np.float64),
        time_limit=samples.time_limits,
    )


def cut_steps(episodes: Episodes, cut: str) -> NDArray[np.int64]:
    """Return the steps (E,) of each episode that count, for one of `CUTS`."""
    if cut == "full":
        return episodes.length
    return episodes.shortest() if cut == "shortest" else episodes.share_of_limit(0.25)


def evaluate_episodes(
    samples: Samples, level: NDArray[np.floating] | None, alpha: float | None = None
) -> dict[str, Any]:
    """Raise a predictor's alarms.

    Args:
        samples: The episodes.
        level: (N,), above 0 where it alarms, see `Predictor.alarm_level`; None for no threshold.
        alpha: Share of false alarms that is promised.

    Returns:
        JSON values: `episodes`, `failures`; `alarm`, None without a threshold: the figures of
        `describe_alarms`, and `alpha`; `undefined`: why figures are None.
    """
    episodes = episodes_of(samples)
    failures = int(episodes.failed.sum())
    alarm, reasons = None, {}
    if level is None:
        reasons["alarm"] = "no threshold: validation held no failure to choose it by"
    else:
        alarm = describe_alarms(raise_alarms(level, episodes, 0.0, HYSTERESIS)) | {"alpha": alpha}
        if np.isneginf(level[~np.isnan(level)]).all():
            reasons["alarm"] = (
                "it never sounds: too few successes were in the calibration to promise its alpha"
            )
    if failures in (0, len(episodes)):
        kind = "failed" if failures else "succeeded"
        reasons["ranking"] = f"all {len(episodes)} episodes {kind}: there is nothing to compare"
    return {
        "episodes": len(episodes), "failures": failures, "alarm": alarm, "undefined": reasons
    }  # fmt: skip


def rank(scores: NDArray[np.float64], episodes: Episodes) -> dict[str, Any]:
    """Figures of one score per episode, (E,), each with its bootstrap interval over episodes.

    An episode without a score was not judged and does not count; without any nothing is defined.
    An interval needs `LEAST_EPISODES` failures and as many successes.
    """
    judged = ~np.isnan(scores)
    scores, episodes = scores[judged], episodes.subset(judged, episodes.failed)
    failures = int(episodes.failed.sum())
    enough = min(failures, len(episodes) - failures) >= LEAST_EPISODES
    nothing = np.full(1, np.nan)
    drawn = draw_episodes(episodes.failed) if enough else np.zeros((0, len(episodes)))
    found: dict[str, tuple[float, NDArray[np.float64]]] = {}
    for name, within in (("auroc_within_task", True), ("auroc_pooled", False)):
        ranking = Ranking(scores, episodes, within=within)
        found[name] = (ranking.auroc, ranking.replicates(drawn) if enough else nothing)
    ranks = np.unique(scores, return_inverse=True)[1].astype(np.float64)  # infinity too
    found["average_precision"] = (
        average_precision(ranks, episodes.failed),
        average_precision_replicates(scores, episodes.failed, drawn) if enough else nothing,
    )
    result: dict[str, Any] = {"unjudged": int((~judged).sum())}
    for name, (value, replicates) in found.items():
        result[name] = defined(value)
        result[f"{name}_interval"] = [defined(end) for end in percentile_interval(replicates)]
    return result


def describe_alarms(alarms: Alarms) -> dict[str, Any]:
    """Figures of alarms as JSON values.

    Returns:
        `detection_rate`, the same `by_type`, `failures_by_type`, `false_alarm_share` with
        `false_alarm_interval`, `false_alarms_per_hour` of successful operation, `lead_s` (median
        and 10th percentile of what was detected; how many were detected and missed), the same of
        drops, with all that is a kind of them, and collisions alone.
    """
    share, interval, per_hour = alarms.false_alarms()
    ending = alarms.episodes.failure_type[alarms.episodes.failed]
    kinds = [FailureType(int(kind)) for kind in np.unique(ending)]
    return {
        "detection_rate": defined(alarms.detection_rate()),
        "by_type": {kind.label: defined(alarms.detection_rate(int(kind))) for kind in kinds},
        "failures_by_type": {kind.label: int((ending == kind).sum()) for kind in kinds},
        "false_alarm_share": defined(share),
        "false_alarm_interval": [defined(end) for end in interval],
        "false_alarms_per_hour": defined(per_hour),
        "lead_s": _lead(alarms),
        "lead_before_drop_or_collision_s": _lead(alarms, *SUDDEN),
    }


def _lead(alarms: Alarms, *kinds: int) -> dict[str, Any]:
    median, p10 = alarms.lead_quantiles([0.5, 0.1], *kinds)
    failed = alarms.episodes.failed
    if kinds:
        failed = failed & np.isin(alarms.episodes.failure_type, kinds)
    missed = alarms.missed(*kinds)
    return {
        "median": defined(median),
        "p10": defined(p10),
        "detected": int(failed.sum()) - missed,
        "missed": missed,
    }
