"""Figures of the streams of a recording: what came, how evenly, and how old it was when used."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from salus_ros.bags.scan import rate_figures


class StreamLog:
    """Stamps of the messages of a stream, as they came."""

    def __init__(self) -> None:
        """No message yet."""
        self._stamps: list[int] = []

    def add(self, stamp_ns: int) -> None:
        """Take note of a message."""
        self._stamps.append(stamp_ns)

    def figures(self) -> dict[str, Any]:
        """Those of `rate_figures`, and messages that came out of order or twice."""
        given = np.asarray(self._stamps, np.int64)
        behind = given < np.maximum.accumulate(given) if given.size else given.astype(np.bool_)
        return rate_figures(self._stamps) | {
            "out_of_order": int(np.count_nonzero(behind)),
            "duplicates": given.size - np.unique(given).size,
        }


def summary(ages_ms: Sequence[float]) -> dict[str, Any]:
    """Percentiles of the ages of the samples used, and how many steps had none (NaN)."""
    ages = np.asarray(ages_ms, np.float64)
    used = ages[~np.isnan(ages)]
    figures: dict[str, Any] = {
        f"age_{name}_ms": float(np.percentile(used, share)) if used.size else None
        for name, share in (("p50", 50), ("p95", 95), ("max", 100))
    }
    return figures | {"missing_ticks": int(ages.size - used.size)}
