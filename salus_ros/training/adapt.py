"""Adapting to few episodes of one's own: how to deal them out, and what they promise."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.prediction.calibration import Calibration
from salus_ros.prediction.config import TrainingConfig
from salus_ros.training.calibrate import both_endings
from salus_ros.training.conformal import least_alpha, least_count, rate_interval
from salus_ros.training.dataset import EpisodeRecord
from salus_ros.training.split import split_episodes
from salus_ros.training.train import split_fractions

LARGEST_SHARE = 0.4
"""Of the episodes that calibration may get: the network has to learn from the rest."""

FEWEST = 5
"""Successes, and failures, below which there is nothing to adapt to."""


@dataclass(frozen=True, slots=True)
class Promise:
    """What an alarm promises, and what a better promise takes.

    Attributes:
        alpha: Share of false alarms that was asked for.
        successes: Successes that set the threshold.
        promised: Whether alpha is promised with so many; if not, nothing alarms.
        least_alpha: Smallest share that so many can promise.
        interval: 95 % interval of the share that this one threshold has.
        needed: Successes it takes for alpha, those to learn from included.
        more: How many of them there are not yet.
    """

    alpha: float
    successes: int
    promised: bool
    least_alpha: float
    interval: tuple[float, float]
    needed: int
    more: int

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return asdict(self) | {"interval": list(self.interval)}


def deal(records: Sequence[EpisodeRecord], config: TrainingConfig, alpha: float) -> TrainingConfig:
    """Settings whose calibration part is large enough to promise alpha, if any may be.

    Its successes set the threshold, all of them, or one half where the validation part has not
    both endings, see `calibrate`. What it gets beyond its usual share is taken from the training
    part.

    Args:
        records: The labelled episodes.
        config: Settings.
        alpha: Share of false alarms to promise.

    Raises:
        ConfigError: if there are too few episodes to adapt to, or alpha is not allowed.
    """
    good = sum(record.meta.outcome == Outcome.SUCCESS for record in records)
    bad = len(records) - good
    if min(good, bad) < FEWEST:
        raise ConfigError(
            f"{good} successful and {bad} failed episodes; at least {FEWEST} of each are needed: "
            "record and label more"
        )
    keys, strata = ([getattr(r, name) for r in records] for name in ("key", "stratum"))
    for of_each in (1, 2):
        share = (of_each * least_count(alpha) + 0.5) / good  # shares are rounded
        share = min(max(share, config.calibration_fraction), LARGEST_SHARE)
        more = share - config.calibration_fraction
        dealt = replace(
            config,
            train_fraction=config.train_fraction - more,
            calibration_fraction=share,
        )
        chosen_by = split_episodes(keys, strata, split_fractions(dealt), dealt.seed)["validation"]
        if both_endings(records, chosen_by):
            break
    return dealt


def promise_of(
    calibration: Calibration, records: Sequence[EpisodeRecord], alpha: float
) -> Promise:
    """Say what the alarm of a calibration promises, and how many episodes a better one takes.

    Args:
        calibration: The calibration.
        records: The labelled episodes that it was dealt from.
        alpha: Share of false alarms that was asked for.
    """
    successes = calibration.successes
    needed = math.ceil((least_count(alpha) + 0.5) / LARGEST_SHARE)  # shares are rounded
    good = sum(record.meta.outcome == Outcome.SUCCESS for record in records)
    return Promise(
        alpha=alpha,
        successes=successes,
        promised=successes >= least_count(alpha),
        least_alpha=least_alpha(successes),
        interval=rate_interval(successes, alpha),
        needed=needed,
        more=max(0, needed - good),
    )
