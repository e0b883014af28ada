"""How the recorded streams are doing, said while an episode can still be saved."""

import math
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from salus_ros.recording.rows import Row

WINDOW_STEPS = 90
GAP_SHARE = 0.1
"""Share of the last steps without a sample from which a stream is said to fall behind."""

STOPPED_S = 1.0
"""A stream whose newest sample is this much older than another one's has stopped."""


@dataclass(frozen=True, slots=True)
class StreamFigures:
    """One stream over the last steps: ages in ms (NaN for none), share of steps without."""

    name: str
    age_p50_ms: float
    age_p95_ms: float
    gap_share: float


class StreamHealth:
    """Ages and gaps of every stream over the last steps, and what is wrong with them."""

    def __init__(
        self,
        max_age_ms: Mapping[str, float],
        required: Sequence[str],
        newest_ns: Callable[[str], int],
    ) -> None:
        """Watch streams.

        Args:
            max_age_ms: The streams, and the oldest sample of each that a step may use.
            required: Those whose absence is a fault even if they never arrived.
            newest_ns: Gives the stamp of a stream's newest sample in ns, -1 without one.
        """
        self._max_age_ms = dict(max_age_ms)
        self._required = frozenset(required)
        self._newest_ns = newest_ns
        self._ages: dict[str, deque[float]] = {
            name: deque(maxlen=WINDOW_STEPS) for name in max_age_ms
        }

    def add(self, row: Row) -> None:
        """Take note of a row; the first one of an episode begins anew."""
        for name, ages in self._ages.items():
            if row.step == 0:
                ages.clear()
            ages.append(row.age_ms[name])

    def figures(self) -> list[StreamFigures]:
        """Figures of every stream; of one without any step the gap share is NaN."""
        return [_figures(name, ages) for name, ages in self._ages.items()]

    def warning(self) -> str:
        """What is wrong with the streams, in words; empty for nothing."""
        newest = {name: self._newest_ns(name) for name in self._max_age_ms}
        latest_ns = max(newest.values(), default=-1)
        words = []
        for figures in self.figures():
            name, stamp_ns = figures.name, newest[figures.name]
            if stamp_ns < 0:
                if name in self._required and latest_ns >= 0:
                    words.append(f"'{name}' has never arrived")
                continue
            behind_s = (latest_ns - stamp_ns) / 1e9
            steps = len(self._ages[name])
            if behind_s > max(STOPPED_S, self._max_age_ms[name] / 1e3):
                words.append(f"'{name}' stopped {behind_s:.1f} s ago")
            elif figures.gap_share > GAP_SHARE:
                gaps = round(figures.gap_share * steps)
                words.append(
                    f"'{name}' was missing or over {self._max_age_ms[name]:g} ms old in {gaps} of "
                    f"the last {steps} steps"
                )
        return "; ".join(words)


def _figures(name: str, ages: Sequence[float]) -> StreamFigures:
    used = sorted(age for age in ages if not math.isnan(age))
    gap_share = 1 - len(used) / len(ages) if ages else math.nan
    return StreamFigures(name, _percentile(used, 0.5), _percentile(used, 0.95), gap_share)


def _percentile(ordered: Sequence[float], share: float) -> float:
    """Smallest value that is not below a share of the values (nearest rank); NaN without any.

    Once a second for a few dozen values: numpy's own would cost more than the recording.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan
