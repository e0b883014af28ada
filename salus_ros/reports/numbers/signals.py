"""Numbers of a report about the signals: distributions, what tells failure, the way into it.

Only values that were computed at their step and are valid count; a held value is no new one.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import FailureType
from salus_ros.evaluation.statistics import (
    LEAST_EPISODES,
    auroc_interval,
    count_wins,
    weighted_quantiles,
)
from salus_ros.reports.numbers.episodes import finite, quantiles
from salus_ros.reports.numbers.recordings import SUCCESS, Recordings

LAST_S = 1.0
"""Values this long before a failure are compared with those of successful episodes."""

WAY_S = 2.0
"""How long before a failure the way into it is shown."""

BIN_S = 0.1
"""Width of a point on the way."""

CLOCK = "(clock: time since the start)"
"""No signal: what the time alone tells, to hold the signals against."""

ALL = "any type"
NO_TIMEOUT = "without timeout"

GROUPS = ("success", "failed", "last")
"""Steps of successful episodes, of failed ones, and the last second before a failure."""


@dataclass(frozen=True, slots=True, eq=False)
class Values:
    """Fresh and valid values of one signal, V in all.

    Attributes:
        name: Signal.
        value: Float64 (V,).
        episode: Int64 (V,).
        second: Float64 (V,): time since the start of the episode in s.
        before: Float64 (V,): time until the failure in s; NaN without a known moment.
        ending: Str (E,): how each episode ended.
        kinds: Ways to fail, in order.
    """

    name: str
    value: NDArray[np.float64]
    episode: NDArray[np.int64]
    second: NDArray[np.float64]
    before: NDArray[np.float64]
    ending: NDArray[Any]
    kinds: tuple[str, ...]

    def mask(self, group: str) -> NDArray[np.bool_]:
        """Which values belong to one of `GROUPS`: bool (V,)."""
        if group == "success":
            return np.asarray((self.ending == SUCCESS)[self.episode], dtype=np.bool_)
        if group == "failed":
            return np.isin(self.ending, self.kinds)[self.episode]
        return within(self.before, LAST_S)


def within(before: NDArray[np.float64], span_s: float) -> NDArray[np.bool_]:
    """Whether 0 < time until the failure <= span, rounding errors aside."""
    return (before > 0) & (before <= span_s + 1e-6)


def signal_values(recordings: Recordings, name: str) -> Values:
    """Collect the values of one signal, or of `CLOCK` at every fresh step."""
    if name == CLOCK:
        rows = np.flatnonzero(recordings.fresh)
    else:
        column = recordings.signal_names.index(name)
        rows = np.flatnonzero(recordings.fresh & recordings.valid[:, column])
    episode = recordings.episode[rows]
    second = recordings.step[rows] / recordings.columns["rate_hz"][episode]
    value = second if name == CLOCK else recordings.signals[rows, column].astype(np.float64)
    before = recordings.failure_s()[episode] - second
    return Values(name, value, episode, second, before, recordings.ending, recordings.kinds)


def describe_signal(values: Values) -> dict[str, Any]:
    """Distribution in each of `GROUPS`, and the AUROC of the last second against success."""
    return {
        "name": values.name,
        "distributions": {
            group: quantiles(values.value[values.mask(group)])
            | {"episodes": int(np.unique(values.episode[values.mask(group)]).size)}
            for group in GROUPS
        },
        "auroc": _aurocs(values),
    }


def way_to_failure(values: Values) -> dict[str, Any]:
    """Quartiles of a signal at each moment before a failure, and of successes at that moment.

    A point is the middle of a bin of `BIN_S`. The reference at the point d before a failure at
    t is what successful episodes had at t - d since their start, each failure counting alike, so
    that what merely follows the clock shows in both. Moments that fewer than `LEAST_EPISODES`
    successes reached are no reference.

    Returns:
        Per type: `seconds` (points, from early to late), `failure` and `success` with `p25`,
        `p50`, `p75` per point (None without a value), the number of failures, and the share of
        their points that have a reference.
    """
    bins = round(WAY_S / BIN_S)
    late = BIN_S * (bins - np.arange(bins) - 0.5)  # middle of each bin: s before the failure
    success = values.mask("success")
    reference = values.value[success]
    moment = np.floor(values.second[success] / BIN_S + 1e-6).astype(np.int64)
    alive: NDArray[Any] = np.zeros(0, dtype=np.int64)  # successful episodes at each moment
    if reference.size:
        pairs = np.unique(np.stack([moment, values.episode[success]]), axis=1)
        alive = np.bincount(pairs[0], minlength=int(moment.max()) + 1)
    number = np.bincount(moment, minlength=alive.size)  # values at each moment
    found = {}
    for kind in values.kinds:
        on_way = (values.ending == kind)[values.episode] & within(values.before, WAY_S)
        place = bins - np.ceil(values.before[on_way] / BIN_S - 1e-6).astype(np.int64)
        value, episode = values.value[on_way], values.episode[on_way]
        quartiles = np.full((bins, 3), np.nan)
        for point in range(bins):
            here = place == point
            if here.any():
                quartiles[point] = np.percentile(value[here], (25, 50, 75))
        # When these failures happened, by any of their values: (failures,).
        _, first = np.unique(episode, return_index=True)
        failed_at = (values.second[on_way] + values.before[on_way])[first]
        target = np.floor((failed_at[:, None] - late) / BIN_S).astype(np.int64)
        known = (target >= 0) & (target < alive.size)
        known[known] = alive[target[known]] >= LEAST_EPISODES
        weights = np.zeros((bins, reference.size))
        for point in range(bins):
            per_moment = np.bincount(target[known[:, point], point], minlength=alive.size)
            weights[point] = (per_moment / np.maximum(number, 1))[moment]
        same = weighted_quantiles(reference, weights, (0.25, 0.5, 0.75))
        found[kind] = {
            "seconds": [-float(second) for second in late],
            "failures": int(first.size),
            "matched": float(known.mean()) if known.size else None,
            "failure": _quartiles(quartiles),
            "success": _quartiles(same),
        }
    return found


def _aurocs(values: Values) -> dict[str, dict[str, Any]]:
    """AUROC by set of types: that a value of the last second exceeds one of a success."""
    negative, positive = values.mask("success"), values.mask("last")
    rows, row = np.unique(values.episode[negative], return_inverse=True)
    columns, column = np.unique(values.episode[positive], return_inverse=True)
    wins = count_wins(
        values.value[negative], row, values.value[positive], column, (rows.size, columns.size)
    )
    negatives = np.bincount(row, minlength=rows.size)
    positives = np.bincount(column, minlength=columns.size)
    timeout = FailureType.TIMEOUT.label
    sets = {
        ALL: values.kinds,
        NO_TIMEOUT: tuple(kind for kind in values.kinds if kind != timeout),
        **{kind: (kind,) for kind in values.kinds},
    }
    found = {}
    for name, kinds in sets.items():
        chosen = np.isin(values.ending[columns], kinds)
        value, low, high = auroc_interval(wins[:, chosen], negatives, positives[chosen])
        found[name] = {
            "auroc": finite(value),
            "low": finite(low),
            "high": finite(high),
            "values": int(positives[chosen].sum()),
            "episodes": int(chosen.sum()),
            "success_values": int(negatives.sum()),
            "success_episodes": int(rows.size),
        }
    return found


def _quartiles(values: NDArray[np.float64]) -> dict[str, list[float | None]]:
    return {
        name: [finite(value) for value in values[:, column]]
        for column, name in enumerate(("p25", "p50", "p75"))
    }
