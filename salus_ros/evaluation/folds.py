"""Splitting episodes several times, for comparisons that every episode takes part in."""

import warnings
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.model_selection import StratifiedGroupKFold

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import Outcome
from salus_ros.training.dataset import Samples
from salus_ros.training.split import SplitName, split_episodes

PROTOCOLS = ("folds", "seen", "unseen")
"""Every episode tested once; shares of every task, 15 % to test; whole tasks held out."""

UNSEEN_TASKS = 3
"""Tasks that the protocol "unseen" holds out, as ActProbe does on LIBERO-10."""

SHARES: dict[SplitName, float] = {"validation": 0.125, "calibration": 0.1875}
"""Of what a fold does not test: 10 and 15 % of all, with five folds."""


@dataclass(frozen=True, slots=True)
class Fold:
    """Places of the episodes of each part, and the seed of what is fitted to them.

    Validation chooses epochs and settings; calibration fits probabilities and alarm thresholds.
    """

    name: str
    train: tuple[int, ...]
    validation: tuple[int, ...]
    calibration: tuple[int, ...]
    test: tuple[int, ...]
    seed: int


def make_folds(samples: Samples, protocol: str = "folds", number: int = 5) -> tuple[Fold, ...]:
    """Split the episodes several times, whole.

    Args:
        samples: The episodes.
        protocol: One of `PROTOCOLS`. "folds", with five of them, gives 55 % to training, 10 to
            validation, 15 to calibration and 20 to test, each episode tested once, repeats of an
            episode together, tasks and endings spread evenly. "seen" and "unseen" are those of
            ActProbe (arXiv 2606.08508), with their validation halved for a calibration.
        number: Number of splits, each with a seed of its own.

    Raises:
        ConfigError: if there is no such protocol, or the episodes are too few.
    """
    if protocol not in PROTOCOLS:
        raise ConfigError(f"protocol {protocol!r}; allowed is one of {', '.join(PROTOCOLS)}")
    if number < 2:
        raise ConfigError(f"{number} splits; give at least 2")
    bad = np.array([record.meta.outcome == Outcome.FAILURE for record in samples.records], bool)
    needed = 2 * number if protocol == "folds" else 10
    if min(bad.sum(), (~bad).sum()) < needed:
        raise ConfigError(
            f"{int(bad.sum())} failed and {int((~bad).sum())} successful episodes; at least "
            f"{needed} of each are needed for {number} splits: record more, or split less often"
        )
    tasks = np.array([record.meta.task for record in samples.records])
    if protocol == "folds":
        return _deal(samples, number)
    if protocol == "unseen" and len(np.unique(tasks)) <= UNSEEN_TASKS:
        raise ConfigError(
            f"{len(np.unique(tasks))} tasks; protocol unseen holds {UNSEEN_TASKS} out and needs "
            "more than that"
        )
    return tuple(_draw(tasks, bad, seed, unseen=protocol == "unseen") for seed in range(number))


def _deal(samples: Samples, number: int) -> tuple[Fold, ...]:
    strata = [f"{record.meta.task} {record.stratum}" for record in samples.records]
    keys = [record.key for record in samples.records]
    dealer = StratifiedGroupKFold(number, shuffle=True, random_state=0)
    with warnings.catch_warnings():  # of endings rarer than the number of parts
        warnings.simplefilter("ignore", UserWarning)
        tests = [part.tolist() for _, part in dealer.split(strata, strata, keys)]
    folds = []
    for seed, test in enumerate(tests):
        rest = sorted(set(range(len(keys))) - set(test))
        parts = split_episodes([keys[n] for n in rest], [strata[n] for n in rest], SHARES, seed)
        learnt, checked, calibrated = (
            [rest[n] for n in parts[part]] for part in ("train", "validation", "calibration")
        )
        folds.append(_fold("fold", seed, learnt, checked, calibrated, test))
    return tuple(folds)


def _draw(tasks: NDArray[np.str_], bad: NDArray[np.bool_], seed: int, *, unseen: bool) -> Fold:
    rng = np.random.default_rng(seed)
    names = np.unique(tasks)
    new = set(rng.permutation(names)[:UNSEEN_TASKS]) if unseen else set()
    train: list[int] = []
    checked: list[int] = []
    test = np.flatnonzero(np.isin(tasks, list(new))).tolist() if unseen else []
    for task in sorted(set(names) - new):
        for kind in (False, True):
            places = rng.permutation(np.flatnonzero((tasks == task) & (bad == kind))).tolist()
            learnt = int(0.7 * len(places))
            end = len(places) if unseen else learnt + int(0.15 * len(places))
            train += places[:learnt]
            checked += places[learnt:end]
            test += places[end:]
    name = "unseen" if unseen else "seen"
    return _fold(name, seed, train, checked[::2], checked[1::2], test)


def _fold(
    name: str,
    seed: int,
    train: Iterable[int],
    validation: Iterable[int],
    calibration: Iterable[int],
    test: Iterable[int],
) -> Fold:
    parts = (tuple(sorted(part)) for part in (train, validation, calibration, test))
    learnt, checked, calibrated, tested = parts
    return Fold(f"{name}{seed}", learnt, checked, calibrated, tested, seed)
