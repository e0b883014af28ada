"""Where the episodes of a bag begin and end, and what the bag says of them."""

import math
from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.bags.mapping import Mapping
from salus_ros.bags.sampling import NANO, Timeline
from salus_ros.core.failures import FailureType, Outcome

PHASE_RUNNING, PHASE_ENDED = 1, 2
"""Phases of EpisodeStatus."""


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """The time of an episode.

    Attributes:
        start_ns: Earliest stamp.
        end_ns: Latest stamp.
        steps_ns: Stamp of each step that the episode topic announced.
        last: Its last status; None without an episode topic.
    """

    start_ns: int
    end_ns: int
    steps_ns: dict[int, int] = field(default_factory=dict)
    last: Any = None

    def ticks(self, mapping: Mapping, timelines: Dictionary[str, Timeline]) -> NDArray[np.int64]:
        """Stamps of the steps, int64 (T,)."""
        if mapping.clock_topic:
            return timelines[mapping.clock_topic].between(self.start_ns, self.end_ns)
        period_ns = NANO / mapping.rate_hz
        count = int((self.end_ns - self.start_ns) / period_ns) + 1
        return self.start_ns + np.round(np.arange(count) * period_ns).astype(np.int64)

    def about(self, ticks_ns: NDArray[np.int64]) -> dict[str, Any]:
        """What the status says, as fields of `EpisodeMeta`; an unknown outcome without one."""
        status = self.last
        if status is None:
            return {"outcome": Outcome.UNKNOWN}
        about: dict[str, Any] = {"task": status.task, "seed": status.seed}
        if status.fault not in ("", "none"):
            about |= {"fault": status.fault, "fault_strength": status.fault_strength}
        if status.phase != PHASE_ENDED:
            return about | {"outcome": Outcome.UNKNOWN}
        failure_step = -1
        if status.outcome == Outcome.FAILURE and status.failure_step >= 0:
            # Our ticks need not be the steps of the recording; a step whose status is lost has
            # no known moment, one after the last has: the end.
            if status.failure_step in self.steps_ns:
                moment_ns = self.steps_ns[status.failure_step]
                failure_step = int(np.searchsorted(ticks_ns, moment_ns, side="left"))
            elif status.failure_step > max(self.steps_ns):
                failure_step = ticks_ns.size
        return about | {
            "outcome": Outcome(status.outcome),
            "failure_type": FailureType(status.failure_type),
            "failure_step": failure_step,
        }


def find_spans(
    mapping: Mapping, timelines: Dictionary[str, Timeline], statuses: Sequence[tuple[int, Any]]
) -> list[Span]:
    """Divide a bag into episodes.

    Without an episode topic, an episode begins when every stream that it has has been heard.

    Args:
        mapping: Says how.
        timelines: Samples of each topic.
        statuses: Stamp in ns and EpisodeStatus, in the order they were received.
    """
    if mapping.episode_topic:
        return _announced(statuses)
    topics = set(mapping.streams.values())
    stamps = np.unique(np.concatenate([timelines[topic].stamps_ns for topic in topics]))
    if not stamps.size:
        return []
    limit_ns = math.inf if math.isnan(mapping.gap_s) else mapping.gap_s * NANO
    cuts = np.flatnonzero(np.diff(stamps) > limit_ns) + 1
    spans = []
    for part in np.split(stamps, cuts):
        start, end = int(part[0]), int(part[-1])
        heard = [timelines[topic].between(start, end) for topic in topics]
        spans.append(Span(max(int(one[0]) for one in heard if one.size), end))
    return spans


def _announced(statuses: Sequence[tuple[int, Any]]) -> list[Span]:
    steps: dict[str, dict[int, int]] = {}
    last: dict[str, Any] = {}
    for stamp_ns, status in statuses:
        if status.phase == PHASE_RUNNING:
            steps.setdefault(status.episode_id, {}).setdefault(status.step, stamp_ns)
        ended = status.episode_id in last and last[status.episode_id].phase == PHASE_ENDED
        told = status.episode_id in steps and status.phase in (PHASE_RUNNING, PHASE_ENDED)
        if told and not ended:
            last[status.episode_id] = status
    return [
        Span(min(stamps.values()), max(stamps.values()), stamps, last[name])
        for name, stamps in steps.items()
    ]
