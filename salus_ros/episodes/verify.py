"""Reading a store from end to end, once, to find what is damaged in it."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import Crc32cCodec, ZstdCodec

from salus_ros.core.errors import StoreError
from salus_ros.core.schema import JOINT_QUANTITIES
from salus_ros.episodes.files import (
    ZarrArray,
    committed_ends,
    expected_arrays,
    get_array,
    is_packed,
    open_group,
    store_errors,
)
from salus_ros.episodes.layout import EPISODE_ENDS, ArrayLayout
from salus_ros.episodes.location import resolve
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import StoreSpec

STAMP, SIGNALS, VALID = "data/stamp_ns", "data/signals", "data/signals_valid"
WHOLE = ("plan", "plan_samples", "visual_embedding", "expert_embedding", "lookahead", "truth")
"""Arrays under `data/` whose row is finite, or NaN throughout."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a store.

    Attributes:
        array: Path of the array, as `data/state`.
        episode: Index of the episode; None where the array as a whole is meant.
        what: What is wrong with it.
    """

    array: str
    episode: int | None
    what: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What reading a store from end to end showed.

    Attributes:
        path: The store.
        episodes: Number of committed episodes.
        steps: Number of committed steps.
        problems: What is wrong; empty for a sound store.
        uncommitted_rows: Rows behind the last committed one, of an episode that is being written
            or whose writer was killed: no reader sees them, the next writer trims them.
        without_checksum: Arrays whose chunks have no checksum, as those of stores written before
            they had: a changed byte that still decodes goes unseen there.
    """

    path: Path
    episodes: int
    steps: int
    problems: tuple[Problem, ...]
    uncommitted_rows: int = 0
    without_checksum: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Check:
    """A rule for the rows of an array: says of a block (T, ...) which are wrong, bool (T,)."""

    what: str
    wrong: Callable[[NDArray[Any]], NDArray[np.bool_]]


def verify(path: str | Path, on_progress: Callable[[float], None] | None = None) -> Verification:
    """Read every committed chunk of a store once, and check what must hold of its values.

    Found are chunks and files that are gone, cut short or changed; arrays that are of another
    form or shorter than `episode_ends` says; signals that are marked valid but not finite; plans,
    embeddings, further signals, joints and truth that are infinite, or partly there where they
    are there as a whole or not at all; stamps that do not increase; and metadata that contradicts
    itself.

    Args:
        path: Folder, packed file, or `shipped:NAME`.
        on_progress: Called with the share that is done, 0 to 1.

    Raises:
        StoreError: if it cannot be opened as a store at all.
    """
    path = resolve(path)
    group, spec = open_group(path, "r")
    try:
        with store_errors(path, "read"):
            ends = committed_ends(group)
    except StoreError as error:
        return Verification(path, 0, 0, (Problem(EPISODE_ENDS, None, _reason(error)),))
    steps, episodes = int(ends[-1]) if len(ends) else 0, len(ends)
    found: list[Problem] = []
    uncommitted, unchecked = 0, []
    arrays: dict[str, ZarrArray] = {}
    for name, layout in expected_arrays(group, spec).items():
        rows = steps if name.startswith("data/") else episodes
        array = _open(path, group, name, layout, rows, found)
        if array is None:
            continue
        arrays[name] = array
        uncommitted = max(uncommitted, array.shape[0] - rows)
        if not (is_packed(path) or _has_checksum(array)):  # a zip has one of every file
            unchecked.append(name)
    kept: dict[str, NDArray[Any]] = {}
    sizes = [array.nbytes + 1 for array in arrays.values()]
    done = 0.0
    for (name, array), size in zip(arrays.items(), sizes, strict=True):
        row_ends = ends if name.startswith("data/") else np.arange(1, episodes + 1)

        def advance(share: float, done: float = done, size: int = size) -> None:
            if on_progress is not None:
                on_progress((done + share * size) / sum(sizes))

        keep = name in (STAMP, SIGNALS, VALID)
        values, problems = _read(path, name, array, row_ends, keep, advance, _check_of(name, spec))
        found += problems
        if keep and not problems:
            kept[name] = values
        done += size
    found += _values(kept, ends)
    if not any(problem.episode is None or "meta/" in problem.array for problem in found):
        found += _metadata(path, episodes)
    return Verification(path, episodes, steps, tuple(found), uncommitted, tuple(unchecked))


def _open(
    path: Path,
    group: zarr.Group,
    name: str,
    layout: ArrayLayout,
    rows: int,
    found: list[Problem],
) -> ZarrArray | None:
    """Open an array if it can be read; else, and where it has other rows, say so in `found`."""
    try:
        with store_errors(path, "read"):
            array = get_array(group, name)
    except StoreError as error:
        found.append(Problem(name, None, _reason(error)))
        return None
    if array.shape[1:] != layout.row_shape or array.dtype != layout.dtype:
        given, allowed = (array.dtype, array.shape[1:]), (layout.dtype, layout.row_shape)
        found.append(Problem(name, None, f"has rows of {given}, expected {allowed}"))
        return None
    if array.shape[0] < rows or (array.shape[0] > rows and is_packed(path)):
        what = f"has {array.shape[0]} rows, {rows} were committed"
        found.append(Problem(name, None, what))
    return array


