"""Recorded episodes as one set of labelled steps."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.core.labels import before_failure, horizon_labels
from salus_ros.core.schema import horizon_steps
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.episodes.identity import CONTENT, content_key
from salus_ros.episodes.reader import StoreReader


@dataclass(frozen=True, slots=True)
class EpisodeRecord:
    """Where a labelled episode comes from.

    Attributes:
        key: Its `content_key`; a repeated episode (same world, same seed) has the same.
        store: Its store.
        index: Index in that store.
        meta: What is known about it as a whole.
        length: Number of steps.
    """

    key: str
    store: str
    index: int
    meta: EpisodeMeta
    length: int

    @property
    def stratum(self) -> str:
        """How it ended, in words: "success" or the kind of failure."""
        return self.meta.ending


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Labelled steps of several episodes, N rows in all.

    Attributes:
        signals: Float32 (N, S), NaN where not valid.
        valid: Bool (N, S).
        labels: Bool (N, H, K).
        usable: Bool (N,): before the failure and with at least one valid signal.
        episode: Int64 (N,): which of `records` a row belongs to.
        records: The episodes.
        unlabelled: How many episodes were left out because their outcome, or the moment of their
            failure, is unknown.
        signal_names: Names of the S columns.
        horizons_s: The H horizons in s.
        failure_types: The K failure types.
    """

    signals: NDArray[np.float32]
    valid: NDArray[np.bool_]
    labels: NDArray[np.bool_]
    usable: NDArray[np.bool_]
    episode: NDArray[np.int64]
    records: tuple[EpisodeRecord, ...]
    unlabelled: int
    signal_names: tuple[str, ...]
    horizons_s: tuple[float, ...]
    failure_types: tuple[FailureType, ...]

    def rows(self, episodes: Sequence[int]) -> NDArray[np.bool_]:
        """Mask (N,) of the usable rows of some episodes, given by their place in `records`."""
        return self.usable & np.isin(self.episode, np.asarray(episodes, dtype=np.int64))

    def data_hash(self) -> str:
        """Hash of the episodes and their labels, whatever their order."""
        lines = sorted(
            f"{record.key} {record.stratum} {record.meta.failure_step}" for record in self.records
        )
        return hashlib.sha256("\n".join(lines).encode()).hexdigest()[:16]


def load_samples(
    stores: Sequence[str | Path],
    horizons_s: Sequence[float] | None = None,
    failure_types: Sequence[FailureType] | None = None,
) -> Samples:
    """Read the signals of every labelled episode of some stores, and label them.

    Args:
        stores: Folders of episode stores.
        horizons_s: Horizons in s; those of the first store by default.
        failure_types: Failure types; those of the first store by default.

    Raises:
        StoreError: if a store cannot be read.
        ConfigError: if no store is given, the stores have other signals, or an episode failed in
            a way that has no output.
    """
    if not stores:
        raise ConfigError("no episode store was given; give one folder or more")
    readers = [StoreReader(path) for path in stores]
    spec = readers[0].spec
    horizons = spec.horizons_s if horizons_s is None else tuple(horizons_s)
    types = spec.failure_types if failure_types is None else tuple(failure_types)
    parts: dict[str, list[NDArray[np.generic]]] = defaultdict(list)
    records: list[EpisodeRecord] = []
    unlabelled = 0
    for reader in readers:
        if reader.spec.signals != spec.signals:
            raise ConfigError(
                f"'{reader.path}' has the signals {list(reader.spec.signals)}, "
                f"'{readers[0].path}' has {list(spec.signals)}; train on stores of one kind"
            )
        arrays = reader.to_numpy(CONTENT)
        for index, meta in enumerate(reader.episodes()):
            if not meta.labelled:
                unlabelled += 1
                continue
            rows = reader.rows(index)
            one = {name: values[rows] for name, values in arrays.items()}
            length = rows.stop - rows.start
            steps = horizon_steps(horizons, meta.rate_hz)
            parts["signals"].append(one["signals"])
            parts["valid"].append(one["signals_valid"])
            parts["labels"].append(
                horizon_labels(length, meta.failure_step, meta.failure_type, steps, types)
            )
            parts["before"].append(before_failure(length, meta.failure_step))
            parts["episode"].append(np.full(length, len(records), dtype=np.int64))
            records.append(EpisodeRecord(content_key(one), str(reader.path), index, meta, length))
    if not records:
        raise ConfigError(
            f"no labelled episode in {[str(path) for path in stores]} ({unlabelled} without a "
            "known outcome); record episodes, or label those that are there"
        )
    joined = {name: np.concatenate(values) for name, values in parts.items()}
    return Samples(
        signals=joined["signals"].astype(np.float32, copy=False),
        valid=joined["valid"].astype(np.bool_, copy=False),
        labels=joined["labels"].astype(np.bool_, copy=False),
        usable=(joined["before"] & joined["valid"].any(axis=1)).astype(np.bool_, copy=False),
        episode=joined["episode"].astype(np.int64, copy=False),
        records=tuple(records),
        unlabelled=unlabelled,
        signal_names=spec.signals,
        horizons_s=horizons,
        failure_types=types,
    )
