"""Dealing episodes out to training, validation and test; never single steps."""

from collections import defaultdict
from collections.abc import Sequence
from typing import Literal

import numpy as np

SplitName = Literal["train", "validation", "test"]
Split = dict[SplitName, tuple[int, ...]]

HELD_OUT: tuple[SplitName, ...] = ("validation", "test")


def split_episodes(
    keys: Sequence[str],
    strata: Sequence[str],
    train_fraction: float = 0.8,
    validation_fraction: float = 0.1,
    seed: int = 0,
) -> Split:
    """Deal whole episodes out, each kind of ending (stratum) by itself.

    Of a stratum with three episodes or more, validation and test get their rounded share, at
    least one each, so that no part lacks a kind it can have. Of two, one is trained on and one
    goes to the smaller held-out part; a single one is trained on. A held-out part that is empty
    after that gets an episode of the stratum with the most training episodes, while there are
    two to train on.

    Args:
        keys: Identity of each episode; those with one key are repeats and stay together, in the
            stratum of the first.
        strata: How each episode ended.
        train_fraction: Share of training, in (0, 1).
        validation_fraction: Share of validation; test gets the rest.
        seed: Seed of the deal.

    Returns:
        Ascending places of the episodes of each part; every episode is in exactly one.
    """
    places: dict[str, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    by_stratum: dict[str, list[str]] = defaultdict(list)
    for key in sorted(places):
        by_stratum[strata[places[key][0]]].append(key)
    share: dict[SplitName, float] = {
        "validation": validation_fraction,
        "test": 1.0 - train_fraction - validation_fraction,
    }
    generator = np.random.default_rng(seed)
    dealt: dict[SplitName, list[str]] = {"train": [], "validation": [], "test": []}
    training: dict[str, list[str]] = {}
    # The largest first, so that the rare ones can fill the part that came out smaller.
    for stratum in sorted(by_stratum, key=lambda name: (-len(by_stratum[name]), name)):
        count = len(by_stratum[stratum])
        stack = [by_stratum[stratum][place] for place in generator.permutation(count)]
        if count >= 3:
            for part in HELD_OUT:
                dealt[part] += [stack.pop() for _ in range(max(1, round(share[part] * count)))]
        elif count == 2:
            dealt[_smaller(dealt)].append(stack.pop())
        training[stratum] = stack
    while not all(dealt[part] for part in HELD_OUT):
        largest = max(training, key=lambda name: len(training[name]))
        if sum(map(len, training.values())) < 2:
            break
        dealt[_smaller(dealt)].append(training[largest].pop())
    dealt["train"] = [key for stack in training.values() for key in stack]
    return {
        part: tuple(sorted(place for key in dealt[part] for place in places[key]))
        for part in dealt
    }


def _smaller(dealt: dict[SplitName, list[str]]) -> SplitName:
    return "validation" if len(dealt["validation"]) <= len(dealt["test"]) else "test"
