"""Figures of the streams of a recording: what came, how evenly, and how old it was when used."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from salus_ros.recording.time import NANO


class StreamLog:
    """Stamps of the messages of a stream, as they came."""

    def __init__(self) -> None:
        """No message yet."""
        self._stamps: list[int] = []

    def add(self, stamp_ns: int) -> None:
        """Take note of a message."""
        self._stamps.append(stamp_ns)

    def figures(self) -> dict[str, Any]:
        """Count, rate, duration and gaps; what two messages are needed for is None without.

        The rate is that of the messages over the duration, which bursts do not change; a gap is
        longer than two mean periods.
        """
        given = np.asarray(self._stamps, np.int64)
        stamps = np.unique(given)
        behind = given < np.maximum.accumulate(given) if given.size else given.astype(np.bool_)
        figures: dict[str, Any] = {
            "messages": given.size,
            "rate_hz": None,
            "duration_s": None,
            "largest_gap_s": None,
            "gaps": 0,
            "out_of_order": int(np.count_nonzero(behind)),
            "duplicates": given.size - stamps.size,
        }
        if stamps.size > 1:
            steps_s = np.diff(stamps) / NANO
            period_s = float(steps_s.mean())
            figures["rate_hz"] = 1 / period_s
            figures["duration_s"] = float(steps_s.sum())
            figures["largest_gap_s"] = float(steps_s.max())
            figures["gaps"] = int(np.count_nonzero(steps_s > 2 * period_s))
        return figures


def summary(ages_ms: Sequence[float]) -> dict[str, Any]:
    """Percentiles of the ages of the samples used, and how many steps had none (NaN)."""
    ages = np.asarray(ages_ms, np.float64)
    used = ages[~np.isnan(ages)]
    figures: dict[str, Any] = {
        f"age_{name}_ms": float(np.percentile(used, share)) if used.size else None
        for name, share in (("p50", 50), ("p95", 95), ("max", 100))
    }
    return figures | {"missing_ticks": int(ages.size - used.size)}
