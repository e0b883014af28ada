"""Collecting episodes into a store: resumable, in the order of their seeds."""

import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from salus_ros.collection.cluster import RayCluster
from salus_ros.collection.config import CollectionConfig
from salus_ros.collection.workers import Begun, rollout_pool
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.pool import Lost
from salus_ros.episodes import EpisodeMeta, EpisodeStore
from salus_ros.episodes.reader import StoreReader, existing
from salus_ros.policies.cameras import match_cameras
from salus_ros.policies.checkpoint import policy_cameras, policy_id
from salus_ros.worlds.physics import FIRST_ENV_ID


@dataclass(slots=True)
class CollectionResult:
    """What a collection did.

    Attributes:
        episodes: Episodes of the asked seeds that the store holds now.
        collected: Those of them that this run added.
        steps: Steps that this run added.
        seconds: Its duration.
        loading_s: The part of it before the first worker was ready.
        endings: How all of `episodes` ended: "success" or the failure type.
        restarts: Workers that died and were started again.
        peak_mb: Largest memory of a worker after each episode.
        camera_of: The world's camera for each of the policy's.
        unavailable: Signals that the policy never has, each with the reason; known when an
            episode has begun.
    """

    episodes: int = 0
    collected: int = 0
    steps: int = 0
    seconds: float = 0.0
    loading_s: float = 0.0
    endings: Counter[str] = field(default_factory=Counter)
    restarts: int = 0
    peak_mb: list[float] = field(default_factory=list)
    camera_of: dict[str, str] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)


def collect(
    config: CollectionConfig,
    out: Path,
    episodes: int,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[CollectionResult], None] | None = None,
    cluster: RayCluster | None = None,
) -> CollectionResult:
    """Collect the episodes of seeds `seed` to `seed + episodes - 1`.

    Seeds that the store holds already are not run again, so the same call goes on after a kill.
    The store's content does not depend on the number of workers.

    Args:
        config: What to run.
        out: Folder of the store; made if it is not there.
        episodes: How many.
        seed: Of the first one.
        workers: Parallel processes.
        progress: Called with the result so far, after each episode.
        cluster: Where the workers run; on this machine by default. The store is written here.

    Raises:
        ConfigError: if the store's episodes of these seeds were collected with other options.
        StoreError: if the store cannot be written; it holds what was committed before.
        PolicyError: if the policy does not fit the world.
        SalusError: what a worker could not do.
    """
    wanted = range(seed, seed + episodes)
    result, started = CollectionResult(), time.perf_counter()
    reader = existing(out)
    held = [] if reader is None else reader.episodes()
    present = {meta.seed: index for index, meta in enumerate(held) if meta.seed in wanted}
    for index in present.values():
        _check_same(config, held[index], out)
        result.endings[held[index].ending] += 1
    if reader is not None and present:
        _check_replans(config, reader, next(iter(present.values())))
    result.episodes = len(present)
    missing = [s for s in wanted if s not in present]
    if not missing:
        return result
    given = policy_id(config.policy, config.noise_memory)
    result.camera_of = match_cameras(policy_cameras(config.policy), config.form.cameras)
    for index in present.values():
        _check_policy(given, held[index], out)
    with ExitStack() as stack:
        store: EpisodeStore | None = None

        def begin(_seed: int, begun: Begun) -> None:
            nonlocal store
            if begun.policy_id != given:
                raise ConfigError(
                    f"the policy at '{config.policy}' is '{given}' here and '{begun.policy_id}' "
                    "on a machine of the cluster; copy the folder there, or share it"
                )
            if store is not None:
                return
            result.loading_s = time.perf_counter() - started
            result.unavailable = begun.unavailable
            store = stack.enter_context(EpisodeStore.open_or_create(out, begun.spec))
            if len(store) != len(held):
                raise StoreError(
                    f"'{out}' had {len(held)} episodes when this began and has {len(store)} now; "
                    "another process has written to it: begin again when it is done"
                )

        pool = stack.enter_context(rollout_pool(config, missing, workers, begin, cluster))
        for _, made in pool.results():
            assert store is not None  # an episode begins before it ends
            assert not isinstance(made, Lost)  # what a worker lost is run again
            store.append(made.episode)
            result.collected += 1
            result.episodes += 1
            result.steps += len(made.episode)
            result.endings[made.episode.meta.ending] += 1
            result.seconds = time.perf_counter() - started
            result.restarts = pool.restarts
            result.peak_mb.append(made.peak_mb)
            if progress is not None:
                progress(result)
    return result


def _check_same(config: CollectionConfig, meta: EpisodeMeta, out: Path) -> None:
    pairs = {
        "env_id": (meta.world or FIRST_ENV_ID, config.env_id),  # before it was kept there was one
        "condition": (meta.condition, config.condition),
        "fault": (meta.fault, config.fault_of(meta.seed)),
        "task": (meta.task, config.task or meta.task),
    }
    for name, (held, asked) in pairs.items():
        if held != asked:
            raise ConfigError(
                f"'{out}' holds the episode of seed {meta.seed} with {name} '{held}', asked is "
                f"'{asked}'; give the options it was begun with, or another --out or --seed"
            )


def _check_replans(config: CollectionConfig, reader: StoreReader, index: int) -> None:
    fresh = reader.to_numpy(["signals_fresh"], reader.rows(index))["signals_fresh"]
    every = np.unique(np.diff(np.flatnonzero(fresh)))
    if len(every) and every.tolist() != [config.replan_every]:
        raise ConfigError(
            f"'{reader.path}' holds the episode of seed {reader.meta(index).seed} with "
            f"replan_every {', '.join(map(str, every))}, asked is {config.replan_every}; give the "
            "options it was begun with, or another --out or --seed"
        )


def _check_policy(given: str, meta: EpisodeMeta, out: Path) -> None:
    if meta.policy_id != given:
        raise ConfigError(
            f"'{out}' holds episodes of policy '{meta.policy_id}', the policy given is "
            f"'{given}'; give that policy, or another --out"
        )
