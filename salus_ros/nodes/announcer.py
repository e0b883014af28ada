"""Episodes of a robot on which no world says what one is: begun, ended and judged by a person."""

import copy
import math
import time
from typing import Any

from salus_ros.core.errors import ObservationError, SalusError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.messages.labels import named

NO_LIMIT = 0


class EpisodeError(SalusError):
    """What is asked for does not go with where the episodes stand."""


class Announcer:
    """Which episode is running, and what may be asked of it when.

    Every answer is the status to publish, complete but for the stamp; nothing here knows ROS.
    """

    def __init__(self, status: type, rate_hz: float, task: str = "") -> None:
        """Announce nothing yet.

        Args:
            status: Class of the statuses: EpisodeStatus, or one with its fields and constants.
            rate_hz: Steps per second of the policy.
            task: Instruction of an episode that is begun without one.
        """
        self._status: Any = status
        self._rate_hz = rate_hz
        self._task = task
        self._episodes: dict[str, Any] = {}  # their statuses, as last announced
        self._running = ""
        self._last = ""

    @property
    def running(self) -> str:
        """Id of the episode that is running; empty for none."""
        return self._running

    @property
    def last(self) -> str:
        """Id of the episode that was begun last; empty for none."""
        return self._last

    @property
    def count(self) -> int:
        """How many episodes were begun."""
        return len(self._episodes)

    def start(self, task: str = "", episode_id: str = "") -> Any:
        """Begin an episode, by default called by the date and time.

        Raises:
            EpisodeError: if one is running, or there was one of that name.
        """
        if self._running:
            raise EpisodeError(
                f"episode '{self._running}' is running; call ~/stop or ~/discard before"
            )
        if episode_id in self._episodes:
            raise EpisodeError(f"there was an episode '{episode_id}' already; give another name")
        self._running = self._last = episode_id or self._unused_name()
        status = self._status(
            episode_id=self._running,
            phase=self._status.PHASE_RUNNING,
            task=task or self._task,
            rate_hz=self._rate_hz,
            seed=-1,
            failure_step=-1,
            failure_time=math.nan,
            fault="none",
            fault_step=-1,
            fault_strength=math.nan,
            max_steps=NO_LIMIT,
        )
        self._episodes[self._running] = status
        return status

    def stop(self) -> Any:
        """End the episode that is running; a person may yet say how it went.

        Raises:
            EpisodeError: if none is running.
        """
        return self._end(self._status.PHASE_ENDED, "~/start begins one")

    def discard(self) -> Any:
        """End the episode that is running, as one that is not to be kept.

        Raises:
            EpisodeError: if none is running.
        """
        return self._end(
            self._status.PHASE_DISCARDED, "one that has ended can still be labelled (~/label)"
        )

    def label(
        self,
        episode_id: str,
        outcome: int,
        failure_type: int,
        failure_step: int = -1,
        failure_time_s: float = 0.0,
    ) -> Any:
        """Say how an episode went, or will have gone when it ends.

        Args:
            episode_id: Which; empty: the one that is running, or else the last one.
            outcome: One of `Outcome`.
            failure_type: One of `FailureType`, NONE unless the outcome is FAILURE.
            failure_step: Step at which it failed; -1 where it is given as a time, or not known.
            failure_time_s: The same moment in s; 0 where it is given as a step, or not known.

        Raises:
            EpisodeError: if there is no such episode, or the words contradict each other.
        """
        name = episode_id or self._last
        if not name:
            raise EpisodeError("no episode has been begun yet; ~/start begins one")
        if name not in self._episodes:
            known = ", ".join(list(self._episodes)[-3:]) or "none"
            raise EpisodeError(f"no episode '{name}' was begun here; the last are {known}")
        status = self._episodes[name]
        if status.phase == self._status.PHASE_DISCARDED:
            raise EpisodeError(f"episode '{name}' was discarded; there is nothing to label")
        kind = _judged(outcome, failure_type, failure_step, failure_time_s)
        status = copy.copy(status)
        status.outcome, status.failure_type = int(outcome), int(kind)
        status.failure_step = failure_step
        # A step has a moment at the rate that is promised; a moment has a step where the stamps
        # of the steps are known, which is where they are recorded.
        status.failure_time = failure_step / self._rate_hz if failure_step >= 0 else failure_time_s
        if status.failure_time == 0 and failure_step < 0:
            status.failure_time = math.nan
        self._episodes[name] = status
        return status

    def close(self) -> Any | None:
        """The last word: an episode that is running did not end, so is not to be kept."""
        return self.discard() if self._running else None

    def said(self, status: Any) -> str:
        """How an episode went, in words, and whether it is over."""
        words = Outcome(status.outcome).name.lower()
        if status.outcome == Outcome.FAILURE:
            words += f" by {FailureType(status.failure_type).label}"
            if status.failure_step >= 0:
                words += f" at step {status.failure_step}"
            elif status.failure_time > 0:
                words += f" after {status.failure_time:.2f} s"
        if status.phase == self._status.PHASE_RUNNING:
            return f"'{status.episode_id}' is running; when it ends it is labelled {words}"
        return f"'{status.episode_id}' has ended and is labelled {words}"

    def _end(self, phase: int, advice: str) -> Any:
        if not self._running:
            raise EpisodeError(f"no episode is running; {advice}")
        status = copy.copy(self._episodes[self._running])
        status.phase = phase
        self._episodes[self._running] = status
        self._running = ""
        return status

    def _unused_name(self) -> str:
        """The date and time; with a number where one was begun in the same second."""
        name = now = time.strftime("%Y-%m-%dT%H-%M-%S")
        count = 1
        while name in self._episodes:
            count += 1
            name = f"{now}-{count}"
        return name


def _judged(
    outcome: int, failure_type: int, failure_step: int, failure_time_s: float
) -> FailureType:
    """The kind of failure of a label that does not contradict itself."""
    try:
        named(Outcome, outcome, "outcome")
        named(FailureType, failure_type, "failure_type")
    except ObservationError as error:
        raise EpisodeError(str(error)) from None
    failed = outcome == Outcome.FAILURE
    if failed != (failure_type != FailureType.NONE):
        raise EpisodeError(
            f"outcome {Outcome(outcome).name} does not go with failure_type "
            f"{FailureType(failure_type).name}; a failure has a type, and nothing else has"
        )
    if not (math.isfinite(failure_time_s) and failure_time_s >= 0 and failure_step >= -1):
        raise EpisodeError(
            f"failure_step is {failure_step} and failure_time {failure_time_s:g}; give a step of "
            "at least 0 or a time above 0 s, or neither: -1 and 0"
        )
    if failure_step >= 0 and failure_time_s > 0:
        raise EpisodeError("give failure_step or failure_time, not both")
    if not failed and (failure_step >= 0 or failure_time_s > 0):
        raise EpisodeError(f"outcome {Outcome(outcome).name} has no moment of failure; leave it")
    return FailureType(failure_type)
