"""Numbers of a report about episodes as wholes: endings, lengths, moments of failure, faults."""

import math
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.evaluation.statistics import wilson_interval
from salus_ros.reports.numbers.recordings import (
    SUCCESS,
    UNLABELLED,
    Recordings,
)

NO_FAULT = "none"


def finite(value: float) -> float | None:
    """The number as a JSON value: None where it is not finite."""
    return float(value) if math.isfinite(value) else None


def share(hits: int, total: int) -> dict[str, Any]:
    """A count, its share of `total`, and the Wilson interval of that share."""
    low, high = wilson_interval(hits, total)
    return {
        "count": hits,
        "of": total,
        "share": hits / total if total else None,
        "low": finite(low),
        "high": finite(high),
    }


def quantiles(
    values: NDArray[Any], wanted: tuple[int, ...] = (5, 25, 50, 75, 95)
) -> dict[str, Any]:
    """Number of the finite values, their least, greatest, and percentiles; None without one."""
    present = np.asarray(values, dtype=np.float64)
    present = present[np.isfinite(present)]
    names = ("min", *(f"p{percent:02d}" for percent in wanted), "max")
    if not present.size:
        return {"values": 0} | dict.fromkeys(names)
    found = np.percentile(present, (0, *wanted, 100))
    return {"values": int(present.size)} | dict(zip(names, map(float, found), strict=True))


def counted(values: Iterable[Any]) -> dict[str, int]:
    """Values and how often they occur, the most frequent first."""
    return dict(Counter(str(value) for value in values).most_common())


def overview(recordings: Recordings) -> dict[str, Any]:
    """Head of the report, and one entry per store."""
    labelled = recordings.labelled
    columns = recordings.columns
    return {
        "episodes": len(recordings),
        "unlabelled": int(np.sum(~labelled)),
        "steps": recordings.steps,
        "hours": float(recordings.seconds(recordings.length).sum() / 3600),
        "success": share(int(np.sum(recordings.ending == SUCCESS)), int(labelled.sum())),
        "policies": counted(columns["policy_id"]),
        "conditions": counted(columns["condition"]),
        "worlds": counted(columns["world"]),
        "tasks": counted(columns["task"]),
        "faults": counted(columns["fault"]),
        "stores": [_store(recordings, place) for place in range(len(recordings.readers))],
    }


def outcomes(recordings: Recordings) -> dict[str, list[dict[str, Any]]]:
    """How episodes ended: all together, and by task, fault, condition (and policy, if several).

    Unlabelled episodes are counted apart; the shares are of the labelled ones.
    """
    groups = {"all": [_group("all", recordings.ending, recordings.endings)]}
    names = {"task": "task", "fault": "fault", "condition": "condition", "policy": "policy_id"}
    for name, column in names.items():
        values = recordings.columns[column]
        found = counted(values)
        if name == "policy" and len(found) < 2:
            continue
        groups[name] = [
            _group(value, recordings.ending[values == value], recordings.endings)
            for value in found
        ]
    return groups


def lengths(recordings: Recordings) -> dict[str, Any]:
    """Length of the episodes of each ending, in steps and in s."""
    seconds = recordings.seconds(recordings.length)
    found = {}
    for ending in (*recordings.endings, UNLABELLED):
        mask = recordings.ending == ending
        found[ending] = {
            "steps": quantiles(recordings.length[mask]),
            "seconds": quantiles(seconds[mask]),
        }
    return found


def failure_times(recordings: Recordings) -> dict[str, Any]:
    """When in the episode each type of failure happened, in s; and how many have no moment."""
    moments = recordings.failure_s()
    found = {}
    for kind in recordings.kinds:
        of_kind = moments[recordings.ending == kind]
        found[kind] = {
            "episodes": int(of_kind.size),
            "moment_unknown": int(np.isnan(of_kind).sum()),
            "seconds": quantiles(of_kind),
        }
    return found


def faults(recordings: Recordings) -> list[dict[str, Any]]:
    """What followed each injected fault, and for comparison the episodes without one.

    A fault acted when the episode was not over before its step; a failure is counted as after
    the fault when its step is that of the fault or a later one.
    """
    columns = recordings.columns
    at, failed_at = columns["fault_step"], columns["failure_step"]
    acted = (at >= 0) & (at <= recordings.length)
    known = recordings.labelled & ((failed_at >= 0) | (recordings.ending == SUCCESS))
    after = acted & (failed_at >= at)
    found = []
    for name in counted(columns["fault"]):
        mask = columns["fault"] == name
        base = mask & recordings.labelled if name == NO_FAULT else mask & acted & known
        hits = base & (recordings.failed if name == NO_FAULT else after)
        delay = recordings.seconds(failed_at - at)[mask & after]
        types = Counter(recordings.ending[hits])
        found.append(
            {
                "fault": name,
                "episodes": int(mask.sum()),
                "without_moment": int(np.sum(mask & (at < 0))),
                "over_before": int(np.sum(mask & (at >= 0) & ~acted)),
                "failed_before": int(np.sum(mask & acted & (failed_at >= 0) & (failed_at < at))),
                "failed_after": share(int(hits.sum()), int(base.sum())),
                "types_after": {kind: types[kind] for kind in recordings.kinds},
                "delay_s": quantiles(delay),
                "strength": quantiles(columns["fault_strength"][mask]),
            }
        )
    return found


def fault_delays(recordings: Recordings) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Delays in s from fault to failure, by fault and by type of failure."""
    columns = recordings.columns
    at, failed_at = columns["fault_step"], columns["failure_step"]
    after = (at >= 0) & (failed_at >= at)
    seconds = recordings.seconds(failed_at - at)
    return {
        name: {
            kind: seconds[after & (columns["fault"] == name) & (recordings.ending == kind)]
            for kind in recordings.kinds
        }
        for name in counted(columns["fault"])
        if (after & (columns["fault"] == name)).any()
    }


def _group(name: str, ending: NDArray[Any], endings: Sequence[str]) -> dict[str, Any]:
    counts = Counter(ending)
    total = sum(counts[kind] for kind in endings)
    return {
        "name": name,
        "episodes": int(ending.size),
        "unlabelled": counts[UNLABELLED],
        "endings": {kind: share(counts[kind], total) for kind in endings},
    }


def _store(recordings: Recordings, place: int) -> dict[str, Any]:
    reader, mask = recordings.readers[place], recordings.store == place
    labelled = mask & recordings.labelled
    success = int(np.sum(recordings.ending[labelled] == SUCCESS))
    return {
        "path": str(reader.path),
        "episodes": int(mask.sum()),
        "steps": reader.steps,
        "success": share(success, int(labelled.sum())),
        "conditions": counted(recordings.columns["condition"][mask]),
        "cameras": list(reader.spec.cameras),
        "signals": len(reader.spec.signals),
        "embedding_dim": reader.spec.embedding_dim,
    }
