"""The primary figures: what an operator feels, of any detector on any number of splits."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import FailureType, counted_as
from salus_ros.evaluation.episode_evaluation import SUDDEN
from salus_ros.evaluation.episode_metrics import (
    Array,
    Episodes,
    Ranking,
    latest_scores,
    percentile_interval,
    raise_alarms,
    ratio,
)
from salus_ros.evaluation.held import Alarm, Held
from salus_ros.evaluation.metrics import expected_calibration_error
from salus_ros.evaluation.operator_metrics import (
    ALARMED_SUCCESSES,
    FALSE_ALARM_RATES,
    LEAST_LEAD_S,
    MOST_LEAD_S,
    Recall,
    lead_peaks,
    recall_of_events,
    recall_with_lead,
    shares,
    too_early,
)
from salus_ros.evaluation.readout import Readout
from salus_ros.evaluation.statistics import LEAST_EPISODES
from salus_ros.evaluation.step_evaluation import defined

ALL = "all"
SUDDEN_NAME = "sudden"
"""Drops, misplaced releases among them, and collisions."""

EVENTS = tuple(kind for kind in FailureType if kind not in (FailureType.NONE, FailureType.TIMEOUT))
"""Failures that are events: all but running out of time."""

TARGETS = ("failure", "no_progress")
"""What the episodes that are still running are ranked by."""


def evaluate_as_operator(
    readouts: Sequence[Readout],
    held: Held,
    alarms: Mapping[str, Alarm],
    probabilities: Mapping[str, Sequence[NDArray[np.floating]]] | None = None,
) -> dict[str, Any]:
    """Compute the primary figures of one detector.

    Args:
        readouts: What it says, of each split.
        held: The episodes.
        alarms: By name, alarms whose thresholds were known beforehand.
        probabilities: By those of `TARGETS` that it tells, the probability (N,) of each split.

    Returns:
        JSON values, each figure with its `_interval`: `foreseen` (see `_foreseen`), `events` (see
        `_events`), `running` (see `_running`) and `unjudged`, the steps before failures without
        a score, of `steps`.
    """
    judged = [
        (rows := _before(one), int((~np.isnan(readout.ever[rows])).sum()))
        for one, readout in zip(held.episodes, readouts, strict=True)
    ]
    steps = sum(int(rows.sum()) for rows, _ in judged)
    return {
        "foreseen": _foreseen([one.ever for one in readouts], held, alarms),
        "events": _events(readouts, held),
        "running": _running(readouts, held, probabilities or {}),
        "steps": steps,
        "unjudged": steps - sum(number for _, number in judged),
    }


def _before(episodes: Episodes) -> NDArray[np.bool_]:
    """Steps (N,) before the failure."""
    step = np.arange(episodes.length.sum()) - np.repeat(episodes.starts, episodes.length)
    return step < np.repeat(episodes.before(), episodes.length)


def _figure(replicates: Array, *, enough: bool) -> tuple[float | None, list[float | None]]:
    """Value and interval of replicates of which the first is the value."""
    value = float(replicates[0])
    ends = percentile_interval(replicates[1:] if enough else np.zeros(0))
    return defined(value), [defined(end) for end in ends]


def _kinds(held: Held) -> dict[str, tuple[int, ...]]:
    """Groups of failure types: all, the sudden ones, and each that occurs."""
    there = [kind for kind in FailureType if kind and held.failures(kind)]
    every = tuple(map(int, FailureType))
    return {ALL: every, SUDDEN_NAME: SUDDEN} | {kind.label: (int(kind),) for kind in there}


def _foreseen(
    scores: Sequence[NDArray[np.floating]], held: Held, alarms: Mapping[str, Alarm]
) -> dict[str, Any]:
    """Recall of failures with `LEAST_LEAD_S` of lead.

    Returns:
        `failures` by kind (each that occurs, `all`, and `sudden`); `too_early`, those that no step
        could have foreseen; `unjudged`, episodes without a score in time; and by the name of an
        alarm `recall` by kind, `alarmed`, the share of successes, `lead_median_s` of what was
        foreseen, and whether it `never_sounds`, whatever the score. `at_share` is the alarm of
        the threshold that `ALARMED_SUCCESSES` of these same successes exceed: it ranks detectors,
        and no one could have set it.
    """
    kinds = _kinds(held)
    peaks = [lead_peaks(score, one) for score, one in zip(scores, held.episodes, strict=True)]
    silent = [np.isnan(peak) for peak in peaks]
    result: dict[str, Any] = {
        "least_lead_s": LEAST_LEAD_S,
        "share": ALARMED_SUCCESSES,
        "successes": held.successes,
        "failures": {name: held.failures(*types) for name, types in kinds.items()},
        "too_early": held.distinct(map(too_early, held.episodes)),
        "unjudged": {
            "failures": held.distinct(
                s & one.failed for s, one in zip(silent, held.episodes, strict=True)
            ),
            "successes": held.distinct(
                s & ~one.failed for s, one in zip(silent, held.episodes, strict=True)
            ),
        },
    }
    chosen = recall_with_lead(held.split(scores), kinds)
    result["at_share"] = _recall(chosen, held, kinds) | {
        "lead_median_s": _lead(scores, held, chosen.thresholds)
    }
    for name, (given, thresholds) in alarms.items():
        found = recall_with_lead(held.split(given), kinds, thresholds)
        result[name] = _recall(found, held, kinds) | {
            "lead_median_s": _lead(given, held, thresholds),
            "never_sounds": not any(
                np.isfinite(score).any() and limit < np.inf
                for score, limit in zip(given, thresholds, strict=True)
            ),
        }
    return result


def _recall(found: Recall, held: Held, kinds: Mapping[str, Sequence[int]]) -> dict[str, Any]:
    result: dict[str, Any] = {"recall": {}, "recall_interval": {}}
    for name, one in shares(found.found, found.failures).items():
        enough = min(held.failures(*kinds[name]), held.successes) >= LEAST_EPISODES
        result["recall"][name], result["recall_interval"][name] = _figure(one, enough=enough)
    alarmed = ratio(found.alarmed, found.judged)
    enough = held.successes >= LEAST_EPISODES
    result["alarmed"], result["alarmed_interval"] = _figure(alarmed, enough=enough)
    return result


def _lead(
    scores: Sequence[NDArray[np.floating]], held: Held, thresholds: Sequence[float]
) -> float | None:
    """Median time from the first alarm to the failure in s, of those foreseen."""
    leads = [
        raise_alarms(score, one, limit).lead_s
        for score, one, limit in zip(scores, held.episodes, thresholds, strict=True)
        if not math.isnan(limit)
    ]
    every = np.concatenate([np.zeros(0), *leads])
    every = every[every >= LEAST_LEAD_S - 1e-9]
    return float(np.median(every)) if every.size else None


def _events(readouts: Sequence[Readout], held: Held) -> dict[str, Any]:
    """Recall of events at rates of false alarms, see `recall_of_events`.

    Returns:
        The number of `events` by kind, and `sudden`; `by_rate`, by the score that a failure comes
        within the longest horizon, `recall` by kind, the `false_alarms_per_hour` reached and the
        `hours` judged, of all splits; `by_own_output`, the recall of each kind by the score of the
        type that it counts as, for a detector that tells them apart.
    """
    kinds = {SUDDEN_NAME: SUDDEN} | {kind.label: (int(kind),) for kind in EVENTS}
    result: dict[str, Any] = {
        "lead_s": [LEAST_LEAD_S, MOST_LEAD_S],
        "events": {name: held.failures(*types) for name, types in kinds.items()},
        "by_rate": _by_rate([one.soon for one in readouts], held, kinds),
        "by_own_output": {},
    }
    types = held.samples[0].failure_types
    for kind in EVENTS:
        covering = counted_as(kind, types)
        if covering in types and held.failures(kind):
            column = types.index(covering)
            own = [one.by_type[:, column] for one in readouts if one.by_type is not None]
            if own:
                found = _by_rate(own, held, {kind.label: (int(kind),)})
                result["by_own_output"][kind.label] = found
    return result


def _by_rate(
    scores: Sequence[NDArray[np.floating]], held: Held, kinds: Mapping[str, tuple[int, ...]]
) -> dict[str, Any]:
    result = {}
    found = recall_of_events(held.split(scores), kinds)
    for rate, one in zip(FALSE_ALARM_RATES, found, strict=True):
        part: dict[str, Any] = {"recall": {}, "recall_interval": {}}
        for name, recall in shares(one.found, one.events).items():
            enough = held.failures(*kinds[name]) >= LEAST_EPISODES
            part["recall"][name], part["recall_interval"][name] = _figure(recall, enough=enough)
        per_hour = ratio(one.false, one.hours)
        part["false_alarms_per_hour"] = defined(float(per_hour[0]))
        part["hours"] = float(one.hours[0])
        result[f"{rate:g}"] = part
    return result


def _running(
    readouts: Sequence[Readout],
    held: Held,
    probabilities: Mapping[str, Sequence[NDArray[np.floating]]],
) -> dict[str, Any]:
    """Rank the episodes that are still running at fixed moments, by their latest score.

    Pairs of episodes of one task and one split count, added up over tasks and splits, of those
    that end so and those that do not; a clock says the same of all.

    Returns:
        By target ("failure" at all, "no_progress") and moment: its `step`, None where the time
        limits of the episodes differ; how many are `running`, `positives` among them, those
        `unjudged`, which are in no pair, `auroc_within_task`, and of probabilities the
        `calibration_error`.
    """
    found: dict[str, Any] = {}
    for place, target in enumerate(TARGETS):
        scores = [one.no_progress if target == "no_progress" else one.ever for one in readouts]
        ends = [one.endings[:, place] for one in held.samples]
        found[target] = {
            name: _at(steps, scores, ends, held, probabilities.get(target))
            for name, steps in held.moments.items()
        }
    return found


def _at(
    steps: Sequence[NDArray[np.int64]],
    scores: Sequence[NDArray[np.floating]],
    ends: Sequence[NDArray[np.bool_]],
    held: Held,
    probabilities: Sequence[NDArray[np.floating]] | None,
) -> dict[str, Any]:
    won: Array = np.zeros(len(held.weights[0]))
    pairs: Array = np.zeros(len(held.weights[0]))
    running = [one.before() > step for one, step in zip(held.episodes, steps, strict=True)]
    latest = [
        latest_scores(score, one, step + 1)
        for score, one, step in zip(scores, held.episodes, steps, strict=True)
    ]
    for there, score, end, episodes, weights in zip(
        running, latest, ends, held.episodes, held.weights, strict=True
    ):
        ranking = Ranking(score[there], episodes.subset(there, end), within=True)
        one = ranking.counts(weights[:, there])
        won, pairs = won + one[0], pairs + one[1]
    number = held.distinct(running)
    positives = held.distinct(there & end for there, end in zip(running, ends, strict=True))
    silent = [there & np.isnan(score) for there, score in zip(running, latest, strict=True)]
    enough = min(positives, number - positives) >= LEAST_EPISODES
    value, ends_of = _figure(ratio(won, pairs), enough=enough)
    at = np.unique(np.concatenate(steps))
    result = {
        "step": int(at[0]) if len(at) == 1 else None,
        "running": number,
        "positives": positives,
        "unjudged": held.distinct(silent),
        "auroc_within_task": value,
        "auroc_within_task_interval": ends_of,
    }
    if probabilities is not None:
        told = [
            latest_scores(score, one, step + 1)
            for score, one, step in zip(probabilities, held.episodes, steps, strict=True)
        ]
        judged = [there & ~np.isnan(score) for there, score in zip(running, told, strict=True)]
        said, came = (
            np.concatenate([values[mask] for values, mask in zip(several, judged, strict=True)])
            for several in (told, ends)
        )
        result["calibration_error"] = defined(
            expected_calibration_error(said, came.astype(np.bool_))
        )
    return result
