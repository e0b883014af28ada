"""Episodes made up for tests: small, seeded, with a failure that the signals announce."""

import numpy as np

from salus_ros.core import schema
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.labels import before_failure, horizon_labels
from salus_ros.core.schema import horizon_steps
from salus_ros.episodes import Episode, EpisodeMeta, EpisodeStore, StoreSpec
from salus_ros.episodes.layout import data_arrays
from salus_ros.evaluation.episode_metrics import Episodes
from salus_ros.prediction.extras import of_episode, stored_parts
from salus_ros.training.dataset import OPTIONAL, EpisodeRecord, Samples

LOW_DIM = StoreSpec(state_dim=7, action_dim=7, streams=("state", "signals"))
WITH_IMAGES = StoreSpec(
    cameras=("front", "wrist"),
    image_size=(8, 6),
    state_dim=7,
    action_dim=7,
    embedding_dim=5,
    chunk_statistics=("spread", "error"),
    plan_length=4,
    plan_samples=2,
    visual_cameras=("front", "wrist"),
    visual_dim=3,
    expert_dim=6,
    joint_names=("arm", "finger"),
    joint_quantities=("position", "effort"),
    lookahead_cell="here",
    lookahead_names=("near", "far"),
    truth_names=("object.x", "force_n"),
    episode_outputs=("episode_failure", "no_progress"),
    further_signals=("hesitation", "regret"),
    streams=("front",),
    shard_steps=7,
)
WARNING_STEPS = 20


def make_episode(
    name: str = "0",
    length: int = 30,
    kind: FailureType = FailureType.NONE,
    spec: StoreSpec = LOW_DIM,
    seed: int = 0,
    **meta,
) -> Episode:
    """An episode whose signal number `kind` rises before a failure at its end."""
    rng = np.random.default_rng((seed, length, int(kind)))
    failed = kind != FailureType.NONE
    signals = rng.normal(size=(length, 12))
    if failed:
        left = length - np.arange(length)
        signals[:, kind] += 4 * np.clip(1 - left / WARNING_STEPS, 0, 1)
    valid = np.ones((length, 12), dtype=bool)
    valid[:, 11] = False  # no reference was fitted
    valid[:1, (3, 6, 8)] = False  # nothing to compare with yet
    if seed % 3 == 2:
        meta = {"fault": "slip", "fault_step": length // 2, "fault_strength": 0.125} | meta
    known = {
        "outcome": Outcome.FAILURE if failed else Outcome.SUCCESS,
        "failure_type": kind,
        "failure_step": length if failed else -1,
        "failure_cause": f"made-up {kind.label}" if failed else "",
        "task": "put the cube on the plate",
        "condition": "standard",
    }
    height, width = spec.image_size
    return Episode(
        meta=EpisodeMeta(id=name, **(known | meta)),
        action=rng.normal(size=(length, spec.action_dim)),
        state=rng.normal(size=(length, spec.state_dim)),
        stamp_ns=1 + np.arange(length) * round(1e9 / schema.RATE_HZ),
        signals=signals,
        signals_valid=valid,
        signals_fresh=np.arange(length) % 3 == 0,
        images={
            camera: rng.integers(0, 256, (length, height, width, 3), dtype=np.uint8)
            for camera in spec.cameras
        },
        embedding=rng.normal(size=(length, spec.embedding_dim)) if spec.embedding_dim else None,
        chunk_statistics=rng.normal(size=(length, len(spec.chunk_statistics)))
        if spec.chunk_statistics
        else None,
        **_optional(rng, length, spec),
    )


def _optional(rng, length, spec: StoreSpec):
    """The plan in force since the last third step, what the policy sees, joints and truth."""
    since = np.arange(length) - np.arange(length) % 3
    names = ("plan_samples", "visual_embedding", "expert_embedding", "lookahead")
    layouts = data_arrays(spec)
    made = {
        name: rng.normal(size=(length, *layouts[name].row_shape))[since].astype(np.float16)
        for name in names
        if name in layouts
    }
    if "plan_samples" in made:
        made["plan"] = made["plan_samples"][:, 0]
        made["plan_step"] = np.float32(np.arange(length) % 3)
    if spec.further_signals:
        made["further_signals"] = rng.normal(size=(length, len(spec.further_signals)))[since]
        made["further_signals"][:3, -1] = np.nan  # nothing to compare with yet
    for name in (f"joint_{quantity}" for quantity in spec.joint_quantities):
        made[name] = rng.normal(size=(length, len(spec.joint_names)))
    if spec.truth_names:
        made["truth"] = rng.normal(size=(length, len(spec.truth_names)))
    if spec.episode_outputs:
        made["episode_outputs"] = rng.uniform(size=(length, len(spec.episode_outputs)))
    return made


def make_store(path, kinds, spec: StoreSpec = LOW_DIM, seed: int = 0, lengths=(40, 90), **meta):
    """A store with one episode per kind of ending."""
    rng = np.random.default_rng(seed)
    with EpisodeStore.create(path, spec) as store:
        for number, kind in enumerate(kinds):
            length = int(rng.integers(*lengths))
            own = 1000 * seed + number
            store.append(make_episode(str(number), length, kind, spec, seed=own, **meta))
    return path


def make_outcomes(lengths, failure_steps, tasks=None, kinds=None):
    """How made-up episodes of 10 Hz went: a failure step each, -1 for none."""
    failure_steps = np.array(failure_steps)
    return Episodes(
        length=np.array(lengths),
        failed=failure_steps >= 0,
        failure_step=failure_steps,
        failure_type=np.array(kinds) if kinds else (failure_steps >= 0).astype(np.int64),
        task=np.zeros(len(lengths), np.int64) if tasks is None else np.array(tasks),
        rate_hz=np.full(len(lengths), 10.0),
        time_limit=np.full(len(lengths), 200),
    )


def make_samples(episodes, spec: StoreSpec) -> Samples:
    """What `load_samples` would read of a store with these episodes, without writing it."""
    rows = {name: [] for name in ("labels", "usable", "episode", "step")}
    for number, episode in enumerate(episodes):
        length, meta = len(episode.action), episode.meta
        steps = horizon_steps(spec.horizons_s, meta.rate_hz)
        how = (length, meta.failure_step)
        rows["labels"].append(horizon_labels(*how, meta.finest_type, steps, spec.failure_types))
        rows["usable"].append(before_failure(*how) & episode.signals_valid.any(axis=1))
        rows["episode"].append(np.full(length, number))
        rows["step"].append(np.arange(length))
    names = {"signals": "signals", "valid": "signals_valid", "fresh": "signals_fresh"}
    names |= {name: name for name in OPTIONAL}
    arrays = {name: np.concatenate(parts) for name, parts in rows.items()} | {
        name: None
        if getattr(episodes[0], field) is None
        else np.concatenate([getattr(episode, field) for episode in episodes])
        for name, field in names.items()
    }
    extras = [of_episode(episode) for episode in episodes]
    return Samples(
        **arrays,
        extras={name: np.concatenate([of[name] for of in extras]) for name in extras[0]},
        parts=stored_parts(spec),
        records=tuple(
            EpisodeRecord(
                f"{n:016x}", "memory", n, episode.meta, len(episode.action), spec.failure_types
            )
            for n, episode in enumerate(episodes)
        ),
        unlabelled=0,
        signal_names=spec.signals,
        horizons_s=spec.horizons_s,
        failure_types=spec.failure_types,
        time_limit=200,
        chunk_statistic_names=spec.chunk_statistics,
        truth_names=spec.truth_names,
        state_names=spec.state_names,
    )