def _has_checksum(array: ZarrArray) -> bool:
    return any(
        isinstance(codec, Crc32cCodec) or (isinstance(codec, ZstdCodec) and codec.checksum)
        for codec in array.compressors
    )


def _read(
    path: Path,
    name: str,
    array: ZarrArray,
    ends: NDArray[np.int64],
    keep: bool,
    advance: Callable[[float], None],
    check: Check | None,
) -> tuple[NDArray[Any], list[Problem]]:
    """Read the committed rows of an array, one file at a time; returns them if asked to.

    Of the values only `check` is asked here, if there is one.
    """
    rows = min(int(ends[-1]) if len(ends) else 0, array.shape[0])
    values = np.empty((rows if keep else 0, *array.shape[1:]), array.dtype)
    unread, wrong = np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    first: StoreError | None = None

    def read(start: int, stop: int) -> bool:
        nonlocal first
        try:
            with store_errors(path, "read"):
                block = np.asarray(array[start:stop])
        except StoreError as error:
            first = first or error
            return False
        if keep:
            values[start:stop] = block
        if check is not None:
            wrong[start:stop] = check.wrong(block)
        return True

    step = (array.shards or array.chunks)[0]
    for start in range(0, rows, step):
        stop = min(start + step, rows)
        if not read(start, stop):
            # A file may hold many chunks; one that is damaged leaves the others whole.
            for chunk in range(start, stop, array.chunks[0]):
                until = min(chunk + array.chunks[0], stop)
                unread[chunk:until] = step == array.chunks[0] or not read(chunk, until)
        advance(stop / rows)
    found = [
        Problem(name, episode, f"{check.what} at {len(bad)} steps, the first is {bad[0]}")
        for episode, bad, _ in _by_episode(wrong, ends)
        if check is not None
    ]
    if first is None:
        return values, found
    reason = _reason(first)
    if unread.all():
        return values, [Problem(name, None, f"cannot be read ({reason})")]
    return values, found + [
        Problem(name, episode, f"{len(bad)} of {of} rows cannot be read ({reason})")
        for episode, bad, of in _by_episode(unread, ends)
    ]


def _check_of(name: str, spec: StoreSpec) -> Check | None:
    """What must hold of each row of an array under `data/`; None for nothing here."""
    short = name.removeprefix("data/")
    if short in WHOLE:
        return Check("is infinite or partly missing", _is_partial)
    if short == "plan_step":
        steps = np.arange(spec.plan_length)
        what = f"is no action of a plan of {spec.plan_length}"
        return Check(what, lambda block: ~(np.isin(block, steps) | np.isnan(block)))
    if short.removeprefix("joint_") in JOINT_QUANTITIES or short == "further_signals":
        return Check("is infinite", lambda block: np.isinf(block).any(axis=1))
    return None


def _is_partial(block: NDArray[Any]) -> NDArray[np.bool_]:
    rows = block.reshape(len(block), -1)
    there: NDArray[np.bool_] = np.isfinite(rows).all(axis=1) | np.isnan(rows).all(axis=1)
    return ~there


def _by_episode(
    marked: NDArray[np.bool_], ends: NDArray[np.int64]
) -> list[tuple[int, NDArray[np.intp], int]]:
    """Episodes with marked rows: index, the steps that are marked, and the number of steps."""
    parts = np.split(marked, ends[:-1])
    return [(i, np.flatnonzero(part), len(part)) for i, part in enumerate(parts) if part.any()]


def _values(kept: dict[str, NDArray[Any]], ends: NDArray[np.int64]) -> list[Problem]:
    """Stamps that do not increase, and signals that are valid but not finite."""
    found = []
    if STAMP in kept:
        back = np.diff(kept[STAMP], prepend=np.iinfo(np.int64).min) <= 0
        back[np.append(0, ends[:-1])[: len(ends)]] = False  # each episode begins anew
        for episode, steps, _ in _by_episode(back, ends):
            what = f"does not increase to step {steps[0]} ({len(steps)} times in all)"
            found.append(Problem(STAMP, episode, what))
    if SIGNALS in kept and VALID in kept:
        wrong = (kept[VALID] & ~np.isfinite(kept[SIGNALS])).any(axis=1)
        for episode, steps, _ in _by_episode(wrong, ends):
            what = f"marked valid but not finite at {len(steps)} steps, the first is {steps[0]}"
            found.append(Problem(SIGNALS, episode, what))
    return found


def _metadata(path: Path, episodes: int) -> list[Problem]:
    found = []
    reader = StoreReader(path)
    for index in range(episodes):
        rows = reader.rows(index)
        try:
            reader.meta(index).check_length(rows.stop - rows.start)
        except StoreError as error:
            found.append(Problem("meta", index, _reason(error)))
    return found


def _reason(error: StoreError) -> str:
    """The library's own words where there are some: what to do is for the whole store to say."""
    cause = error.__cause__
    return str(error) if cause is None else f"{type(cause).__name__}: {cause}".splitlines()[0]
