"""The episodes of several stores side by side: what a report counts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome, counted_as
from salus_ros.episodes.reader import StoreReader

SUCCESS = "success"
UNLABELLED = "unlabelled"
TEXTS = ("task", "fault", "condition", "world", "policy_id")
NUMBERS = ("failure_step", "fault_step", "fault_strength", "seed", "rate_hz", "wall_time_s")


@dataclass(frozen=True, slots=True, eq=False)
class Recordings:
    """E episodes of N steps in all, and the S signals of any of their stores.

    Attributes:
        readers: The stores, in the order given.
        store: Int64 (E,): which of `readers` an episode is in.
        index: Int64 (E,): its index in that store.
        failure_types: The types that are told apart.
        ending: Str (E,): one of `endings`, or `UNLABELLED`.
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
    failure_types: tuple[FailureType, ...]
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
    def kinds(self) -> tuple[str, ...]:
        """Ways to fail, in the order of every table and figure: the types, and any beside them."""
        kinds = [kind.label for kind in self.failure_types]
        others = (kind.label for kind in FAILURE_TYPES)
        return (*kinds, *(one for one in others if one not in kinds and one in self.ending))

    @property
    def endings(self) -> tuple[str, ...]:
        """How a labelled episode can end."""
        return (SUCCESS, *self.kinds)

    @property
    def failed(self) -> NDArray[np.bool_]:
        """Which episodes failed: bool (E,)."""
        return np.isin(self.ending, self.kinds)

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


def load_recordings(
    stores: Sequence[str | Path], failure_types: Sequence[FailureType] | None = None
) -> Recordings:
    """Read the metadata and signals of some stores, and no other array.

    Args:
        stores: The stores.
        failure_types: The types that are told apart, see `failures.counted_as`; by default all
            that any of the stores tells apart.

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
    types = dict.fromkeys(kind for reader in readers for kind in reader.spec.failure_types)
    types = dict.fromkeys(types if failure_types is None else failure_types)
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
        failure_types=tuple(types),
        ending=np.concatenate([_endings(table, tuple(types)) for table in tables]),
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


def _endings(
    table: dict[str, NDArray[Any]], failure_types: tuple[FailureType, ...]
) -> NDArray[Any]:
    words = {
        Outcome.UNKNOWN: UNLABELLED,
        Outcome.SUCCESS: SUCCESS,
    }
    return np.asarray(
        [
            words.get(Outcome(outcome))
            or counted_as(FailureType(kind).refined(cause), failure_types).label
            for outcome, kind, cause in zip(
                table["outcome"], table["failure_type"], table["failure_cause"], strict=True
            )
        ],
        dtype=object,
    )
