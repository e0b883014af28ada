"""The figures of a score over whole episodes, any detector's."""

import math
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
    episode_scores,
    latest_scores,
    matched_threshold,
    percentile_interval,
    raise_alarms,
)
from salus_ros.evaluation.metrics import average_precision, expected_calibration_error
from salus_ros.evaluation.statistics import LEAST_EPISODES
from salus_ros.evaluation.step_evaluation import defined, probability_scores
from salus_ros.training.dataset import Samples

CUTS = ("shortest", "quarter", "full")
"""Where an episode's score ends: at the shortest episode of its task, at a quarter of the time
limit, and at its end; the last depends on the outcome and only shows what that is worth."""

MOMENTS = (0.1, 0.25, 0.5, 0.75)
"""Shares of the time limit at which the episodes that are still running are compared."""

SUDDEN = tuple(map(int, kinds_of(FailureType.DROP, FailureType.COLLISION)))
"""Failures that come within a moment, as `Episodes` holds them."""


def episodes_of(samples: Samples) -> Episodes:
    """Return how the episodes went."""
    metas = [record.meta for record in samples.records]
    tasks = [meta.task for meta in metas]
    return Episodes(
        length=np.array([record.length for record in samples.records], np.int64),
        failed=np.array([meta.outcome == Outcome.FAILURE for meta in metas], np.bool_),
        failure_step=np.array([meta.failure_step for meta in metas], np.int64),
        failure_type=np.array([int(r.failure_type) for r in samples.records], np.int64),
        task=np.unique(tasks, return_inverse=True)[1].astype(np.int64),
        rate_hz=np.array([meta.rate_hz for meta in metas], np.float64),
        time_limit=samples.time_limit,
    )


def cut_steps(episodes: Episodes, cut: str) -> NDArray[np.int64]:
    """Return the steps (E,) of each episode that count, for one of `CUTS`."""
    if cut == "full":
        return episodes.length
    return episodes.shortest() if cut == "shortest" else episodes.quarter()


def evaluate_episodes(
    score: NDArray[np.floating],
    samples: Samples,
    level: NDArray[np.floating] | None,
    alpha: float | None = None,
) -> dict[str, Any]:
    """Rank the episodes by a score, beside a clock, and raise alarms.

    Args:
        score: (N,), NaN where there is none.
        samples: The episodes.
        level: (N,), above 0 where it alarms, see `Predictor.alarm_level`; None for no threshold.
        alpha: Share of false alarms that is promised.

    Returns:
        JSON values: `episodes`, `failures`; `ranking` (see `rank_at_cuts`); `alarm`, None without
        a threshold: the figures of `describe_alarms`, `alpha`, and below `clock` those of a clock
        whose threshold is set on these episodes to as many false alarms; `undefined`: why figures
        are None.
    """
    episodes = episodes_of(samples)
    result: dict[str, Any] = {
        "episodes": len(episodes),
        "failures": int(episodes.failed.sum()),
        "ranking": rank_at_cuts(score, samples),
        "alarm": None,
    }
    if level is not None:
        alarms = raise_alarms(level, episodes, 0.0, HYSTERESIS)
        false = int((alarms.first[~episodes.failed] >= 0).sum())
        clock = samples.step.astype(np.float64)
        limit = matched_threshold(clock, episodes, false)
        result["alarm"] = describe_alarms(alarms) | {
            "alpha": alpha,
            "clock": describe_alarms(raise_alarms(clock, episodes, limit)),
        }
    return result | {"undefined": _undefined(result, score, episodes, level)}


def rank_at_cuts(score: NDArray[np.floating], samples: Samples) -> dict[str, Any]:
    """Rank the episodes by the largest score before each of `CUTS`.

    Args:
        score: (N,), NaN where there is none.
        samples: The episodes.

    Returns:
        By cut the figures of `rank`, and below `clock` the same of a clock (score = step).
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
    return ranking


def evaluate_episode_output(
    probability: NDArray[np.floating], positive: NDArray[np.bool_], samples: Samples
) -> dict[str, Any]:
    """Figures of a probability that says at each step how the episode will end.

    Args:
        probability: (N,), NaN where there is none.
        positive: Whether each episode ended so, (E,).
        samples: The episodes.

    Returns:
        JSON values: `episodes` that ended so; `steps`, the `SCORES` over all usable steps; `at`,
        by share of the time limit: among the episodes still `running` at that `step`, the
        `positives`, the figures of `rank` by the latest probability, and its `calibration_error`.
        A clock says the same of all of these.
    """
    rows = samples.usable & np.isfinite(probability)
    episodes, at = episodes_of(samples), {}
    for share in MOMENTS:
        step = math.ceil(share * samples.time_limit)
        latest = latest_scores(probability, episodes, np.full(len(episodes), step + 1))
        running = episodes.before() > step
        some = episodes.subset(running, positive)
        told = running & np.isfinite(latest)
        error = expected_calibration_error(latest[told], positive[told])
        at[f"{share:.0%}"] = {
            "step": step,
            "running": int(running.sum()),
            "positives": int(some.failed.sum()),
            **rank(latest[running], some),
            "calibration_error": defined(error),
        }
    return {
        "episodes": int(positive.sum()),
        "steps": probability_scores(probability[rows], positive[samples.episode[rows]]),
        "at": at,
    }


def rank(scores: NDArray[np.float64], episodes: Episodes) -> dict[str, Any]:
    """Figures of one score per episode, (E,), each with its bootstrap interval over episodes.

    An episode without a score counts as the least risky; without any score nothing is defined. An
    interval needs `LEAST_EPISODES` failures and as many successes.
    """
    failures = int(episodes.failed.sum())
    enough = min(failures, len(episodes) - failures) >= LEAST_EPISODES
    nothing = np.full(1, np.nan)
    drawn = draw_episodes(episodes.failed) if enough else np.zeros((0, len(episodes)))
    found: dict[str, tuple[float, NDArray[np.float64]]] = {}
    for name, within in (("auroc_within_task", True), ("auroc_pooled", False)):
        ranking = Ranking(scores, episodes, within=within)
        found[name] = (ranking.auroc, ranking.replicates(drawn) if enough else nothing)
    there = np.isfinite(scores)
    lowest = scores[there].min() - 1.0 if there.any() else 0.0
    found["average_precision"] = (
        average_precision(np.where(there, scores, lowest), episodes.failed),
        average_precision_replicates(scores, episodes.failed, drawn) if enough else nothing,
    )
    result: dict[str, Any] = {}
    for name, (value, replicates) in found.items():
        result[name] = defined(value) if there.any() else None
        ends = percentile_interval(replicates if there.any() else nothing)
        result[f"{name}_interval"] = [defined(end) for end in ends]
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


def _undefined(
    result: dict[str, Any],
    score: NDArray[np.floating],
    episodes: Episodes,
    level: NDArray[np.floating] | None,
) -> dict[str, str]:
    reasons = {}
    if not np.isfinite(score).any():
        reasons["ranking"] = "no step of these episodes has a prediction"
    elif result["failures"] in (0, len(episodes)):
        kind = "failed" if result["failures"] else "succeeded"
        reasons["ranking"] = f"all {len(episodes)} episodes {kind}: there is nothing to compare"
    elif result["ranking"]["full"]["auroc_within_task"] is None:
        reasons["auroc_within_task"] = "no task has both a failure and a success"
    if level is None:
        reasons["alarm"] = "no threshold: validation held no failure to choose it by"
    elif np.isneginf(level[~np.isnan(level)]).all():
        reasons["alarm"] = (
            "it never sounds: too few successes were in the calibration to promise its alpha"
        )
    return reasons
