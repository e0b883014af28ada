"""What can be known at all: figures of the true probabilities of failures, from a sample of steps.

The probability at a step is the share of other futures of the same moment in which the failure
comes (see `salus_ros.collection.moments`), the label is what did happen. Steps are sampled more
densely where failures are near; each counts as many steps as it stands for.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, events_of
from salus_ros.core.labels import before_failure, horizon_labels
from salus_ros.evaluation.episode_metrics import (
    average_precision_replicates,
    draw_episodes,
    percentile_interval,
)
from salus_ros.evaluation.statistics import LEAST_EPISODES
from salus_ros.evaluation.step_evaluation import defined

Array = NDArray[np.float64]

OTHERS = "no failure soon"
"""The stratum of the steps whose labels are all negative."""


class Fate(NamedTuple):
    """How one future went, in steps of its episode.

    Attributes:
        length: Step at which it was over, or no longer looked at.
        failure_type: Kind of failure, `NONE` without one.
        failure_step: Its step, -1 without one.
    """

    length: int
    failure_type: FailureType
    failure_step: int


def failure_probability(
    fates: Sequence[Fate], step: int, horizons: Sequence[int], types: Sequence[FailureType]
) -> Array | None:
    """Share of the futures of a step in which each failure comes within each horizon.

    Futures that fail before the step, by a loss that was not made good, are not counted: there
    it would be no step to predict at.

    Args:
        fates: At least one.
        step: The moment that they begin at.
        horizons: The H horizons in steps.
        types: The K failure types.

    Returns:
        Float64 (H, K); None where no future counts.
    """
    counted = [
        horizon_labels(fate.length, fate.failure_step, fate.failure_type, horizons, types)[step]
        for fate in fates
        if before_failure(fate.length, fate.failure_step)[step]
    ]
    return np.mean(counted, axis=0) if counted else None


def strata(labels: NDArray[np.bool_], types: Sequence[FailureType]) -> NDArray[np.str_]:
    """Name (N,) of the failure that is near at each step, or `OTHERS`; of labels (N, H, K)."""
    near = labels.any(axis=1)  # (N, K)
    names = np.array([*(kind.label for kind in types), OTHERS])
    place = np.where(np.any(near, axis=1), near.argmax(axis=1), len(types))
    return np.asarray(names[place])


def sample_steps(strata: NDArray[np.str_], number: int, seed: int) -> NDArray[np.int64]:
    """Choose steps: one half of those with no failure near, the other evenly over the strata.

    What a stratum does not have goes to the others. Within a stratum all are equally likely, and
    a larger number chooses what a smaller one does and more.

    Args:
        strata: Of each step, (N,).
        number: How many to choose.
        seed: Of the choice.

    Returns:
        Places among the N, so ordered that any first part has about the same shares.
    """
    rng = np.random.default_rng(seed)
    places = {
        str(name): rng.permutation(np.flatnonzero(strata == name)) for name in np.unique(strata)
    }
    near = [name for name in places if name != OTHERS]
    chosen: list[NDArray[np.int64]] = []
    left = number - min(number // 2, len(places.get(OTHERS, ())))
    for rank, name in enumerate(sorted(near, key=lambda name: len(places[name]))):
        chosen.append(places[name][: left // (len(near) - rank)])
        left -= len(chosen[-1])
    chosen.append(places.get(OTHERS, np.zeros(0, np.int64))[: number - sum(map(len, chosen))])
    order = np.concatenate([(np.arange(len(part)) + 0.5) / max(1, len(part)) for part in chosen])
    return np.concatenate(chosen)[np.argsort(order, kind="stable")]


def step_weights(strata: NDArray[np.str_], sampled: NDArray[np.int64]) -> Array:
    """How many steps each sampled one stands for.

    Args:
        strata: Of all steps, (N,).
        sampled: Places of the sampled ones.

    Raises:
        ConfigError: if there is none of a stratum.
    """
    weights = np.zeros(len(sampled))
    for name in np.unique(strata):
        of_all, of_sampled = strata == name, strata[sampled] == name
        if not of_sampled.any():
            raise ConfigError(
                f"none of the {of_all.sum()} steps of '{name}' is among the {len(sampled)} that "
                "were sampled; sample more"
            )
        weights[of_sampled] = of_all.sum() / of_sampled.sum()
    return weights


def knowable(
    probability: Array,
    labels: NDArray[np.bool_],
    weights: Array,
    episode: NDArray[np.int64],
    failed: NDArray[np.bool_],
    horizons_s: Sequence[float],
    types: Sequence[FailureType],
) -> dict[str, Any]:
    """Figures of the probabilities of sampled steps, with bootstrap intervals over episodes.

    Args:
        probability: (N, H, K).
        labels: Same shape.
        weights: How many steps each stands for, (N,).
        episode: Which episode each step belongs to, (N,).
        failed: Which episodes failed, (E,).
        horizons_s: The H horizons in s.
        types: The K failure types.

    Returns:
        JSON values: `best_f1` over all outputs and `without_timeout`, at the threshold that is
        best on these steps, one for all outputs; `by_horizon_and_type` the `average_precision`,
        `mean_before_failure`, which is the mean probability at the steps that the failure did
        follow, and the number of these, `positives`. F1 and average precision have intervals
        where positives of `LEAST_EPISODES` episodes or more are among the steps.
    """
    drawn = draw_episodes(failed)[:, episode] * weights
    rows = np.vstack([weights, drawn])  # as it is, then resampled: (1 + R, N)
    kept = events_of(types)

    def figure(name: str, replicates: Array, positive: NDArray[np.bool_]) -> dict[str, Any]:
        enough = len(np.unique(episode[positive])) >= LEAST_EPISODES
        ends = percentile_interval(replicates[1:] if enough else np.zeros(0))
        return {name: defined(replicates[0]), f"{name}_interval": [defined(end) for end in ends]}

    def f1(columns: list[int]) -> dict[str, Any]:
        p, y = probability[..., columns], labels[..., columns]
        return figure("f1", best_f1_replicates(p, y, rows), np.any(y, axis=(1, 2)))

    def output(h: int, k: int) -> dict[str, Any]:
        y = labels[:, h, k]
        precision = average_precision_replicates(probability[:, h, k], y, rows)
        return {
            **figure("average_precision", precision, y),
            "mean_before_failure": defined(_mean(probability[y, h, k], weights[y])),
            "positives": int(y.sum()),
        }

    return {
        "best_f1": f1(list(range(len(types)))),
        "without_timeout": f1(kept),
        "by_horizon_and_type": {
            f"{horizon:g} s": {kind.label: output(h, k) for k, kind in enumerate(types)}
            for h, horizon in enumerate(horizons_s)
        },
    }


def best_f1_replicates(
    probability: Array, labels: NDArray[np.bool_], weights: NDArray[np.floating]
) -> Array:
    """F1 of all outputs (micro) at the threshold that is best on these steps, by weights.

    Args:
        probability: (N, ...).
        labels: Same shape.
        weights: R weightings of the steps, (R, N).

    Returns:
        Float64 (R,); NaN where a weighting has no positive label.
    """
    shape = (len(labels), -1)
    flat, positive = probability.reshape(shape), labels.reshape(shape)  # (N, O)
    levels = np.unique(flat)[:, None, None]  # few: shares of the futures
    predicted = flat >= levels  # (L, N, O)
    hits = weights @ (predicted & positive).sum(axis=2).T  # (R, L)
    counted = weights @ (predicted.sum(axis=2) + positive.sum(axis=1)).T
    f1 = np.divide(2 * hits, counted, out=np.zeros(counted.shape), where=counted > 0)
    there = weights @ positive.sum(axis=1) > 0
    return np.where(there, f1.max(axis=1), np.nan)


def _mean(values: Array, weights: Array) -> float:
    return float(values @ weights / weights.sum()) if weights.size else float("nan")
