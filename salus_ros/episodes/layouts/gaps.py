"""Where an episode is whole: every step has its images, state and action, and time goes evenly."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from salus_ros.episodes.reader import StoreReader

LEAST_STEPS = 2
"""Steps of the shortest stretch: one alone has no step to follow."""

RATE_TOLERANCE = 0.01
"""Share by which the rate of a stretch may differ from the frames per second it is given."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Steps of an episode that are not whole, or a hole between two of them.

    Attributes:
        episode: Index of the episode in the store.
        id: Its name.
        first: First step that is left out.
        stop: Step after the last one that is; `first` for a hole, which leaves out none.
        what: What is wrong.
    """

    episode: int
    id: str
    first: int
    stop: int
    what: str

    def __str__(self) -> str:
        """Say it in one line."""
        where = f"steps {self.first} to {self.stop - 1} left out"
        if self.stop - self.first < 2:
            where = f"step {self.first} left out" if self.stop > self.first else ""
            where = where or f"cut before step {self.first}"
        return f"episode {self.episode} ('{self.id}'), {where}: {self.what}"


@dataclass(frozen=True, slots=True)
class Exported:
    """What was exported.

    Attributes:
        episodes: Number of episodes there.
        steps: Number of steps in all.
        marked: How many of them are marked as lacking something (`missing`).
        gaps: What was left out of the episodes, or cut in two, and why.
        left_out: Arrays of the store that the layout has no place for.
    """

    episodes: int
    steps: int
    marked: int = 0
    gaps: tuple[Gap, ...] = ()
    left_out: tuple[str, ...] = ()


def missing(reader: StoreReader, index: int) -> dict[str, NDArray[np.bool_]]:
    """Steps of an episode that lack something a policy learns from.

    A value that is not finite is one that is not there. A frame is not there where the age of
    its image is not; in an episode without any ages nothing tells, and every frame counts.

    Returns:
        Bool (T,) for the state, the action and each camera that the store has.
    """
    rows = reader.rows(index)
    names = [name for name in ("state", "action", "age_ms") if name in reader]
    arrays = reader.to_numpy(names, rows)
    ages = arrays.pop("age_ms", None)
    found = {name: ~np.isfinite(values).all(axis=1) for name, values in arrays.items()}
    for camera in reader.spec.cameras:
        if ages is not None and not np.isnan(ages).all() and camera in reader.spec.streams:
            found[camera] = np.isnan(ages[:, reader.spec.streams.index(camera)])
    return found


def lacks_any(lacking: Mapping[str, NDArray[np.bool_]], length: int) -> NDArray[np.bool_]:
    """Steps of an episode of T = `length` steps that lack anything at all: bool (T,)."""
    found = np.zeros(length, np.bool_)
    for marked in lacking.values():
        found |= marked
    return found


def stretches(reader: StoreReader, index: int, fps: int) -> tuple[list[slice], list[Gap]]:
    """Cut an episode where it is not whole.

    A stretch ends before a step that lacks something (`missing`), and where the time to the next
    step differs from 1 / fps by more than half of it.

    Args:
        reader: The store.
        index: The episode.
        fps: Steps per second that the stretches shall have.

    Returns:
        The stretches, of at least `LEAST_STEPS` steps each, and what lies between them.
    """
    lacking = missing(reader, index)
    stamps = reader.to_numpy(("stamp_ns",), reader.rows(index))["stamp_ns"]
    whole = ~lacks_any(lacking, len(stamps))
    gaps: list[Gap] = []

    def gap(first: int, stop: int, what: str) -> None:
        gaps.append(Gap(index, reader.meta(index).id, first, stop, what))

    period_ns = 1e9 / fps
    hole = np.abs(np.diff(stamps) - period_ns) > period_ns / 2  # after step t
    cuts = np.flatnonzero((whole[1:] != whole[:-1]) | (hole & whole[1:])) + 1
    found: list[slice] = []
    for first, stop in zip([0, *cuts], [*cuts, len(stamps)], strict=True):
        first, stop = int(first), int(stop)
        if first and hole[first - 1] and whole[first] and whole[first - 1]:
            seconds = (stamps[first] - stamps[first - 1]) / 1e9
            gap(first, first, f"{seconds:.3f} s from the step before, not {1 / fps:.3f} s")
        if not whole[first]:
            names = [name for name, marked in lacking.items() if marked[first:stop].any()]
            gap(first, stop, f"no {', no '.join(names)}")
        elif stop - first < LEAST_STEPS:
            gap(first, stop, "a whole step alone between two gaps")
        elif (rate := _other_rate(stamps[first:stop], fps)) is not None:
            gap(first, stop, f"steps come at {rate:.2f} per second, not at {fps}")
        else:
            found.append(slice(first, stop))
    return found, gaps


def _other_rate(stamps: NDArray[np.int64], fps: int) -> float | None:
    """Steps per second of a stretch whose time runs away from that of even steps; else None."""
    steps, seconds = len(stamps) - 1, float(stamps[-1] - stamps[0]) / 1e9
    off = abs(seconds - steps / fps)
    return steps / seconds if off > max(1 / fps, RATE_TOLERANCE * steps / fps) else None
