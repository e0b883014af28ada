"""Figures of a score over whole episodes: what an operator feels.

A score is one number per step, higher where a failure is nearer; NaN where there is none. All
of an episode counts only up to a cut that does not depend on how it ended: episodes that fail
at the time limit are longer, and a maximum over more steps is higher.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.statistics import CONFIDENCE, REPLICATES, count_wins, wilson_interval

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Episodes:
    """How E episodes went; their steps follow each other in arrays of N rows.

    length: int64 (E,), N in all; failed: bool (E,); failure_step: int64 (E,), -1 for none;
    failure_type: int64 (E,), the finest `FailureType` that is known of each; task: int64 (E,), the
    same number for the same task; rate_hz: float64 (E,); time_limit: int64 (E,), steps after which
    each counts as failed.
    """

    length: NDArray[np.int64]
    failed: NDArray[np.bool_]
    failure_step: NDArray[np.int64]
    failure_type: NDArray[np.int64]
    task: NDArray[np.int64]
    rate_hz: Array
    time_limit: NDArray[np.int64]

    def __len__(self) -> int:
        """Number of episodes E."""
        return len(self.length)

    @property
    def starts(self) -> NDArray[np.int64]:
        """First row of each episode, (E,)."""
        return np.cumsum(self.length) - self.length

    def before(self) -> NDArray[np.int64]:
        """Steps of each episode that lie before its failure, (E,); all if it did not fail."""
        return np.where(self.failed, np.minimum(self.failure_step, self.length), self.length)

    def shortest(self) -> NDArray[np.int64]:
        """Length (E,) of the shortest episode of the same task: an outcome-independent cut."""
        cut = np.zeros(len(self), np.int64)
        for task in np.unique(self.task):
            cut[self.task == task] = self.before()[self.task == task].min()
        return cut

    def subset(self, chosen: NDArray[np.bool_], failed: NDArray[np.bool_]) -> "Episodes":
        """Some of the episodes, a mask (E,), with `failed` (E,) in place of their own."""
        names = [one.name for one in fields(self)]
        arrays: dict[str, Any] = {name: getattr(self, name)[chosen] for name in names}
        return replace(self, **arrays | {"failed": failed[chosen]})

    def share_of_limit(self, share: float) -> NDArray[np.int64]:
        """A share in [0, 1] of the time limit of each episode in steps, (E,)."""
        steps: NDArray[np.int64] = np.ceil(share * self.time_limit).astype(np.int64)
        return steps


def episode_scores(
    score: NDArray[np.floating], episodes: Episodes, cut: NDArray[np.int64]
) -> Array:
    """Largest score (E,) of each episode before its cut and its failure; NaN without any.

    Args:
        score: (N,).
        episodes: The episodes.
        cut: (E,) number of steps that count.
    """
    if not len(episodes):
        return np.zeros(0)
    limit = np.repeat(np.minimum(cut, episodes.before()), episodes.length)
    step = np.arange(len(score)) - np.repeat(episodes.starts, episodes.length)
    counted = np.where(step < limit, score, np.nan)
    return np.fmax.reduceat(counted, episodes.starts).astype(np.float64)


def latest_scores(
    score: NDArray[np.floating], episodes: Episodes, cut: NDArray[np.int64]
) -> Array:
    """Last score (E,) of each episode before its cut and its failure; NaN without any.

    What is known at that moment. A maximum keeps what was feared earlier, also where it has long
    been disproved.

    Args:
        score: (N,).
        episodes: The episodes.
        cut: (E,) number of steps that count.
    """
    if not len(episodes):
        return np.zeros(0)
    step = np.arange(len(score)) - np.repeat(episodes.starts, episodes.length)
    counted = step < np.repeat(np.minimum(cut, episodes.before()), episodes.length)
    place = np.where(counted & ~np.isnan(score), np.arange(len(score)), -1)
    last = np.maximum.reduceat(place, episodes.starts)
    return np.where(last >= 0, score[np.maximum(last, 0)], np.nan).astype(np.float64)


class Ranking:
    """AUROC of episode scores, pooled and within tasks, with bootstrap replicates.

    Within tasks only pairs of a failure and a success of one task count, so that a task's own
    failure rate gives nothing. An episode without a score was not judged: it is in no pair.

    Args:
        scores: (E,), NaN for none.
        episodes: The episodes.
        within: Whether to compare within tasks only.
    """

    def __init__(self, scores: Array, episodes: Episodes, *, within: bool) -> None:
        values = np.unique(scores, return_inverse=True)[1].astype(np.float64)  # infinity too
        group = episodes.task if within else np.zeros(len(episodes), np.int64)
        judged = ~np.isnan(scores)
        self._parts: list[tuple[NDArray[np.int64], NDArray[np.int64], Array]] = []
        for one in np.unique(group):
            good, bad = (
                np.flatnonzero((group == one) & judged & ended)
                for ended in (~episodes.failed, episodes.failed)
            )
            shape = len(good), len(bad)
            wins = count_wins(
                values[good], np.arange(shape[0]), values[bad], np.arange(shape[1]), shape
            )
            self._parts.append((good, bad, wins))

    @property
    def auroc(self) -> float:
        """The AUROC; NaN without a pair."""
        pairs = sum(wins.size for *_, wins in self._parts)
        return float(sum(wins.sum() for *_, wins in self._parts) / pairs) if pairs else math.nan

    def replicates(self, drawn: Array) -> Array:
        """AUROC (R,) of resampled episodes; NaN where a resample has no pair.

        Args:
            drawn: How often each episode is drawn, (R, E), see `draw_episodes`.
        """
        return ratio(*self.counts(drawn))

    def counts(self, drawn: Array) -> tuple[Array, Array]:
        """Pairs that are in order (a tie is half of one), and all pairs, (R,) each.

        Args:
            drawn: As of `replicates`.
        """
        won: Array = np.zeros(len(drawn))
        pairs: Array = np.zeros(len(drawn))
        for good, bad, wins in self._parts:
            won += ((drawn[:, good] @ wins) * drawn[:, bad]).sum(axis=1)
            pairs += drawn[:, good].sum(axis=1) * drawn[:, bad].sum(axis=1)
        return won, pairs


def ratio(parts: Array, wholes: Array) -> Array:
    """Quotients of the same shape; NaN where there is no whole."""
    found: Array = np.divide(parts, wholes, out=np.full(wholes.shape, np.nan), where=wholes > 0)
    return found


def average_precision_replicates(scores: Array, failed: NDArray[np.bool_], drawn: Array) -> Array:
    """Average precision (R,) of resampled episodes; NaN where a resample has no failure.

    Args:
        scores: (E,); those that are NaN do not count.
        failed: Which episodes failed, (E,).
        drawn: How often each episode is drawn, (R, E), see `draw_episodes`; any weights of what
            has a score and a label.
    """
    order = np.argsort(-scores, kind="stable")
    order = order[~np.isnan(scores[order])]
    known = scores[order]
    if not known.size:
        return np.full(len(drawn), np.nan)
    ends = np.flatnonzero(np.append(known[1:] != known[:-1], True))  # of ties
    found = np.cumsum(drawn[:, order] * failed[order], axis=1)[:, ends]
    predicted = np.cumsum(drawn[:, order], axis=1)[:, ends]
    precision = np.divide(found, predicted, out=np.zeros_like(found), where=predicted > 0)
    hits = (np.diff(found, axis=1, prepend=0.0) * precision).sum(axis=1)
    return ratio(hits, found[:, -1])


def draw_episodes(failed: NDArray[np.bool_], seed: int = 0, number: int = REPLICATES) -> Array:
    """Resample episodes, the successes and the failures each to their own number.

    Figures that are compared, or averaged over splits of the same episodes, are all to be
    resampled by one draw: only then a difference is paired, and an average as uncertain as its
    episodes.

    Args:
        failed: Which episodes failed, (E,).
        seed: Seed of the draw.
        number: Number of resamples R.

    Returns:
        How often each episode is drawn, (R, E).
    """
    rng = np.random.default_rng(seed)
    drawn = np.zeros((number, len(failed)))
    for kind in (False, True):
        places = np.flatnonzero(failed == kind)
        if places.size:
            even = np.full(places.size, 1 / places.size)
            drawn[:, places] = rng.multinomial(places.size, even, size=number)
    return drawn


def draw_folds(keys: Sequence[Sequence[str]], episodes: Sequence[Episodes]) -> list[Array]:
    """Resample the episodes of all folds by one draw.

    Args:
        keys: Content keys of the episodes of each fold; the same key is the same episode, in
            whichever fold and however often.
        episodes: The episodes of each fold.

    Returns:
        For each fold how often each of its episodes is drawn, (R, E).
    """
    failed = {
        key: bool(bad)
        for names, some in zip(keys, episodes, strict=True)
        for key, bad in zip(names, some.failed, strict=True)
    }
    place = {key: number for number, key in enumerate(failed)}
    drawn = draw_episodes(np.array(list(failed.values()), np.bool_))
    return [drawn[:, [place[key] for key in names]] for names in keys]


def percentile_interval(replicates: Array) -> tuple[float, float]:
    """Ends of the percentile interval at `CONFIDENCE`; NaN without a replicate."""
    if not np.isfinite(replicates).any():
        return float("nan"), float("nan")
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.nanpercentile(replicates, (tail, 100 - tail))
    return float(low), float(high)


@dataclass(frozen=True, slots=True, eq=False)
class Alarms:
    """What an alarm at one threshold does; counts are of episodes.

    first: int64 (E,), step of the first alarm before a failure or the end, -1 for none; lead_s:
    float64 (E,), time from it to the failure, NaN without one or without a failure; onsets:
    int64 (E,), how often the alarm starts.
    """

    first: NDArray[np.int64]
    lead_s: Array
    onsets: NDArray[np.int64]
    episodes: Episodes

    def detection_rate(self, *kinds: int) -> float:
        """Share of failures (of some types) that an alarm precedes; NaN without one."""
        chosen = self._failures(*kinds)
        return float((self.first[chosen] >= 0).mean()) if chosen.any() else float("nan")

    def lead_quantiles(self, quantiles: list[float], *kinds: int) -> list[float]:
        """Quantiles in s of the lead of those (of some types) detected; NaN without one."""
        chosen = self._failures(*kinds) & ~np.isnan(self.lead_s)
        if not chosen.any():
            return [float("nan")] * len(quantiles)
        return [float(q) for q in np.quantile(self.lead_s[chosen], quantiles)]

    def missed(self, *kinds: int) -> int:
        """Number of failures (of some types) without an alarm before."""
        return int((self.first[self._failures(*kinds)] < 0).sum())

    def false_alarms(self) -> tuple[float, tuple[float, float], float]:
        """Share of successful episodes with an alarm, its interval, and alarms per hour."""
        good = ~self.episodes.failed
        number, hit = int(good.sum()), int((self.first[good] >= 0).sum())
        if not number:
            return float("nan"), (float("nan"), float("nan")), float("nan")
        hours = float((self.episodes.length[good] / self.episodes.rate_hz[good]).sum()) / 3600
        return hit / number, wilson_interval(hit, number), float(self.onsets[good].sum() / hours)

    def _failures(self, *kinds: int) -> NDArray[np.bool_]:
        failed = self.episodes.failed
        return failed & np.isin(self.episodes.failure_type, kinds) if kinds else failed


def raise_alarms(
    score: NDArray[np.floating],
    episodes: Episodes,
    threshold: float | Array,
    hysteresis: float = 0.0,
) -> Alarms:
    """Alarm wherever the score exceeds a threshold, as `salus_ros.core.alarm.Alarm` does live.

    Args:
        score: (N,); NaN starts and ends nothing.
        episodes: The episodes.
        threshold: One for all, or (E,) one for each; +inf never alarms.
        hysteresis: How far below the threshold an alarm ends.
    """
    limits = np.repeat(np.broadcast_to(threshold, len(episodes)), episodes.length)
    step = np.arange(len(score)) - np.repeat(episodes.starts, episodes.length)
    before = step < np.repeat(episodes.before(), episodes.length)
    rises = score > limits
    decided = rises | (score <= limits - hysteresis) | (step == 0)
    since = np.maximum.accumulate(np.where(decided, np.arange(len(score)), 0))
    active = before & rises[since]
    starts = active & ~np.concatenate(([False], active[:-1] & (step[1:] > 0)))
    first = np.full(len(episodes), -1, np.int64)
    owner = np.repeat(np.arange(len(episodes)), episodes.length)
    places = np.flatnonzero(active)[::-1]
    first[owner[places]] = step[places]  # the earliest is written last
    onsets = np.bincount(owner[starts], minlength=len(episodes))
    detected = (first >= 0) & episodes.failed
    lead = np.where(detected, (episodes.failure_step - first) / episodes.rate_hz, np.nan)
    return Alarms(first, lead, onsets, episodes)
