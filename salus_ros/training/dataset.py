"""Recorded episodes as one set of labelled steps."""

import dataclasses
import hashlib
import math
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome, counted_as
from salus_ros.core.labels import before_failure, horizon_labels
from salus_ros.core.schema import EPISODE_OUTPUTS, horizon_steps
from salus_ros.episodes.columns import columns
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.episodes.identity import CONTENT, content_key
from salus_ros.episodes.layout import data_arrays
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import NAMED
from salus_ros.prediction.extras import ARRAYS, EXTRAS, Extras, Parts, stored, stored_parts
from salus_ros.prediction.predictor import Predictor


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """Where a labelled episode comes from.

    Attributes:
        key: Its `content_key`; a repeated episode (same world, same seed) has the same.
        store: Its store.
        index: Index in that store.
        meta: What is known about it as a whole.
        length: Number of steps.
        failure_types: The types that are told apart.
        time_limit: Steps after which its task has failed; 0 where `Samples.time_limit` holds.
    """

    key: str
    store: str
    index: int
    meta: EpisodeMeta
    length: int
    failure_types: tuple[FailureType, ...] = FAILURE_TYPES
    time_limit: int = 0

    @property
    def failure_type(self) -> FailureType:
        """What it counts as, see `failures.counted_as`; `NONE` without a failure."""
        return counted_as(self.meta.finest_type, self.failure_types)

    @property
    def stratum(self) -> str:
        """How it ended, in words: "success" or the type that it counts as."""
        failed = self.meta.outcome == Outcome.FAILURE
        return self.failure_type.label if failed else self.meta.ending


Inputs = tuple[
    NDArray[np.float32],
    NDArray[np.bool_],
    Extras,
    NDArray[np.int64],
    tuple[int, ...],
]
"""Signals (N, S), which are valid, other inputs, step (N,), and lengths of the episodes."""

ROW_ARRAYS = (
    "signals",
    "valid",
    "labels",
    "usable",
    "episode",
    "step",
    "fresh",
    "action",
    "state",
    "chunk_statistics",
    "truth",
)
"""Fields of `Samples` with one row per step."""

