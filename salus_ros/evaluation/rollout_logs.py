"""Rollouts in ActProbe's log format, as samples."""

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.core.labels import before_failure, horizon_labels
from salus_ros.core.schema import HORIZONS_S, horizon_steps
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.training.dataset import EpisodeRecord, Samples

RATE_HZ = 4.0
"""Replans per second: LIBERO runs at 20 Hz, and pi0 plans every fifth step there."""

STATISTICS = {
    "chunk_error": "chunk_mse",
    "chunk_magnitude": "action_norm",
    "stac_single": "chunk_mse",
    "stac_mmd": "chunk_mse_mmd",
}
"""What the chunk statistics of the detectors are called there. STAC-Single is defined by an
absolute difference; these logs, and their authors' figures for it, have the square."""

NEEDS_PREVIOUS = ("chunk_mse", "chunk_mse_mmd")
"""Compare a chunk with the one before; logged as 0 where there is none."""

PATTERNS = ("*.jsonl", "*.jsonl.gz")


def is_actprobe(path: str | Path) -> bool:
    """Tell whether a path is a folder of such logs."""
    return Path(path).is_dir() and bool(_files(Path(path)))


def load_actprobe(folder: str | Path) -> Samples:
    """Read every episode of a folder of logs, one JSON object a line, plain or gzipped.

    A step is a replan, and every value that is logged of it becomes a signal. The logs do not
    say how a rollout failed: those that failed ran to the time limit, and count as timeouts.

    Raises:
        ConfigError: if there is no log, or a line is none, named by file and line.
    """
    folder = Path(folder)
    files = _files(folder)
    if not files:
        raise ConfigError(f"'{folder}' has no {' or '.join(PATTERNS)}; give a folder of logs")
    rollouts = [_checked(line, place) for file in files for place, line in _lines(file)]
    if not rollouts:
        raise ConfigError(f"the logs in '{folder}' hold no episode")
    names = [name for name in rollouts[0]["steps"][0] if name != "t"]
    lengths = [len(rollout["steps"]) for rollout in rollouts]
    signals = np.concatenate([_values(rollout, names) for rollout in rollouts])
    first = np.cumsum(lengths) - lengths
    for name in NEEDS_PREVIOUS:
        if name in names:
            signals[first, names.index(name)] = np.nan
    steps = horizon_steps(HORIZONS_S, RATE_HZ)
    records = tuple(
        EpisodeRecord(rollout["key"], str(folder), place, _meta(rollout), length)
        for place, (rollout, length) in enumerate(zip(rollouts, lengths, strict=True))
    )
    labels = [
        horizon_labels(r.length, r.meta.failure_step, r.meta.finest_type, steps) for r in records
    ]
    valid = np.isfinite(signals)
    usable = np.concatenate([before_failure(r.length, r.meta.failure_step) for r in records])
    statistics = {here: there for here, there in STATISTICS.items() if there in names}
    rows = len(signals)
    return Samples(
        signals=signals,
        valid=valid,
        labels=np.concatenate(labels),
        usable=usable & valid.any(axis=1),
        episode=np.repeat(np.arange(len(records)), lengths),
        step=np.arange(rows) - np.repeat(first, lengths),
        fresh=np.ones(rows, np.bool_),
        action=None,
        state=None,
        embedding=None,
        chunk_statistics=signals[:, [names.index(there) for there in statistics.values()]],
        records=records,
        unlabelled=0,
        signal_names=tuple(names),
        horizons_s=HORIZONS_S,
        failure_types=FAILURE_TYPES,
        chunk_statistic_names=tuple(statistics),
        time_limit=max(lengths),
    )


def _files(folder: Path) -> list[Path]:
    return sorted(file for pattern in PATTERNS for file in folder.glob(pattern))


def _lines(file: Path) -> Iterator[tuple[str, bytes]]:
    """Lines that are not empty, each with where it stands."""
    try:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for number, line in enumerate(lines, 1):
                if line.strip():
                    yield f"'{file}' line {number}", line
    except (OSError, EOFError) as error:
        raise ConfigError(f"'{file}' cannot be read: {error}") from error


def _checked(line: bytes, place: str) -> dict[str, Any]:
    try:
        rollout = json.loads(line)
        names = set(rollout["steps"][0])
        if not all(set(step) == names for step in rollout["steps"]):
            raise ValueError("its steps have different values")
        if not isinstance(rollout["success"], bool):
            raise ValueError(f"success is {rollout['success']!r}")
        key = hashlib.sha256(line).hexdigest()[:16]
        return {name: rollout[name] for name in ("steps", "success", "task_description")} | {
            "id": f"{rollout['task_id']}/{rollout['episode_id']}",
            "key": key,
        }
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise ConfigError(
            f"{place} is no rollout ({type(error).__name__}: {error}); expected is an object with "
            "task_id, task_description, episode_id, success and steps"
        ) from error


def _values(rollout: dict[str, Any], names: list[str]) -> NDArray[np.float32]:
    """Values (T, S) of a rollout; NaN for what is null."""
    try:
        rows = [[step[name] for name in names] for step in rollout["steps"]]
        return np.array(rows, dtype=np.float32)
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(
            f"rollout {rollout['id']} has other values than the first, or no numbers: {error!r}"
        ) from error


def _meta(rollout: dict[str, Any]) -> EpisodeMeta:
    success = rollout["success"]
    return EpisodeMeta(
        id=rollout["id"],
        task=rollout["task_description"],
        outcome=Outcome.SUCCESS if success else Outcome.FAILURE,
        failure_type=FailureType.NONE if success else FailureType.TIMEOUT,
        failure_step=-1 if success else len(rollout["steps"]),
        rate_hz=RATE_HZ,
    )
