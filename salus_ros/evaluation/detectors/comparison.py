"""Figures of detectors that were scored on the same folds."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.band import FunctionalBand
from salus_ros.evaluation.detectors.scoring import ALPHA, STEP_FIGURES, Scored
from salus_ros.evaluation.episode_evaluation import CUTS, SUDDEN, cut_steps, episodes_of
from salus_ros.evaluation.episode_metrics import (
    Episodes,
    Ranking,
    average_precision_replicates,
    episode_scores,
    latest_scores,
    percentile_interval,
    raise_alarms,
)
from salus_ros.evaluation.held import Alarm, Held
from salus_ros.evaluation.metrics import average_precision
from salus_ros.evaluation.operator_evaluation import evaluate_as_operator
from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.evaluation.step_evaluation import defined
from salus_ros.training.conformal import ALPHAS, conformal_threshold
from salus_ros.training.dataset import Samples

Score = NDArray[np.float64]

FIGURES = ("auroc_within_task", "auroc_pooled", "average_precision")


def part_figures(
    scored: Mapping[str, Sequence[Scored]],
    part: str,
    held: Held,
    calibration: Sequence[Samples],
    reference: str | None,
) -> dict[str, dict[str, Any]]:
    """Figures of the scores of one part, "test" or "held_out".

    Args:
        scored: By detector, what it gave on each fold.
        part: Which scores to describe.
        held: Their episodes, for each fold.
        calibration: The calibration episodes of each fold, which set thresholds and bands.
        reference: Detector that the others are compared with, in pairs.

    Returns:
        By detector: `operator`, the primary figures (see `evaluate_as_operator`), with the alarms
        `conformal` at `ALPHA` and `declared`; by cut (see `episode_evaluation.CUTS`) each of
        `FIGURES` of the largest score so far, mean over the folds, its bootstrap
        `<figure>_interval` over episodes, and `<figure>_below_reference` with the interval of the
        paired difference; below `latest` the same of the last score; `alarms` (see
        `alarm_figures`) by the share of false alarms that their threshold promises; below `band`
        all of that for scores relative to a `FunctionalBand` of calibration successes.
    """
    checked = [episodes_of(one) for one in calibration]
    plain: dict[str, list[Score]] = {}
    banded: dict[str, list[Score]] = {}
    limits: dict[str, list[Sequence[float]]] = {}
    band_limits: dict[str, list[Sequence[float]]] = {}
    for name, folds in scored.items():
        plain[name] = [getattr(one, part).ever for one in folds]
        limits[name] = [
            _thresholds(one.calibration, some, np.arange(len(some)))
            for one, some in zip(folds, checked, strict=True)
        ]
        bands = [
            FunctionalBand.fit(one.calibration, some)
            for one, some in zip(folds, checked, strict=True)
        ]
        banded[name] = [
            band.apply(score, one.step)
            for band, score, one in zip(bands, plain[name], held.samples, strict=True)
        ]
        band_limits[name] = [
            _thresholds(
                band.apply(one.calibration, rows.step),
                some,
                np.setdiff1d(np.arange(len(some)), band.used),
            )
            for band, one, rows, some in zip(bands, folds, calibration, checked, strict=True)
        ]
    episodes, drawn = held.episodes, held.drawn
    ranked = rank_all(plain, episodes, drawn, reference)
    latest = rank_all(plain, episodes, drawn, reference, latest_scores)
    relative = rank_all(banded, episodes, drawn, reference)
    return {
        name: ranked[name]
        | {
            "operator": _operator(folds, part, held, limits[name]),
            "latest": latest[name],
            "alarms": _alarms_by_alpha(plain[name], episodes, limits[name], held.successes),
            "band": relative[name]
            | {
                "alarms": _alarms_by_alpha(
                    banded[name], episodes, band_limits[name], held.successes
                )
            },
        }
        for name, folds in scored.items()
    }


def _operator(
    folds: Sequence[Scored], part: str, held: Held, limits: Sequence[Sequence[float]]
) -> dict[str, Any]:
    readouts = [getattr(one, part) for one in folds]
    scores = [one.ever for one in readouts]
    place = ALPHAS.index(ALPHA)
    alarms = {"conformal": Alarm(scores, [one[place] for one in limits])}
    if not any(math.isnan(one.declared) for one in folds):
        alarms["declared"] = Alarm(scores, [one.declared for one in folds])
    return evaluate_as_operator(readouts, held, alarms)


def _thresholds(score: Score, episodes: Episodes, places: NDArray[np.integer]) -> list[float]:
    """Conformal thresholds, one for each of `ALPHAS`, of the successes among `places`."""
    maxima = episode_scores(score, episodes, episodes.length)[places]
    maxima = maxima[~episodes.failed[places] & ~np.isnan(maxima)]
    return [conformal_threshold(maxima, alpha) for alpha in ALPHAS]


def _alarms_by_alpha(
    scores: Sequence[Score],
    episodes: Sequence[Episodes],
    limits: Sequence[Sequence[float]],
    successes: int,
) -> dict[str, Any]:
    return {
        f"{alpha:g}": alarm_figures(scores, episodes, chosen, successes)
        for alpha, chosen in zip(ALPHAS, zip(*limits, strict=True), strict=True)
    }


def rank_all(
    scores: Mapping[str, Sequence[Score]],
    episodes: Sequence[Episodes],
    drawn: Sequence[NDArray[np.float64]],
    reference: str | None,
    reduce: Callable[[Score, Episodes, NDArray[np.int64]], Score] = episode_scores,
) -> dict[str, dict[str, Any]]:
    """Rank the episodes by every detector's score.

    Args:
        scores: By detector, of each fold the running scores of its rows.
        episodes: The episodes of each fold.
        drawn: How often each episode is drawn, of each fold, see `draw_folds`.
        reference: Detector that the others are compared with, in pairs.
        reduce: Makes one score of an episode of its running scores and a cut.

    Returns:
        By detector and cut the `FIGURES`, see `part_figures`.
    """
    found: dict[str, dict[str, Any]] = {name: {} for name in scores}
    for cut in CUTS:
        made = {
            name: _replicates(one, episodes, drawn, cut, reduce) for name, one in scores.items()
        }
        for name, (values, replicates) in made.items():
            figures: dict[str, Any] = {}
            for figure in FIGURES:
                figures[figure] = defined(values[figure])
                figures[f"{figure}_interval"] = _interval(replicates[figure])
                if reference is not None and name != reference:
                    other_values, other = made[reference]
                    difference = other_values[figure] - values[figure]
                    figures[f"{figure}_below_reference"] = defined(difference)
                    figures[f"{figure}_below_reference_interval"] = _interval(
                        other[figure] - replicates[figure]
                    )
            found[name][cut] = figures
    return found


def _replicates(
    scores: Sequence[Score],
    episodes: Sequence[Episodes],
    drawn: Sequence[NDArray[np.float64]],
    cut: str,
    reduce: Callable[[Score, Episodes, NDArray[np.int64]], Score],
) -> tuple[dict[str, float], dict[str, NDArray[np.float64]]]:
    """Mean over the folds of each of `FIGURES`, and of their bootstrap replicates."""
    values: dict[str, list[float]] = {name: [] for name in FIGURES}
    replicates: dict[str, list[NDArray[np.float64]]] = {name: [] for name in FIGURES}
    for score, some, times in zip(scores, episodes, drawn, strict=True):
        best = reduce(score, some, cut_steps(some, cut))
        for name, within in (("auroc_within_task", True), ("auroc_pooled", False)):
            ranking = Ranking(best, some, within=within)
            values[name].append(ranking.auroc)
            replicates[name].append(ranking.replicates(times))
        judged = ~np.isnan(best)
        values["average_precision"].append(
            average_precision(_ranks(best[judged]), some.failed[judged])
        )
        replicates["average_precision"].append(
            average_precision_replicates(best, some.failed, times)
        )
    return (
        {name: float(np.mean(one)) for name, one in values.items()},
        {name: np.mean(one, axis=0) for name, one in replicates.items()},
    )


def _ranks(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same order in finite numbers."""
    return np.unique(values, return_inverse=True)[1].astype(np.float64)


