"""A process that writes to a store for ever, in every way there is, until it is killed."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from synthetic_episodes import WITH_IMAGES, make_episode

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import Episode, EpisodeStore

KINDS = (FailureType.NONE, FailureType.DROP, FailureType.TIMEOUT)


def labelled(index: int) -> Episode:
    """Episode number `index` of the store, as it is once a person has labelled it."""
    kind = KINDS[index % len(KINDS)]
    length = 3 + 5 * (index % 7)
    return make_episode(str(index), length, kind, WITH_IMAGES, seed=index, failure_cause="")


def unlabelled(episode: Episode) -> Episode:
    """The same before."""
    return episode.named(episode.meta.judged(Outcome.UNKNOWN, FailureType.NONE, -1))


def steps(episode: Episode, start: int, stop: int) -> Episode:
    """A few steps of an episode, as a recorder has them while it grows."""
    arrays = {
        name: value[start:stop]
        for name in Episode.__dataclass_fields__
        if isinstance(value := getattr(episode, name), np.ndarray)
    }
    images = {camera: frames[start:stop] for camera, frames in episode.images.items()}
    return replace(unlabelled(episode), images=images, **arrays)


def write_for_ever(path: Path, seed: int) -> None:
    """Open, append, grow, discard, label and close, in an order that the seed decides."""
    rng = random.Random(seed)
    while True:
        with EpisodeStore.open_or_create(path, WITH_IMAGES) as store:
            for _ in range(rng.randint(1, 4)):
                episode = unlabelled(labelled(len(store)))
                if rng.random() < 0.5:
                    store.append(episode)
                else:
                    middle = rng.randrange(1, len(episode))
                    store.write(steps(episode, 0, middle))
                    store.write(steps(episode, middle, len(episode)))
                    store.commit(episode.meta)
                if rng.random() < 0.3:
                    store.write(labelled(1000))
                    store.discard()
                if rng.random() < 0.5:
                    index = rng.randrange(len(store))
                    meta = labelled(index).meta
                    store.relabel(index, meta.outcome, meta.failure_type, meta.failure_step)
