"""Episodes of many seeds by parallel workers, in the order of the seeds."""

import resource
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from salus_ros.collection.cluster import RayCluster
from salus_ros.collection.config import CollectionConfig
from salus_ros.core.pool import DEATHS_IN_A_ROW, Desk, Pool
from salus_ros.episodes import Episode, StoreSpec
from salus_ros.policies.registry import POLICY_MODULES

LOOK_AHEAD = 16
"""Episodes, for each that runs, that may wait for one before them."""

HELD_BYTES = 1 << 30
"""Images of those that wait; an episode's are some 100 MB."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What a worker says of its episodes when one begins; see `Rollout`."""

    policy_id: str
    spec: StoreSpec
    unavailable: dict[str, str]


@dataclass(frozen=True, slots=True)
class Collected:
    """An episode, and the largest memory in MB that its worker has had until its end."""

    episode: Episode
    peak_mb: float


def rollout_pool(
    config: CollectionConfig,
    seeds: Sequence[int],
    workers: int,
    on_begin: Callable[[int, Begun], None] = lambda *_: None,
    cluster: RayCluster | None = None,
) -> Pool[int, Collected]:
    """A pool that runs an episode of each seed.

    Args:
        config: What to run.
        seeds: Of the episodes.
        workers: Number of processes at most.
        on_begin: Told the seed of an episode that begins, and of the policy.
        cluster: Where the workers run; on this machine by default.
    """
    workers = max(1, workers)
    return Pool(
        partial(_work, config),
        seeds,
        workers,
        restart=True,
        ahead=workers * config.envs * (1 + LOOK_AHEAD),
        size=lambda made: sum(frames.nbytes for frames in made.episode.images.values()),
        held_bytes=HELD_BYTES,
        on_progress=on_begin,
        advice="use fewer --workers or --envs",
        start=None if cluster is None else cluster.start,
        # A machine that goes takes all its workers with it.
        deaths=DEATHS_IN_A_ROW * (1 if cluster is None else workers),
        preload=POLICY_MODULES,
    )


def _work(config: CollectionConfig, desk: Desk[int, Collected]) -> None:
    """Body of a worker: run the episodes of the seeds it is given."""
    from salus_ros.collection.rollout import Rollout

    rollout = Rollout(config)
    begun = Begun(rollout.policy_id, rollout.spec, rollout.unavailable)

    def seeds() -> Iterator[int | None]:
        for seed in desk:
            if seed is not None:
                desk.progress(seed, begun)
            yield seed

    for episode in rollout.run(seeds()):
        peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        desk.send(episode.meta.seed, Collected(episode, peak_mb))
        desk.done(episode.meta.seed)
    rollout.close()
