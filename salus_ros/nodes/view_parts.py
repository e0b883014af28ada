"""Statuses of the graph as tables of the page."""

import math
import time
from collections.abc import Iterable

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus

from salus_msgs.msg import EpisodeStatus, GateStatus, RecorderStatus
from salus_ros.control.gate import GateState
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.messages.labels import named
from salus_ros.nodes.diagnostics import shortened
from salus_ros.view.course import Json, number

PHASES = {
    EpisodeStatus.PHASE_IDLE: "idle",
    EpisodeStatus.PHASE_RUNNING: "running",
    EpisodeStatus.PHASE_ENDED: "ended",
    EpisodeStatus.PHASE_FINISHED: "finished: no further one will come",
    EpisodeStatus.PHASE_DISCARDED: "discarded",
}
RECORDER_STATES = {
    RecorderStatus.STATE_IDLE: "idle",
    RecorderStatus.STATE_RECORDING: "recording",
    RecorderStatus.STATE_WRITING: "writing",
    RecorderStatus.STATE_ERROR: "error: not recording",
}
LEVELS = {
    DiagnosticStatus.OK: "ok",
    DiagnosticStatus.WARN: "warn",
    DiagnosticStatus.ERROR: "error",
    DiagnosticStatus.STALE: "error",
}
SILENT_S = 3.0
"""Silence of a node after which what it said of itself no longer counts."""

NOW, ASLEEP = "now", "not subscribed"
MOST_NODES = 50
LONGEST = 300


def episode_part(message: EpisodeStatus) -> dict[str, Json]:
    """The episode, as the page's table has it.

    Raises:
        ObservationError: if the outcome or the failure type is none.
    """
    outcome = named(Outcome, message.outcome, "outcome")
    kind = named(FailureType, message.failure_type, "failure_type")
    failed = outcome == Outcome.FAILURE
    part: dict[str, Json] = {
        "id": message.episode_id,
        "step": message.step,
        "phase": PHASES.get(message.phase, f"unknown phase {message.phase}"),
        "task": message.task,
        "outcome": outcome.name.lower(),
        "failure": kind.label if failed else "",
        "cause": message.failure_cause,
        "failure step": message.failure_step if message.failure_step >= 0 else None,
        "seed": message.seed if message.seed >= 0 else None,
        "fault": message.fault,
        "condition": message.condition,
        "world": message.world,
        "rate": number(message.rate_hz),
        "limit": message.max_steps or None,
    }
    return _short(part)


def recorder_part(message: RecorderStatus) -> dict[str, Json]:
    """The recorder, as the page's table has it."""
    return _short(
        {
            "state": RECORDER_STATES.get(message.state, f"unknown state {message.state}"),
            "warning": message.warning,
            "last error": message.last_error,
            "episode": message.episode_id,
            "steps of it": message.steps_in_episode,
            "episodes kept": message.episodes_committed,
            "steps kept": message.steps_recorded,
            "with gaps": message.steps_with_gaps,
            "dropped messages": message.messages_dropped,
            "waiting": f"{message.bytes_waiting / 1e6:.0f} MB",
            "disk free": f"{message.disk_free_bytes / 1e9:.1f} GB",
            "store": message.store_path,
            "last clip": message.last_clip,
        }
    )


def gate_part(message: GateStatus) -> dict[str, Json]:
    """The gate, as the page's table has it.

    Raises:
        ObservationError: if a state is none.
    """
    state = named(GateState, message.state, "state").name.lower()
    would = named(GateState, message.would, "would").name.lower()
    return _short(
        {
            "state": state,
            "would": f"{would} (shadow: it only says so)" if message.shadow else would,
            "why": message.reason,
            "latched": "until a reset" if message.latched else "no",
            "speed left": number(message.scale),
            "alarms": message.alarms,
            "a person moves the arm": "yes" if message.intervention else "no",
        }
    )


def _short(part: dict[str, Json]) -> dict[str, Json]:
    return {
        name: shortened(value, LONGEST) if isinstance(value, str) else value
        for name, value in part.items()
    }


class Health:
    """When each topic was last heard, and what the nodes say of themselves."""

    def __init__(self) -> None:
        """Nothing was heard."""
        self._at_s: dict[str, float] = {}
        self._nodes: dict[str, tuple[float, str, str]] = {}

    def expect(self, topic: str) -> None:
        """Show a topic, though it may never come."""
        self._at_s[topic] = math.nan

    def heard(self, topic: str) -> None:
        """A message of it has come."""
        self._at_s[topic] = time.monotonic()

    def topics(self, watched: bool, cameras: Iterable[str]) -> dict[str, Json]:
        """How long ago each topic was heard, in words."""
        now_s = time.monotonic()
        asleep = set() if watched else set(cameras)
        return {
            topic: ASLEEP if topic in asleep else _ago(now_s - at_s)
            for topic, at_s in self._at_s.items()
        }

    def diagnosed(self, message: DiagnosticArray) -> None:
        """Take in what nodes say of themselves; of too many the longest silent are forgotten."""
        for status in message.status:
            name = shortened(status.name, LONGEST)
            self._nodes.pop(name, None)
            text = shortened(status.message, LONGEST)
            self._nodes[name] = (time.monotonic(), LEVELS.get(status.level, "error"), text)
        while len(self._nodes) > MOST_NODES:
            del self._nodes[next(iter(self._nodes))]

    def diagnostics(self) -> list[Json]:
        """What each node says, and that it says nothing any more."""
        now_s = time.monotonic()
        told: list[Json] = []
        for name, (at_s, level, text) in sorted(self._nodes.items()):
            if now_s - at_s > SILENT_S:
                level, text = "error", f"silent for {now_s - at_s:.0f} s; it said: {text}"
            told.append({"name": name, "level": level, "text": text})
        return told


def _ago(seconds: float) -> str:
    if math.isnan(seconds):
        return "never"
    return NOW if seconds < SILENT_S else f"{seconds:.0f} s ago"