OPTIONAL = ("action", "state", "chunk_statistics", "truth")
"""Arrays of a store that not every model needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Labelled steps of several episodes, N rows in all.

    Attributes:
        signals: Float32 (N, S), NaN where not valid.
        valid: Bool (N, S).
        labels: Bool (N, H, K).
        usable: Bool (N,): before the failure and with at least one valid signal.
        episode: Int64 (N,): which of `records` a row belongs to; the rows of an episode follow
            each other, one per step.
        step: Int64 (N,): step within the episode, from 0.
        fresh: Bool (N,): the signals were computed at this step, not held from an earlier one.
        action: Float32 (N, A), or None where the stores differ in its width.
        state: Float32 (N, Q), or None likewise.
        chunk_statistics: Float32 (N, C), NaN where not computed; or None likewise.
        records: The episodes.
        unlabelled: How many episodes were left out because their outcome, or the moment of their
            failure, is unknown.
        intervened: How many more because something else than the policy acted in them: what it
            averted, or brought about, says nothing of what the policy would have come to.
        signal_names: Names of the S columns.
        chunk_statistic_names: Names of the C columns.
        truth: Float32 (N, W), what only a world knows, never an input; or None likewise.
        truth_names: Names of the W columns.
        extras: Those of `extras.EXTRAS` that all stores have alike, (N, W) each.
        parts: What each of them consists of.
        state_names: Names of the Q columns; empty where unknown.
        horizons_s: The H horizons in s.
        failure_types: The K failure types; an episode that counts as none of them failed, and is
            a positive of none.
        time_limit: Steps after which an episode that has not ended has failed, see
            `observed_time_limit`; the longest, where tasks have limits of their own.
    """

    signals: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    episode: NDArray[np.int64]
    step: NDArray[np.int64]
    fresh: NDArray[np.bool_]
    action: NDArray[np.float32] | None
    state: NDArray[np.float32] | None
    chunk_statistics: NDArray[np.float32] | None
    records: tuple[EpisodeRecord, ...]
    unlabelled: int
    signal_names: tuple[str, ...]
    horizons_s: tuple[float, ...]
    failure_types: tuple[FailureType, ...]
    time_limit: int
    intervened: int = 0
    chunk_statistic_names: tuple[str, ...] = ()
    truth: NDArray[np.float32] | None = None
    truth_names: tuple[str, ...] = ()
    extras: Extras = field(default_factory=dict)
    parts: Parts = field(default_factory=dict)
    state_names: tuple[str, ...] = ()

    @property
    def left_out(self) -> dict[str, int]:
        """How many episodes were left out, by the reason."""
        return {
            "unlabelled_episodes": self.unlabelled,
            "intervened_episodes": self.intervened,
        }

    @property
    def time_limits(self) -> NDArray[np.int64]:
        """The time limit of each episode, (E,)."""
        limits = [record.time_limit or self.time_limit for record in self.records]
        return np.array(limits, np.int64)

    @property
    def inputs(self) -> Inputs:
        """What `Predictor.predict_episodes` takes."""
        lengths = tuple(record.length for record in self.records)
        return self.signals, self.valid, self.extras, self.step, lengths

    @property
    def endings(self) -> NDArray[np.bool_]:
        """Whether each episode failed, and by its time limit, whatever types are told apart.

        Bool (E, 2), in the order of `schema.EPISODE_OUTPUTS`.
        """
        kinds = [record.meta.finest_type for record in self.records]
        told = [(k != FailureType.NONE, FailureType.TIMEOUT in k.lineage) for k in kinds]
        return np.array(told, np.bool_).reshape(len(kinds), len(EPISODE_OUTPUTS))

    @property
    def slices(self) -> tuple[slice, ...]:
        """Rows of each episode."""
        ends = np.cumsum([record.length for record in self.records], dtype=np.int64)
        return tuple(map(slice, (ends - np.diff(ends, prepend=0)).tolist(), ends.tolist()))

    def subset(self, episodes: Sequence[int]) -> "Samples":
        """Return these episodes alone, given by their place in `records`, in that order."""
        slices = self.slices
        rows = np.concatenate(
            [
                np.arange(0),
                *(np.arange(*slices[place].indices(len(self.step))) for place in episodes),
            ]
        )
        records = tuple(self.records[place] for place in episodes)
        arrays = {name: getattr(self, name) for name in ROW_ARRAYS}
        arrays = {name: None if a is None else a[rows] for name, a in arrays.items()}
        arrays["episode"] = np.repeat(np.arange(len(records)), [r.length for r in records])
        extras = {name: values[rows] for name, values in self.extras.items()}
        return dataclasses.replace(self, **arrays, records=records, extras=extras)

    def rows(self, episodes: Sequence[int]) -> NDArray[np.bool_]:
        """Mask (N,) of the usable rows of some episodes, given by their place in `records`."""
        return self.usable & np.isin(self.episode, np.asarray(episodes, dtype=np.int64))

    def data_hash(self) -> str:
        """Hash of the episodes and their labels, whatever the order of the episodes."""
        lines = sorted(
            f"{record.key} {record.stratum} {record.meta.failure_step}" for record in self.records
        )
        if self.failure_types != FAILURE_TYPES:
            lines.append(" ".join(kind.label for kind in self.failure_types))
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def load_samples(
    stores: Sequence[str | Path],
    horizons_s: Sequence[float] | None = None,
    failure_types: Sequence[FailureType] | None = None,
    inputs: Collection[str] = EXTRAS,
) -> Samples:
    """Read the signals of every labelled episode of some stores, and label them.

    Episodes with interventions are left out.

    Args:
        stores: Folders of episode stores.
        horizons_s: Horizons in s; those of the first store by default.
        failure_types: Failure types; those of the first store by default. An episode counts as
            the finest of them that covers it.
        inputs: Which of `extras.EXTRAS` to read, where the stores have them; others take memory.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if no store is given, or the stores have other signals.
    """
    if not stores:
        raise ConfigError("no episode store was given; give one folder or more")
    readers = [StoreReader(path) for path in stores]
    spec = readers[0].spec
    horizons = spec.horizons_s if horizons_s is None else tuple(horizons_s)
    types = spec.failure_types if failure_types is None else tuple(failure_types)
    common = [name for name in OPTIONAL if len({_width(r, name) for r in readers}) == 1]
    common = [name for name in common if _width(readers[0], name)]
    if any(reader.spec.truth_names != spec.truth_names for reader in readers):
        common = [name for name in common if name != "truth"]
    parts = {name: of for name, of in _common_parts(readers).items() if name in inputs}
    rows_of: dict[str, list[NDArray[np.generic]]] = defaultdict(list)
    records: list[EpisodeRecord] = []
    unlabelled = intervened = 0
    for reader in readers:
        if reader.spec.signals != spec.signals:
            raise ConfigError(
                f"'{reader.path}' has the signals {list(reader.spec.signals)}, "
                f"'{readers[0].path}' has {list(spec.signals)}; train on stores of one kind"
            )
        order = {
            name: columns(spec.names(name), reader.spec.names(name), name)
            for name in NAMED
            if name in common
        }
        arrays = reader.to_numpy([*{*CONTENT, "signals_fresh", *common}])
        extras = {name: read_extra(reader, name) for name in parts}
        for index, meta in enumerate(reader.episodes()):
            if not meta.labelled:
                unlabelled += 1
                continue
            if meta.interventions:
                intervened += 1
                continue
            rows = reader.rows(index)
            one = {name: values[rows] for name, values in arrays.items()}
            length = rows.stop - rows.start
            steps = horizon_steps(horizons, meta.rate_hz)
            labels = horizon_labels(length, meta.failure_step, meta.finest_type, steps, types)
            before = before_failure(length, meta.failure_step)
            rows_of["signals"].append(one["signals"])
            rows_of["valid"].append(one["signals_valid"])
            rows_of["labels"].append(labels)
            rows_of["usable"].append(before & one["signals_valid"].any(axis=1))
            rows_of["episode"].append(np.full(length, len(records), dtype=np.int64))
            rows_of["step"].append(np.arange(length, dtype=np.int64))
            rows_of["fresh"].append(one["signals_fresh"])
            for name in common:
                rows_of[name].append(one[name][:, order[name]] if name in order else one[name])
            for name, values in extras.items():
                rows_of[name].append(values[rows])
            where = content_key(one), str(reader.path), index
            records.append(EpisodeRecord(*where, meta, length, types))
    if not records:
        raise ConfigError(
            f"no labelled episode in {[str(path) for path in stores]} ({unlabelled} without a "
            f"known outcome, {intervened} in which something else than the policy acted); record "
            "episodes, or label those that are there"
        )
    joined: dict[str, Any] = {name: None for name in OPTIONAL}
    joined |= {n: np.concatenate(rows_of.pop(n)) for n in [*rows_of] if n not in parts}
    extras = {n: np.concatenate(rows_of.pop(n)) for n in [*rows_of]}
    return Samples(
        **joined,
        records=tuple(records),
        unlabelled=unlabelled,
        intervened=intervened,
        signal_names=spec.signals,
        horizons_s=horizons,
        failure_types=types,
        time_limit=observed_time_limit(records),
        chunk_statistic_names=spec.chunk_statistics if "chunk_statistics" in common else (),
        truth_names=spec.truth_names if "truth" in common else (),
        extras=extras,
        parts=parts,
        state_names=spec.state_names if "state" in common else (),
    )


