"""The numbers of one store, as `salus info` shows them."""

from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.failures import FAILURE_TYPES, Outcome, counted_as
from salus_ros.episodes.reader import StoreReader
from salus_ros.reports.numbers.episodes import counted, quantiles
from salus_ros.reports.numbers.missing import PREDICTION, predicted_episodes


def store_summary(reader: StoreReader) -> dict[str, Any]:
    """Describe a store in JSON values; a quantity without a sample is None."""
    table = reader.table()
    arrays = reader.to_numpy(
        [
            name
            for name in ("signals_valid", "signals_fresh", "further_signals", "age_ms", "risk")
            if name in reader
        ]
    )
    valid = arrays["signals_valid"]
    if reader.spec.further_signals:
        valid = np.hstack([valid, np.isfinite(arrays["further_signals"])])
    ages = arrays.get("age_ms", np.zeros((reader.steps, 0), dtype=np.float32))
    ran = predicted_episodes(reader)
    gaps = _gaps(ages, reader, ran)
    return {
        "path": str(reader.path),
        "episodes": len(reader),
        "steps": reader.steps,
        "seconds": float(np.sum(table["length"] / table["rate_hz"])),
        "megabytes": round(_bytes_on_disc(reader.path) / 1e6, 3),
        "outcomes": {kind.name.lower(): int(np.sum(table["outcome"] == kind)) for kind in Outcome},
        "unlabelled": sum(not meta.labelled for meta in reader.episodes()),
        "failure_types": _failures(reader),
        "failure_causes": counted(cause for cause in table["failure_cause"] if cause),
        "length": quantiles(table["length"], (50, 95)),
        "tasks": counted(table["task"]),
        "faults": counted(table["fault"]),
        "conditions": counted(table["condition"]),
        "worlds": counted(table["world"]),
        "policies": counted(table["policy_id"]),
        "models": counted(name for name in table["model_id"] if name),
        "signals_valid": {
            name: float(valid[:, column].mean()) if reader.steps else None
            for column, name in enumerate(reader.spec.signals + reader.spec.further_signals)
        },
        "signals_fresh": float(arrays["signals_fresh"].mean()) if reader.steps else None,
        "predicted_episodes": int(ran.sum()),
        "steps_predicted_live": int(np.isfinite(arrays["risk"]).sum()),
        "age_ms": {
            name: quantiles(ages[:, column], (50, 95))
            | {"missing": int(np.isnan(ages[:, column]).sum())}
            | gaps[column]
            for column, name in enumerate(reader.spec.streams)
        },
        "spec": reader.spec.to_attributes(),
    }


def _failures(reader: StoreReader) -> dict[str, int]:
    """Episodes of each of the store's failure types, and of those beside them that there are."""
    types = reader.spec.failure_types
    metas = reader.episodes()
    found = Counter(counted_as(m.finest_type, types) for m in metas if m.failure_type)
    named = [*types, *(kind for kind in FAILURE_TYPES if kind not in types and kind in found)]
    return {kind.label: found[kind] for kind in named}


def _gaps(ages: NDArray[Any], reader: StoreReader, ran: NDArray[np.bool_]) -> list[dict[str, Any]]:
    """Steps without a sample, by stream, in the episodes that noted any age at all.

    Of a predictor's stream only the episodes count in which one ran.
    """
    there = np.isfinite(ages)  # (N, M)
    noted: NDArray[np.bool_] = np.zeros(len(reader), dtype=np.bool_)
    if ages.size:
        starts = np.concatenate([[0], reader.episode_ends[:-1]])
        noted = np.logical_or.reduceat(there.any(axis=1), starts)
    length = np.diff(reader.episode_ends, prepend=0)
    found = []
    for column, name in enumerate(reader.spec.streams):
        kept = np.repeat(noted & ran if name == PREDICTION else noted, length)  # (N,)
        steps, gaps = int(kept.sum()), int(np.sum(kept & ~there[:, column]))
        found.append(
            {"gaps": gaps if steps else None, "gap_share": gaps / steps if steps else None}
        )
    return found


def _bytes_on_disc(store: Path) -> int:
    total = 0
    for file in [store] if store.is_file() else store.rglob("*"):
        with suppress(FileNotFoundError):  # a writer beside us replaces files
            total += file.stat().st_size if file.is_file() else 0
    return total
