"""The figures of a score over whole episodes, any detector's."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.episode_metrics import (
    Alarms,
    Episodes,
    Ranking,
    episode_scores,
    percentile_interval,
    raise_alarms,
)
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.metrics import average_precision
from salus_ros.prediction.dataset import Samples

CUTS = ("shortest", "quarter", "full")
"""Where an episode's score ends: at the shortest episode of its task, at a quarter of the time
limit, and at its end; the last depends on the outcome and only shows what that is worth."""


def episodes_of(samples: Samples) -> Episodes:
    """Return how the episodes went."""
    metas = [record.meta for record in samples.records]
    tasks = [meta.task for meta in metas]
    return Episodes(
        length=np.array([record.length for record in samples.records], np.int64),
        failed=np.array([meta.outcome == Outcome.FAILURE for meta in metas], np.bool_),
        failure_step=np.array([meta.failure_step for meta in metas], np.int64),
        failure_type=np.array([int(meta.failure_type) for meta in metas], np.int64),
        task=np.unique(tasks, return_inverse=True)[1].astype(np.int64),
        rate_hz=np.array([meta.rate_hz for meta in metas], np.float64),
    )


def cut_steps(episodes: Episodes, cut: str) -> NDArray[np.int64]:
    """Return the steps (E,) of each episode that count, for one of `CUTS`."""
    if cut == "full":
        return episodes.length
    return episodes.shortest() if cut == "shortest" else episodes.quarter()


def evaluate_episodes(
    score: NDArray[np.floating],
    samples: Samples,
    threshold: float,
    alpha: float | None = None,
) -> dict[str, Any]:
    """Rank the episodes by a score, beside a clock, and raise alarms with it.

    Args:
        score: (N,), NaN where there is none.
        samples: The episodes.
        threshold: Of the alarm; NaN for none, +inf never alarms.
        alpha: Share of false alarms that the threshold promises.

    Returns:
        JSON values: `episodes`, `failures`; `ranking` by cut, with `auroc_within_task`,
        `auroc_pooled`, `average_precision` and an interval of the first two, and the same of a
        clock (score = step); `alarm`: `detection_rate`, the same `by_type`, `false_alarm_share`
        with its interval beside `alpha`, `false_alarms_per_hour`, `lead_s` (median and 10th
        percentile of what was detected, and how many were missed), also of drops and collisions.
    """
    episodes = episodes_of(samples)
    clock = samples.step.astype(np.float64)
    ranking = {}
    for cut in CUTS:
        steps = cut_steps(episodes, cut)
        ranking[cut] = {
            **rank(episode_scores(score, episodes, steps), episodes),
            "clock": rank(episode_scores(clock, episodes, steps), episodes),
        }
    result: dict[str, Any] = {
        "episodes": len(episodes),
        "failures": int(episodes.failed.sum()),
        "ranking": ranking,
        "alarm": None,
    }
    if not math.isnan(threshold):
        alarms = raise_alarms(score, episodes, threshold)
        result["alarm"] = describe_alarms(alarms) | {
            "threshold": threshold if math.isfinite(threshold) else None,
            "alpha": alpha,
        }
    return result


def rank(scores: NDArray[np.float64], episodes: Episodes) -> dict[str, Any]:
    """Figures of one score per episode, (E,)."""
    within = Ranking(scores, episodes, within=True)
    pooled = Ranking(scores, episodes, within=False)
    lowest = np.nanmin(scores) - 1.0 if np.isfinite(scores).any() else 0.0
    known = np.where(np.isnan(scores), lowest, scores)
    return {
        "auroc_within_task": defined(within.auroc),
        "auroc_within_task_interval": [
            defined(e) for e in percentile_interval(within.replicates())
        ],
        "auroc_pooled": defined(pooled.auroc),
        "auroc_pooled_interval": [defined(e) for e in percentile_interval(pooled.replicates())],
        "average_precision": defined(average_precision(known, episodes.failed)),
    }


def describe_alarms(alarms: Alarms) -> dict[str, Any]:
    """Figures of alarms, see `evaluate_episodes`."""
    share, interval, per_hour = alarms.false_alarms()
    failed = alarms.episodes.failed
    kinds = [FailureType(int(k)) for k in np.unique(alarms.episodes.failure_type[failed])]
    sudden = (int(FailureType.DROP), int(FailureType.COLLISION))
    lead, lead_sudden = (
        alarms.lead_quantiles([0.5, 0.1]),
        alarms.lead_quantiles([0.5, 0.1], *sudden),
    )
    return {
        "detection_rate": defined(alarms.detection_rate()),
        "by_type": {kind.label: defined(alarms.detection_rate(int(kind))) for kind in kinds},
        "false_alarm_share": defined(share),
        "false_alarm_interval": [defined(end) for end in interval],
        "false_alarms_per_hour": defined(per_hour),
        "lead_s": {
            "median": defined(lead[0]),
            "p10": defined(lead[1]),
            "missed": int((alarms.first[failed] < 0).sum()),
        },
        "lead_before_drop_or_collision_s": {
            "median": defined(lead_sudden[0]),
            "p10": defined(lead_sudden[1]),
        },
    }


def defined(value: float) -> float | None:
    """The value, or None for NaN."""
    return None if math.isnan(value) else float(value)