def samples_for(predictor: Predictor, stores: Sequence[str | Path]) -> Samples:
    """Read the labelled episodes of some stores as a predictor takes them.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if they lack what it reads, or have other signals.
    """
    extras = predictor.checkpoint.features.extras
    samples = load_samples(stores, predictor.horizons_s, predictor.failure_types, extras)
    predictor.check_inputs(samples.signal_names, samples.parts)
    return samples


def observed_time_limit(records: Sequence[EpisodeRecord]) -> int:
    """Steps after which an episode counts as failed, as far as the episodes show it.

    Those that failed by it ended there; without one it is not below the longest episode.
    """
    timeouts = [r.meta.failure_step for r in records if r.stratum == FailureType.TIMEOUT.label]
    return max(timeouts or [record.length for record in records])


def _width(reader: StoreReader, name: str) -> int:
    """Numbers per step of an optional array; 0 where the store has none."""
    return math.prod(data_arrays(reader.spec)[name].row_shape) if name in reader else 0


def _common_parts(readers: Sequence[StoreReader]) -> dict[str, tuple[str, ...]]:
    """The inputs that all stores have alike, and what they consist of."""
    first, *others = [stored_parts(reader.spec) for reader in readers]
    same = {name: of for name, of in first.items() if all(o.get(name) == of for o in others)}
    widths = {
        name: {tuple(_width(reader, array) for array in ARRAYS[name]) for reader in readers}
        for name in same
    }
    return {name: of for name, of in same.items() if len(widths[name]) == 1}


def read_extra(reader: StoreReader, name: str, rows: slice | None = None) -> NDArray[np.floating]:
    """An input (N, W) of a store, one of `EXTRAS` that it has; of some rows, or of all."""
    return stored(name, reader.to_numpy([one for one in ARRAYS[name] if one in reader], rows))
