"""Numbers of a report about what is not there: nothing of it is hidden as a zero."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.episodes.reader import StoreReader
from salus_ros.reports.numbers.episodes import quantiles
from salus_ros.reports.numbers.recordings import UNLABELLED, Recordings

BLOCK_STEPS = 8192
"""Steps of an array that are in memory at a time."""

GAP_PERIODS = 1.5
"""Two steps further apart than this many control periods have a gap between them."""

PREDICTION = "prediction"
"""The stream of a predictor's messages."""

OF_PREDICTOR = ("probability", "risk", "alarm", PREDICTION)
"""Arrays and streams that are not missing where no predictor ran."""

ARRAYS = ("state", "action", "embedding", "probability", "risk", "alarm")


def missing_data(recordings: Recordings) -> dict[str, Any]:
    """Steps without a value by array, stream and signal; gaps in time; unknown metadata.

    Steps of a store that lacks an array, a stream, a signal or a camera count as missing there;
    what a predictor says is looked for only in the episodes in which one ran.
    """
    ran = np.concatenate([predicted_episodes(reader) for reader in recordings.readers])
    predicted = ran[recordings.episode]
    return {
        "steps": recordings.steps,
        "predicted": {
            "episodes": int(ran.sum()),
            "of": len(ran),
            "steps": int(predicted.sum()),
        },
        "arrays": [_array(recordings, name, predicted) for name in ARRAYS],
        "cameras": _cameras(recordings),
        "streams": _streams(recordings, predicted),
        "signals": _signals(recordings),
        "fresh_share": _share(int(recordings.fresh.sum()), recordings.steps),
        "gaps": _gaps(recordings),
        "episodes": _unknown(recordings),
    }


def predicted_episodes(reader: StoreReader) -> NDArray[np.bool_]:
    """In which episodes of a store a predictor ran: bool (E,)."""
    ran = np.zeros(reader.steps, dtype=np.bool_)
    if "risk" in reader:
        ran |= np.isfinite(reader.to_numpy(["risk"])["risk"])
    if PREDICTION in reader.spec.streams:
        ages = reader.to_numpy(["age_ms"])["age_ms"]
        ran |= np.isfinite(ages[:, reader.spec.streams.index(PREDICTION)])
    if not reader.steps:
        return np.zeros(len(reader), dtype=np.bool_)
    starts = np.concatenate([[0], reader.episode_ends[:-1]])
    return np.asarray(np.logical_or.reduceat(ran, starts), dtype=np.bool_)


def _array(recordings: Recordings, name: str, predicted: NDArray[np.bool_]) -> dict[str, Any]:
    of_predictor = name in OF_PREDICTOR
    looked_for = predicted if of_predictor else np.ones_like(predicted)  # (N,)
    absent, partly, lacking, first = 0, 0, [], 0
    for reader in recordings.readers:
        rows = looked_for[first : first + reader.steps]
        first += reader.steps
        if name not in reader:
            lacking.append(str(reader.path))
            absent += int(rows.sum())
            continue
        for start, block in _blocks(reader, name):
            there = np.isfinite(block).reshape(len(block), -1)
            wanted = rows[start : start + len(block)]
            absent += int(np.sum(wanted & ~there.any(axis=1)))
            partly += int(np.sum(wanted & there.any(axis=1) & ~there.all(axis=1)))
    return {
        "name": name,
        "of_predictor": of_predictor,
        "missing": _share(absent, int(looked_for.sum())),
        "partly_missing": _share(partly, int(looked_for.sum())),
        "not_in": lacking,
    }


def _cameras(recordings: Recordings) -> list[dict[str, Any]]:
    readers = recordings.readers
    names = dict.fromkeys(name for reader in readers for name in reader.spec.cameras)
    found = []
    for name in names:
        lacking = [reader for reader in readers if name not in reader.spec.cameras]
        steps = sum(reader.steps for reader in lacking)
        paths = [str(reader.path) for reader in lacking]
        found.append({"name": name, "missing": _share(steps, recordings.steps), "not_in": paths})
    return found


def _streams(recordings: Recordings, predicted: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Age of the sample that was used at each step, by stream; NaN where there was none."""
    ages: dict[str, NDArray[Any]] = {}
    first = 0
    for reader in recordings.readers:
        rows = slice(first, first + reader.steps)
        first = rows.stop
        if not reader.spec.streams:
            continue
        values = reader.to_numpy(["age_ms"])["age_ms"]
        for column, name in enumerate(reader.spec.streams):
            age = ages.setdefault(name, np.full(recordings.steps, np.nan))
            age[rows] = values[:, column]
    period_ms = (1e3 / recordings.columns["rate_hz"])[recordings.episode]
    found = []
    for name, age in ages.items():
        of_predictor = name in OF_PREDICTOR
        looked_for = predicted if of_predictor else np.ones_like(predicted)  # (N,)
        total = int(looked_for.sum())
        found.append(
            {
                "name": name,
                "of_predictor": of_predictor,
                "missing": _share(int(np.sum(looked_for & ~np.isfinite(age))), total),
                "late": _share(int(np.sum(looked_for & (age > period_ms))), total),
                "age_ms": quantiles(age),
            }
        )
    return found


def _signals(recordings: Recordings) -> list[dict[str, Any]]:
    found = []
    for column, name in enumerate(recordings.signal_names):
        valid = recordings.valid[:, column]
        found.append(
            {
                "name": name,
                "valid": _share(int(valid.sum()), recordings.steps),
                "fresh_and_valid": _share(int(np.sum(valid & recordings.fresh)), recordings.steps),
                "episodes_with": int(np.unique(recordings.episode[valid]).size),
            }
        )
    return found


def _gaps(recordings: Recordings) -> dict[str, Any]:
    """Steps of the same episode that lie further apart than the control rate has it."""
    period_ns = 1e9 / recordings.columns["rate_hz"]
    stamps = [reader.to_numpy(["stamp_ns"])["stamp_ns"] for reader in recordings.readers]
    apart = np.diff(np.concatenate(stamps)) if recordings.steps else np.zeros(0)
    same = np.diff(recordings.episode) == 0
    periods = apart[same] / period_ns[recordings.episode[1:][same]]
    late = periods > GAP_PERIODS
    return {
        "longer_than_periods": GAP_PERIODS,
        "gaps": int(late.sum()),
        "episodes": int(np.unique(recordings.episode[1:][same][late]).size),
        "longest_periods": float(periods.max()) if periods.size else None,
    }


def _unknown(recordings: Recordings) -> dict[str, int]:
    """Number of episodes that lack something that is known of the others."""
    columns = recordings.columns
    empty = {f"{name} not recorded": columns[name] == "" for name in ("task", "condition")}
    masks = {
        "outcome unknown": recordings.ending == UNLABELLED,
        "failed at an unknown moment": recordings.failed & (columns["failure_step"] < 0),
        **empty,
        "policy not recorded": columns["policy_id"] == "",
        "seed not recorded": columns["seed"] < 0,
        "wall time not recorded": ~np.isfinite(columns["wall_time_s"]),
    }
    return {name: int(np.sum(mask)) for name, mask in masks.items()}


def _blocks(reader: StoreReader, name: str) -> Iterator[tuple[int, NDArray[Any]]]:
    """An array in pieces, each with the number of its first step."""
    for start in range(0, reader.steps, BLOCK_STEPS):
        rows = slice(start, min(start + BLOCK_STEPS, reader.steps))
        yield start, reader.to_numpy([name], rows)[name]


def _share(count: int, total: int) -> dict[str, Any]:
    return {"count": count, "share": count / total if total else None}
