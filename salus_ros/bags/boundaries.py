"""Where the episodes of a bag begin and end, and what the bag says of them."""

import math
from collections.abc import Mapping as Dictionary
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.bags.graph import Acted
from salus_ros.bags.mapping import Mapping
from salus_ros.bags.sampling import MIN_NS, NANO, Timeline
from salus_ros.core.failures import FailureType, Outcome

PHASE_RUNNING, PHASE_ENDED = 1, 2
"""Phases of EpisodeStatus."""

TICK_TOLERANCE = 1e-3
"""Part of a period by which the last tick may lie after the last message."""


@dataclass(frozen=True, slots=True)
class Announced:
    """An EpisodeStatus, its stamp, and when it was received."""

    stamp_ns: int
    receive_ns: int
    status: Any


@dataclass(frozen=True, slots=True, eq=False)
class Span:
    """The time of an episode.

    Attributes:
        start_ns: Earliest stamp.
        end_ns: Latest stamp of a step.
        over_ns: Latest stamp of all: what is not newer is of no use to the next episode.
        steps_ns: Stamp of each step, where there is an episode topic.
        actions: What the policy did at each step, where it is known.
        last: Its last status; None without an episode topic.
        wall_time_s: From what was received first to what was received last; NaN without an
            episode topic.
    """

    start_ns: int
    end_ns: int
    over_ns: int
    steps_ns: dict[int, int] = field(default_factory=dict)
    actions: dict[int, Acted] = field(default_factory=dict)
    last: Any = None
    wall_time_s: float = math.nan

    def ticks(
        self, mapping: Mapping, timelines: Dictionary[str, Timeline]
    ) -> tuple[NDArray[np.int64], list[int]]:
        """Stamps of the ticks, int64 (T,), and their steps; no steps where ticks are none."""
        if mapping.by_step:
            steps: list[int] = []
            newest_ns = MIN_NS
            for step, stamp_ns in sorted(self.steps_ns.items()):
                if stamp_ns > newest_ns:
                    steps.append(step)
                    newest_ns = stamp_ns
            return np.array([self.steps_ns[step] for step in steps], np.int64), steps
        if mapping.clock_topic:
            return timelines[mapping.clock_topic].between(self.start_ns, self.end_ns), []
        period_ns = NANO / mapping.rate_hz
        # Stamps of whole nanoseconds may end a little before the last tick of their rate.
        count = int((self.end_ns - self.start_ns) / period_ns + TICK_TOLERANCE) + 1
        return self.start_ns + np.round(np.arange(count) * period_ns).astype(np.int64), []

    def about(self, ticks_ns: NDArray[np.int64]) -> dict[str, Any]:
        """What the status says, as fields of `EpisodeMeta`; an unknown outcome without one."""
        status = self.last
        if status is None:
            return {"outcome": Outcome.UNKNOWN}
        about: dict[str, Any] = {
            "task": status.task,
            "seed": status.seed,
            "condition": status.condition,
            "policy_id": next((one.policy_id for one in reversed(self.actions.values())), ""),
            "wall_time_s": self.wall_time_s,
        }
        if status.fault not in ("", "none"):
            about |= {
                "fault": status.fault,
                "fault_step": status.fault_step,
                "fault_strength": status.fault_strength,
            }
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
    mapping: Mapping,
    timelines: Dictionary[str, Timeline],
    statuses: Sequence[Announced],
    actions: Sequence[Acted] = (),
) -> list[Span]:
    """Divide a bag into episodes.

    Without an episode topic, an episode begins when every stream that it has has been heard.

    Args:
        mapping: Says how.
        timelines: Samples of each topic.
        statuses: Messages of the episode topic, in the order they were received.
        actions: What a policy did at which step of which episode, in that order.
    """
    if mapping.episode_topic:
        return _announced(statuses, actions)
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
        spans.append(Span(max(int(one[0]) for one in heard if one.size), end, end))
    return spans


def _announced(statuses: Sequence[Announced], actions: Sequence[Acted]) -> list[Span]:
    steps: dict[str, dict[int, int]] = {}
    told: dict[str, list[Announced]] = {}
    for one in statuses:
        status, name = one.status, one.status.episode_id
        if status.phase == PHASE_RUNNING:
            steps.setdefault(name, {}).setdefault(status.step, one.stamp_ns)
        ended = name in told and told[name][-1].status.phase == PHASE_ENDED
        if name in steps and status.phase in (PHASE_RUNNING, PHASE_ENDED) and not ended:
            told.setdefault(name, []).append(one)
    acted: dict[str, dict[int, Acted]] = {name: {} for name in steps}
    for action in actions:
        if action.episode_id in steps and action.step not in acted[action.episode_id]:
            acted[action.episode_id][action.step] = action
            steps[action.episode_id][action.step] = action.stamp_ns
    spans = []
    for name, stamps in steps.items():
        heard: list[Announced | Acted] = [*told[name], *acted[name].values()]
        received = [one.receive_ns for one in heard]
        spans.append(
            Span(
                start_ns=min(stamps.values()),
                end_ns=max(stamps.values()),
                over_ns=max(one.stamp_ns for one in heard),
                steps_ns=stamps,
                actions=acted[name],
                last=told[name][-1].status,
                wall_time_s=(max(received) - min(received)) / NANO,
            )
        )
    return spans