def alarm_figures(
    scores: Sequence[Score],
    episodes: Sequence[Episodes],
    thresholds: Sequence[float],
    successes: int,
) -> dict[str, Any]:
    """Raise alarms at each fold's threshold and describe them, pooled over the folds.

    Args:
        scores: Of each fold the running scores of its rows.
        episodes: The episodes of each fold.
        thresholds: That of each fold.
        successes: How many different successful episodes these are, however many folds have one;
            the interval of the false alarms counts every episode once.
    """
    joined = Episodes(
        **{
            field.name: np.concatenate([getattr(one, field.name) for one in episodes])
            for field in fields(Episodes)
        }
    )
    limits = np.repeat(thresholds, [len(one) for one in episodes])
    alarms = raise_alarms(np.concatenate(scores), joined, limits)
    share, _, per_hour = alarms.false_alarms()
    low, high = np.nan, np.nan
    if successes:
        low, high = wilson_interval(round(share * successes), successes)
    median, p10 = alarms.lead_quantiles([0.5, 0.1])
    return {
        "detection_rate": defined(alarms.detection_rate()),
        "false_alarm_share": defined(share),
        "false_alarm_interval": [defined(low), defined(high)],
        "false_alarms_per_hour": defined(per_hour),
        "lead_median_s": defined(median),
        "lead_p10_s": defined(p10),
        "lead_before_drop_or_collision_s": defined(alarms.lead_quantiles([0.5], *SUDDEN)[0]),
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
        there = [value for one in several if (value := one.get(name)) is not None]
        deviation = float(np.std(there, ddof=1)) if len(there) > 1 else None
        found[name] = [float(np.mean(there)) if there else None, deviation]
    return found


def _interval(replicates: NDArray[np.float64]) -> list[float | None]:
    return [defined(end) for end in percentile_interval(replicates)]
