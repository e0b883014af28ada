"""Header stamps that cannot be right, found by comparing topics with when they were received."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

MAX_OFF_S = 3600.0
"""By which a topic's stamps may differ from the others', each against its time of receiving."""

MIN_ZEROS = 4
"""Stamps of 0 that a topic may have whose clock begins there, as that of a simulation does."""

_REMEDY = "use time: receive in the mapping, or record it again with a stamp"


@dataclass(slots=True)
class HeaderClocks:
    """Collects the header stamps of topics.

    A topic's offset is the median of its times of receiving minus its stamps. That of all topics
    of a simulation may be decades; what cannot be right is a topic that differs from the others.
    """

    _offsets_ns: dict[str, list[int]] = field(default_factory=dict)
    _zeros: dict[str, int] = field(default_factory=dict)

    def add(self, topic: str, receive_ns: int, stamp_ns: int) -> None:
        """Take in a message."""
        self._offsets_ns.setdefault(topic, []).append(receive_ns - stamp_ns)
        self._zeros[topic] = self._zeros.get(topic, 0) + (stamp_ns == 0)

    def problems(self) -> list[str]:
        """One line a topic whose stamps cannot be right, with what to do."""
        found = []
        usual: dict[str, float] = {}
        for topic, offsets in self._offsets_ns.items():
            if self._zeros[topic] >= MIN_ZEROS and 2 * self._zeros[topic] > len(offsets):
                found.append(
                    f"topic {topic}: {self._zeros[topic]} of its {len(offsets)} header stamps are "
                    f"0: its driver does not set them; {_REMEDY}"
                )
            else:
                usual[topic] = float(np.median(offsets)) / 1e9
        if not usual:
            return found
        right_s = _reference(list(usual.values()))
        for topic, offset_s in usual.items():
            off_s = offset_s - right_s
            if abs(off_s) > MAX_OFF_S:
                found.append(
                    f"topic {topic}: its header stamps are {abs(off_s) / 3600:.1f} h "
                    f"{'behind' if off_s > 0 else 'ahead of'} those of the other topics, measured "
                    f"against when they were received: its clock is another one; {_REMEDY}"
                )
        return found


def _reference(offsets_s: Sequence[float]) -> float:
    """The offset of a clock that is right: one that agrees with receiving, or that of most."""
    nearest = min(offsets_s, key=abs)
    return nearest if abs(nearest) <= MAX_OFF_S else float(np.median(offsets_s))
