"""Rollouts in ActProbe's log format, as samples."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.core.labels import before_failure, horizon_labels
from salus_ros.core.schema import HORIZONS_S, horizon_steps
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.evaluation.rollout_files import Notes, Rollout, find_logs, read_rollouts
from salus_ros.training.dataset import EpisodeRecord, Samples

RATE_HZ = 4.0
"""Replans per second where a log does not say: LIBERO runs at 20 Hz, and pi0 plans every fifth
step there."""

STATISTICS = {
    "chunk_error": "chunk_mse",
    "chunk_magnitude": "action_norm",
    "stac_single": "chunk_mse",
    "stac_mmd": "chunk_mse_mmd",
}
"""What the chunk statistics of the detectors are called there. STAC-Single is defined by an
absolute difference; these logs, and their authors' figures for it, have the square."""

NEEDS_PREVIOUS = (
    "chunk_mse",
    "chunk_mse_mmd",
    "eef_z_vel",
    "eef_speed_3d",
    "gripper_qpos_vel",
)
"""Compare a step with the one before; logged as 0 where there is none."""


@dataclass(frozen=True, slots=True, eq=False)
class Logs:
    """What some logs hold.

    Attributes:
        samples: The rollouts whose outcome is known.
        notes: What was left out of them, counts as missing or was assumed, one sentence each.
    """

    samples: Samples
    notes: tuple[str, ...]


def load_actprobe(*paths: str | Path) -> Logs:
    """Read every rollout of some logs, one JSON object a line, plain or gzipped.

    A step is a replan, and every number that is logged of it becomes a signal, what is nested
    with a dotted name.

    The logs do not say how a rollout failed, nor the time limit. A task's limit is shown where
    two failures end after as many steps, each the longest rollout of its task: those are timeouts,
    and every other failure is of type `OTHER`. Where all that show one show the same, it holds for
    every task; else a task without takes its longest rollout.

    Args:
        paths: Logs, or folders of them.

    Raises:
        ConfigError: if there is no rollout, or a line is none, named by file and line.
    """
    notes = Notes()
    found = [one for file in find_logs(paths, notes) for one in read_rollouts(file, notes)]
    rollouts = _distinct(found, notes)
    judged = [one for one in rollouts if one.success is not None]
    unlabelled = len(rollouts) - len(judged)
    if not judged:
        why = f" ({'; '.join(notes.said)})" if notes.said else ""
        raise ConfigError(
            f"the logs in {', '.join(f"'{path}'" for path in paths)} hold no rollout with an "
            f"outcome, {unlabelled} without{why}; give success for each"
        )
    names = [*dict.fromkeys(name for one in judged for name in one.values)]
    records = _records(judged)
    lengths = [record.length for record in records]
    rows = sum(lengths)
    signals = np.full((rows, len(names)), np.nan, np.float32)
    first = np.cumsum(lengths) - lengths
    for start, one in zip(first, judged, strict=True):
        for column, name in enumerate(names):
            if name in one.values:
                signals[start : start + len(one.fresh), column] = one.values[name]
            else:
                notes.absent[name] += len(one.fresh)
    for name in {*NEEDS_PREVIOUS} & {*names}:
        signals[first, names.index(name)] = np.nan
    if silent := sum(one.rate_hz is None for one in judged):
        notes.said.append(
            f"{silent} rollouts have no rate_hz: {RATE_HZ:g} steps a second are assumed, as of "
            "pi0 on LIBERO; every time in s hangs on it"
        )
    labels = [
        horizon_labels(
            r.length,
            r.meta.failure_step,
            r.meta.finest_type,
            horizon_steps(HORIZONS_S, r.meta.rate_hz),
        )
        for r in records
    ]
    valid = np.isfinite(signals)
    usable = np.concatenate([before_failure(r.length, r.meta.failure_step) for r in records])
    statistics = {here: there for here, there in STATISTICS.items() if there in names}
    samples = Samples(
        signals=signals,
        valid=valid,
        labels=np.concatenate(labels),
        usable=usable & valid.any(axis=1),
        episode=np.repeat(np.arange(len(records)), lengths),
        step=np.arange(rows) - np.repeat(first, lengths),
        fresh=np.concatenate([one.fresh for one in judged]),
        action=None,
        state=None,
        chunk_statistics=signals[:, [names.index(there) for there in statistics.values()]],
        records=records,
        unlabelled=unlabelled,
        signal_names=tuple(names),
        horizons_s=HORIZONS_S,
        failure_types=FAILURE_TYPES,
        chunk_statistic_names=tuple(statistics),
        time_limit=max(lengths),
    )
    return Logs(samples, notes.lines(names, rows))


def _distinct(rollouts: Sequence[Rollout], notes: Notes) -> list[Rollout]:
    """The rollouts, those with the same steps once."""
    kept: dict[str, Rollout] = {}
    repeats: Counter[str] = Counter()
    for one in rollouts:
        known = kept.setdefault(one.key, one)
        if known is one:
            continue
        if known.success != one.success:
            raise ConfigError(
                f"{one.place} has the steps of {known.place} and another outcome; delete the one "
                "that is wrong"
            )
        repeats[f"'{one.file}' repeats rollouts of '{known.file}', which are left out"] += 1
    notes.said += [f"{what}: {count}" for what, count in repeats.items()]
    return list(kept.values())


def _records(rollouts: Sequence[Rollout]) -> tuple[EpisodeRecord, ...]:
    """Outcomes, with the time limits that the rollouts show."""
    longest: dict[str, int] = {}
    for one in rollouts:
        longest[one.task] = max(longest.get(one.task, 0), len(one.fresh))
    last = Counter(
        len(one.fresh)
        for one in rollouts
        if not one.success and len(one.fresh) == longest[one.task]
    )
    shown = {steps for steps, failures in last.items() if failures > 1}
    common = shown.pop() if len(shown) == 1 else 0
    records = []
    for one in rollouts:
        steps, limit = len(one.fresh), max(longest[one.task], common)
        kind = FailureType.NONE
        if not one.success:
            by_clock = steps == limit and last[steps] > 1
            kind = FailureType.TIMEOUT if by_clock else FailureType.OTHER
        meta = EpisodeMeta(
            id=one.id,
            task=one.task,
            outcome=Outcome.SUCCESS if one.success else Outcome.FAILURE,
            failure_type=kind,
            failure_step=-1 if one.success else steps,
            rate_hz=RATE_HZ if one.rate_hz is None else one.rate_hz,
        )
        records.append(
            EpisodeRecord(one.key, str(one.file), one.line - 1, meta, steps, time_limit=limit)
        )
    return tuple(records)
