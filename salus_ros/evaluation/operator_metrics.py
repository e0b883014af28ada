"""Figures of a score as an operator feels them: failures that were foreseen, and false alarms.

Every figure is of several splits at once, each with episodes, a model and thresholds of its own;
what is counted is added up over them. The same weights of the episodes resample them all, and the
thresholds that these figures choose are chosen anew in every resample.

A step without a score is not judged: it is not quiet time, and no alarm begins or ends at it. A
failure that was never judged was not foreseen; a success that never was sets no threshold.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from salus_ros.evaluation.episode_metrics import Array, Episodes, episode_scores, ratio

LEAST_LEAD_S = 0.2
"""A failure is foreseen when the alarm comes this long before it, or longer."""

MOST_LEAD_S = 1.0
"""An event is foreseen by an alarm that begins at most so long before it; an alarm that no failure
follows for so long is false."""

FALSE_ALARM_RATES = (10.0, 30.0, 60.0)
"""False alarms an hour at which the recall of events is given."""

ALARMED_SUCCESSES = 0.05
"""Share of the successes that alarm where the recall of failures is given."""

SLACK = 1e-9
"""Of times, which are steps over a rate, and of shares."""


class Split(NamedTuple):
    """A score (N,) and the episodes of one split, with R weights of them, (R, E)."""

    score: NDArray[np.floating]
    episodes: Episodes
    weights: Array


def too_early(episodes: Episodes) -> NDArray[np.bool_]:
    """Failures (E,) before which there is no step with `LEAST_LEAD_S` of lead."""
    early: NDArray[np.bool_] = episodes.failed & (_foreseeable_steps(episodes) == 0)
    return early


def lead_peaks(score: NDArray[np.floating], episodes: Episodes) -> Array:
    """Largest score (E,) with `LEAST_LEAD_S` of lead; of all steps of a success; NaN for none.

    A failure is foreseen at a threshold exactly where this exceeds it.

    Args:
        score: (N,), NaN where there is none.
        episodes: The episodes.
    """
    return episode_scores(score, episodes, _foreseeable_steps(episodes))


def _foreseeable_steps(episodes: Episodes) -> NDArray[np.int64]:
    """Steps (E,) of each episode that are early enough; all of a success."""
    lead = np.ceil(LEAST_LEAD_S * episodes.rate_hz - SLACK).astype(np.int64)
    return np.where(
        episodes.failed, np.maximum(0, episodes.failure_step - lead + 1), episodes.length
    )


def share_thresholds(peaks: Array, weights: Array, share: float) -> Array:
    """Lowest thresholds (R,) that at most a share of the successes exceed, by weights.

    Args:
        peaks: Largest score of each success, (S,); those that are NaN do not count.
        weights: (R, S).
        share: In [0, 1].

    Returns:
        Each one of the peaks; NaN for weights of no success with a score.
    """
    order = np.argsort(-peaks, kind="stable")
    order = order[~np.isnan(peaks[order])]
    if not order.size:
        return np.full(len(weights), np.nan)
    values = peaks[order]
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True))  # of ties
    counted = np.cumsum(weights[:, order], axis=1)[:, ends]  # (R, U)
    total = counted[:, -1:]
    above = np.concatenate((np.zeros_like(total), counted[:, :-1]), axis=1)
    allowed = above <= share * total + SLACK
    thresholds = values[ends][allowed.sum(axis=1) - 1]
    return np.where(total[:, 0] > 0, thresholds, np.nan)


class Recall(NamedTuple):
    """What is found at thresholds, (R,) each: of all failures and of each kind that is asked for.

    found, failures: By name. alarmed: Successes with an alarm. judged: Successes with a score.
    thresholds: Of each split, for the first weights.
    """

    found: Mapping[str, Array]
    failures: Mapping[str, Array]
    alarmed: Array
    judged: Array
    thresholds: list[float]


def recall_with_lead(
    splits: Sequence[Split],
    kinds: Mapping[str, Sequence[int]],
    thresholds: Sequence[float] | None = None,
) -> Recall:
    """Count failures foreseen with `LEAST_LEAD_S` of lead, and successes with an alarm.

    Args:
        splits: Scores and episodes; the first weights are those of the figure itself.
        kinds: By name, the types of failure that count.
        thresholds: Of each split; by default those that `ALARMED_SUCCESSES` of its own successes
            exceed, which no one could have known beforehand.

    Returns:
        Sums over the splits, which are NaN where one of them has no threshold.
    """
    number = len(splits[0].weights)
    found: dict[str, Array] = {name: np.zeros(number) for name in kinds}
    failures: dict[str, Array] = {name: np.zeros(number) for name in kinds}
    alarmed, judged, used = np.zeros(number), np.zeros(number), []
    for place, (score, episodes, weights) in enumerate(splits):
        peaks = lead_peaks(score, episodes)
        good = ~episodes.failed & ~np.isnan(peaks)
        limit = (
            share_thresholds(peaks[good], weights[:, good], ALARMED_SUCCESSES)
            if thresholds is None
            else np.full(number, thresholds[place])
        )
        used.append(float(limit[0]))
        unset = np.where(np.isnan(limit), np.nan, 0.0)
        hits = weights * (peaks > limit[:, None])  # (R, E)
        for name, types in kinds.items():
            chosen = episodes.failed & np.isin(episodes.failure_type, types)
            found[name] += hits[:, chosen].sum(axis=1) + unset
            failures[name] += weights[:, chosen].sum(axis=1)
        alarmed += hits[:, good].sum(axis=1) + unset
        judged += weights[:, good].sum(axis=1)
    return Recall(found, failures, alarmed, judged, used)


@dataclass(frozen=True, slots=True, eq=False)
class Onsets:
    """Where alarms begin: at a threshold c those M steps with low <= c < high.

    low, high: float64 (M,), the score before (-inf at the first) and at the step; episode: int64
    (M,); lead_s: float64 (M,), time to the failure, +inf where none comes; hours: float64 (E,),
    judged time of each episode before its failure.
    """

    low: Array
    high: Array
    episode: NDArray[np.int64]
    lead_s: Array
    hours: Array

    @classmethod
    def of(cls, score: NDArray[np.floating], episodes: Episodes) -> Self:
        """Find them in a score (N,), NaN where there is none, which ends and begins nothing."""
        owner = np.repeat(np.arange(len(episodes)), episodes.length)
        step = np.arange(len(score)) - episodes.starts[owner]
        rows = np.flatnonzero((step < episodes.before()[owner]) & ~np.isnan(score))
        owner, step, high = owner[rows], step[rows], score[rows].astype(np.float64)
        same = np.concatenate(([False], owner[1:] == owner[:-1]))
        low = np.where(same, np.concatenate(([-np.inf], high[:-1])), -np.inf)
        ahead = (episodes.failure_step[owner] - step) / episodes.rate_hz[owner]
        lead = np.where(episodes.failed[owner], ahead, np.inf)
        judged = np.bincount(owner, minlength=len(episodes))
        rises = high > low
        return cls(
            low[rises], high[rises], owner[rises], lead[rises], judged / episodes.rate_hz / 3600
        )

    @property
    def false(self) -> NDArray[np.bool_]:
        """Those (M,) that no failure follows within `MOST_LEAD_S`."""
        return self.lead_s > MOST_LEAD_S + SLACK

    @property
    def foreseeing(self) -> NDArray[np.bool_]:
        """Those (M,) that come `LEAST_LEAD_S` to `MOST_LEAD_S` before a failure."""
        return (self.lead_s >= LEAST_LEAD_S - SLACK) & ~self.false

    def levels(self, most: float) -> Array:
        """Thresholds (G,) at which anything changes, the highest first; at -inf all is an alarm.

        Args:
            most: False alarms; the last threshold is the first one with more than that.
        """
        values = np.concatenate((self.low, self.high))
        levels: Array = -np.unique(-values)
        high, low = np.sort(self.high[self.false]), np.sort(self.low[self.false])
        above = len(high) - np.searchsorted(high, levels, side="right")
        begun = above - (len(low) - np.searchsorted(low, levels, side="right"))
        many = np.flatnonzero(begun > most)
        return levels[: many[0] + 1] if many.size else levels

    def begun(self, chosen: NDArray[np.bool_], levels: Array) -> csr_array:
        """Change, from each threshold to the next, of how many of a mask (M,) begin, (E, G)."""
        first = np.searchsorted(-levels, -self.high[chosen], side="right")
        last = np.searchsorted(-levels, -self.low[chosen], side="right")
        change = np.repeat([1.0, -1.0], len(first))
        where = np.tile(self.episode[chosen], 2), np.concatenate((first, last))
        shape = (len(self.hours), len(levels) + 1)
        return csr_array((change, where), shape=shape)[:, :-1]


class EventRecall(NamedTuple):
    """Recall of events at a rate of false alarms; (R,) each.

    found, events: By kind. false: False alarms. hours: Judged time.
    """

    found: Mapping[str, Array]
    events: Mapping[str, Array]
    false: Array
    hours: Array


def recall_of_events(
    splits: Sequence[Split],
    kinds: Mapping[str, Sequence[int]],
    rates: Sequence[float] = FALSE_ALARM_RATES,
) -> list[EventRecall]:
    """Count events foreseen `LEAST_LEAD_S` to `MOST_LEAD_S` before, at rates of false alarms.

    An alarm begins at a step whose score exceeds the threshold while the one before does not, or
    at the first step; it foresees a failure when it begins in that span before it, and is false
    when no failure follows within `MOST_LEAD_S`. So an alarm that has been on for long when the
    failure comes was false when it began, and foresees nothing. The time is all judged time before
    failures and of successes. The threshold of a split is the lowest down to which no higher one
    has more false alarms an hour than the rate, on its own episodes.

    Args:
        splits: Scores and episodes; the first weights are those of the figure itself.
        kinds: By name, the types of failure that count as such an event.
        rates: False alarms an hour.

    Returns:
        Sums over the splits, for each rate.
    """
    number = len(splits[0].weights)
    zeros = [np.zeros((len(rates), number)) for _ in range(2 + 2 * len(kinds))]
    false, hours = zeros[:2]
    found = dict(zip(kinds, zeros[2:], strict=False))
    events = dict(zip(kinds, zeros[2 + len(kinds) :], strict=True))
    for score, episodes, weights in splits:
        onsets = Onsets.of(score, episodes)
        spent = weights @ onsets.hours  # (R,)
        for name, types in kinds.items():
            chosen = episodes.failed & np.isin(episodes.failure_type, types)
            events[name] += weights[:, chosen].sum(axis=1)
        hours += spent
        # resamples of the episodes may reach lower than the episodes themselves
        levels = onsets.levels(4 * max(rates) * onsets.hours.sum() + 20)
        if not levels.size:
            continue
        begun = np.cumsum(weights @ onsets.begun(onsets.false, levels), axis=1)  # (R, G)
        seen = onsets.begun(onsets.foreseeing, levels)
        for row, rate in enumerate(rates):
            allowed = begun <= rate * spent[:, None] + SLACK
            place = np.logical_and.accumulate(allowed, axis=1).sum(axis=1) - 1  # (R,)
            false[row] += np.take_along_axis(begun, place[:, None], axis=1)[:, 0]
            for name, types in kinds.items():
                chosen = episodes.failed & np.isin(episodes.failure_type, types)
                hits = np.cumsum(seen[chosen].toarray(), axis=1)[:, place] > 0  # (events, R)
                found[name][row] += (weights[:, chosen] * hits.T).sum(axis=1)
    return [
        EventRecall(
            {name: one[row] for name, one in found.items()},
            {name: one[row] for name, one in events.items()},
            false[row],
            hours[row],
        )
        for row in range(len(rates))
    ]


def shares(parts: Mapping[str, Array], wholes: Mapping[str, Array]) -> dict[str, Array]:
    """`ratio` of each."""
    return {name: ratio(part, wholes[name]) for name, part in parts.items()}
