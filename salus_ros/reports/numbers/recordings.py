"""The episodes of several stores side by side: what a report counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.episodes.reader import StoreReader

SUCCESS = "success"
UNLABELLED = "unlabelled"
FAILED = tuple(kind.label for kind in FAILURE_TYPES)
ENDINGS = (SUCCESS, *FAILED)
"""How a labelled episode can end, in the order of every table and figure."""

TEXTS = ("task", "fault", "condition", "world", "policy_id")
NUMBERS = ("failure_step", "fault_step", "fault_strength", "seed", "rate_hz", "wall_time_s")


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """E episodes of N steps in all, and the S signals of any of their stores.

    Attributes:
        readers: The stores, in the order given.
        store: Int64 (E,): which of `readers` an episode is in.
        index: Int64 (E,): its index in that store.
        ending: Str (E,): one of `ENDINGS`, or `UNLABELLED`.
        length: Int64 (E,): steps.
        columns: The other columns (E,) of `StoreReader.table`, by name.
        episode: Int64 (N,): which episode a step belongs to.
        step: Int64 (N,): its number in the episode.
        signal_names: S names, those of the first store first.
        signals: Float32 (N, S), NaN where not valid or not a signal of that store.
        valid: Bool (N, S).
        fresh: Bool (N,): computed at that step, not held from an earlier one.
    """

    readers: tuple[StoreReader, ...]
    store: NDArray[np.int64]
    index: NDArray[np.int64]
    ending: NDArray[Any]
    length: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]
    episode: NDArray[np.int64]
    step: NDArray[np.int64]
    signal_names: tuple[str, ...]
    signals: NDArray[np.float32]
    valid: NDArray[np.bool_]
    fresh: NDArray[np.bool_]

    def __len__(self) -> int:
        """Number of episodes E."""
        return len(self.length)

    @property
    def steps(self) -> int:
        """Number of steps N."""
        return len(self.step)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which episodes failed: bool (E,)."""
        return np.isin(self.ending, FAILED)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which episodes have a known outcome: bool (E,)."""
        return self.ending != UNLABELLED

    def seconds(self, steps: NDArray[Any]) -> NDArray[np.float64]:
        """Steps (E,) of each episode in s of its time."""
        return np.asarray(steps / self.columns["rate_hz"], dtype=np.float64)

    def failure_s(self) -> NDArray[np.float64]:
        """When each episode failed, in s from its start: (E,), NaN where it did not or unknown."""
        step = self.columns["failure_step"]
        return np.where(step >= 0, self.seconds(step), np.nan)


def load_recordings(stores: Sequence[str | Path]) -> Recordings:
    """Read the metadata and signals of some stores, and no other array.

    Raises:
        ConfigError: if no store is given, or one twice.
        StoreError: if a store cannot be read.
    """
    places = [Path(store).resolve() for store in stores]
    if not places or len(set(places)) < len(places):
        raise ConfigError(
            f"the stores given are {[str(store) for store in stores]}; give one or more, each once"
        )
    readers = tuple(StoreReader(store) for store in stores)
    tables = [reader.table() for reader in readers]
    names = tuple(dict.fromkeys(name for reader in readers for name in reader.spec.signals))
    length = np.concatenate([table["length"] for table in tables])
    columns = {
        name: np.concatenate([np.asarray(table[name], dtype=object) for table in tables])
        for name in TEXTS
    } | {name: np.concatenate([table[name] for table in tables]) for name in NUMBERS}
    signals = np.full((int(length.sum()), len(names)), np.nan, dtype=np.float32)
    valid = np.zeros(signals.shape, dtype=np.bool_)
    fresh = np.zeros(len(signals), dtype=np.bool_)
    first = 0
    for reader in readers:
        rows = slice(first, first + reader.steps)
        first = rows.stop
        fresh[rows] = reader.to_numpy(["signals_fresh"])["signals_fresh"]
        arrays = reader.to_numpy(["signals", "signals_valid"])
        at = [names.index(name) for name in reader.spec.signals]
        valid[rows, at] = arrays["signals_valid"] & np.isfinite(arrays["signals"])
        signals[rows, at] = np.where(arrays["signals_valid"], arrays["signals"], np.nan)
    starts = np.cumsum(length) - length
    episode = np.repeat(np.arange(len(length)), length)
    return Recordings(
        readers=readers,
        store=np.repeat(np.arange(len(readers)), [len(reader) for reader in readers]),
        index=np.concatenate([np.arange(len(reader)) for reader in readers]),
        ending=np.concatenate([_endings(table) for table in tables]),
        length=length,
        columns=columns,
        episode=episode,
        step=np.arange(len(episode)) - starts[episode],
        signal_names=names,
        signals=signals,
        valid=valid,
        fresh=fresh,
    )


def name_or_absence(name: str) -> str:
    """A name as it is shown; an empty one says so."""
    return name or "(not recorded)"


def _endings(table: dict[str, NDArray[Any]]) -> NDArray[Any]:
    words = {
        Outcome.UNKNOWN: UNLABELLED,
        Outcome.SUCCESS: SUCCESS,
    }
    return np.asarray(
        [
            words.get(Outcome(outcome), FailureType(kind).label)
            for outcome, kind in zip(table["outcome"], table["failure_type"], strict=True)
        ],
        dtype=object,
    )
