"""As-of sampling: the last sample at or before a tick, never one of the future."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

NANO = 1_000_000_000
MIN_NS = -(2**63)


@dataclass(frozen=True, slots=True, eq=False)
class Timeline:
    """When the samples of a stream were taken, in order.

    Attributes:
        stamps_ns: Int64 (N,), strictly increasing; of equal stamps the first message counts.
        ordinals: Int64 (N,): the how-manieth message of the topic each is.
        messages: Number of messages.
        out_of_order: Messages with a stamp before that of an earlier message.
        duplicates: Messages whose stamp another one had.
    """

    stamps_ns: NDArray[np.int64]
    ordinals: NDArray[np.int64]
    messages: int
    out_of_order: int
    duplicates: int

    @classmethod
    def of(cls, stamps_ns: ArrayLike) -> Self:
        """Order stamps in ns, (M,) as the messages came."""
        given = np.asarray(stamps_ns, dtype=np.int64)
        stamps, ordinals = np.unique(given, return_index=True)
        behind = given < np.maximum.accumulate(given) if given.size else np.zeros(0, np.bool_)
        late, repeated = int(np.count_nonzero(behind)), given.size - stamps.size
        return cls(stamps, ordinals.astype(np.int64), given.size, late, repeated)

    def as_of(
        self, ticks_ns: NDArray[np.int64], max_age_ns: int, after_ns: int = MIN_NS
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Find the sample of each tick.

        Args:
            ticks_ns: Int64 (T,).
            max_age_ns: A sample older than this is not used.
            after_ns: Nor is one that is not newer than this: it is of an earlier episode.

        Returns:
            Ordinals int64 (T,), -1 for a gap, and ages float32 (T,) in ms, NaN for a gap.
        """
        ordinals = np.full(ticks_ns.shape, -1, np.int64)
        age_ms = np.full(ticks_ns.shape, np.nan, np.float32)
        place = np.searchsorted(self.stamps_ns, ticks_ns, side="right") - 1
        heard = np.flatnonzero(place >= 0)
        age_ns = ticks_ns[heard] - self.stamps_ns[place[heard]]
        fresh = (age_ns <= max_age_ns) & (self.stamps_ns[place[heard]] > after_ns)
        ordinals[heard[fresh]] = self.ordinals[place[heard[fresh]]]
        age_ms[heard[fresh]] = age_ns[fresh] / 1e6
        return ordinals, age_ms

    def between(self, start_ns: int, end_ns: int) -> NDArray[np.int64]:
        """Stamps from `start_ns` to `end_ns`, both included."""
        first = np.searchsorted(self.stamps_ns, start_ns, side="left")
        last = np.searchsorted(self.stamps_ns, end_ns, side="right")
        return self.stamps_ns[first:last]

    def to_json(self) -> dict[str, Any]:
        """Count, rate, duration and gaps; what two messages are needed for is None without."""
        steps_s = np.diff(self.stamps_ns) / NANO
        figures: dict[str, Any] = {
            "messages": self.messages,
            "rate_hz": None,
            "duration_s": None,
            "largest_gap_s": None,
            "gaps": 0,
            "out_of_order": self.out_of_order,
            "duplicates": self.duplicates,
        }
        if steps_s.size:
            period_s = float(np.median(steps_s))
            figures["rate_hz"] = 1 / period_s
            figures["duration_s"] = float(steps_s.sum())
            figures["largest_gap_s"] = float(steps_s.max())
            figures["gaps"] = int(np.count_nonzero(steps_s > 2 * period_s))
        return figures
