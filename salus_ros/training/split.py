"""Dealing episodes out to training, validation, calibration and test; never single steps."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

SplitName = Literal["train", "validation", "calibration", "test"]
Split = dict[SplitName, tuple[int, ...]]

PARTS: tuple[SplitName, ...] = ("train", "validation", "calibration", "test")

HELD_OUT: tuple[SplitName, ...] = ("validation", "test", "calibration")
"""Parts that are not trained on; where episodes are too few for all, the first are served first.
"""


def split_episodes(
    keys: Sequence[str],
    strata: Sequence[str],
    fractions: Mapping[SplitName, float],
    seed: int = 0,
) -> Split:
    """Deal whole episodes out, each kind of ending (stratum) by itself.

    Of a stratum with more episodes than there are held-out parts, each of these gets its rounded
    share, at least one, so that no part lacks a kind it can have. Of a smaller stratum one is
    trained on and the others go to the smallest held-out parts, one to each. A held-out part that
    is empty after that gets an episode of the stratum with the most training episodes, while there
    are two to train on.

    Args:
        keys: Identity of each episode; those with one key are repeats and stay together, in the
            stratum of the first.
        strata: How each episode ended.
        fractions: Share of each part, in [0, 1); a held-out part with 0 stays empty, and
            training gets what the others leave.
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
    generator = np.random.default_rng(seed)
    held_out = [part for part in HELD_OUT if fractions.get(part, 0.0) > 0]
    dealt: dict[SplitName, list[str]] = {part: [] for part in PARTS}
    training: dict[str, list[str]] = {}
    # The largest first, so that the rare ones can fill the part that came out smaller.
    for stratum in sorted(by_stratum, key=lambda name: (-len(by_stratum[name]), name)):
        count = len(by_stratum[stratum])
        stack = [by_stratum[stratum][place] for place in generator.permutation(count)]
        if count > len(held_out):
            for later, part in zip(reversed(range(len(held_out))), held_out, strict=True):
                most = len(stack) - 1 - later  # one is trained on, and each part gets one
                share = min(max(1, round(fractions[part] * count)), most)
                dealt[part] += [stack.pop() for _ in range(share)]
        else:
            for part in sorted(held_out, key=lambda part: len(dealt[part]))[: count - 1]:
                dealt[part].append(stack.pop())
        training[stratum] = stack
    for part in held_out:
        largest = max(training, key=lambda name: len(training[name]), default="")
        if not dealt[part] and sum(map(len, training.values())) > 1:
            dealt[part].append(training[largest].pop())
    dealt["train"] = [key for stack in training.values() for key in stack]
    return {
        part: tuple(sorted(place for key in dealt[part] for place in places[key]))
        for part in PARTS
    }
