"""What an EpisodeStatus, of whichever library, tells the assembler."""

import math
from functools import partial
from typing import Any

from salus_ros.core.errors import ObservationError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.core.phases import Phase
from salus_ros.episodes import EpisodeMeta
from salus_ros.episodes.interventions import is_name
from salus_ros.recording.arrays import meta_of
from salus_ros.recording.assembly import EPISODES_REMEMBERED, Assembler
from salus_ros.recording.rows import Label

LONGEST_ID = 200
"""Characters of an id; a longer one is a mistake, or meant to fill disks and logs."""


def take_status(assembler: Assembler, status: Any, stamp_ns: int, now_s: float) -> None:
    """Take in where an episode stands.

    Args:
        assembler: Takes it in.
        status: The message.
        stamp_ns: Its stamp.
        now_s: The time, of the assembler's clock.

    Raises:
        ObservationError: if it contradicts itself, or its id cannot be one.
    """
    check_id(status.episode_id)
    if status.phase == Phase.RUNNING:
        if not assembler.holds(status.episode_id):
            read_status(status)
        about = partial(meta_of, status)
        assembler.step(status.episode_id, status.step, stamp_ns, now_s, about)
    elif status.phase == Phase.ENDED:
        time_s = failure_time_s(status)
        assembler.end(read_status(status), stamp_ns, now_s, status.step, failure_time_s=time_s)
    elif status.phase == Phase.DISCARDED:
        assembler.discard(status.episode_id, "it was discarded")


def failure_time_s(status: Any) -> float:
    """When an episode failed, in s since its first step; NaN where a step says it, or nothing.

    The time of an episode that did not fail means nothing.
    """
    time_s = float(getattr(status, "failure_time", math.nan))
    failed = status.outcome == Outcome.FAILURE and status.failure_step < 0
    return time_s if failed and math.isfinite(time_s) and time_s > 0 else math.nan


def read_status(status: Any) -> EpisodeMeta:
    """What a status says of its episode.

    Raises:
        ObservationError: if it contradicts itself, or its id cannot be one.
    """
    check_id(status.episode_id)
    try:
        return meta_of(status)
    except (StoreError, ValueError) as error:
        raise ObservationError(f"the status of an episode is refused: {error}") from error


def check_intervention(name: str) -> None:
    """Refuse what cannot name an intervention; empty, for none, may stand.

    Raises:
        ObservationError: if it is of another form, see `episodes.interventions`.
    """
    if name and not is_name(name):
        raise ObservationError(
            f"its intervention is '{name:.80}'; allowed is MECHANISM@TRIGGER, and after a space "
            "the kind of failure",
            "an intervention of another form",
        )


def check_id(episode_id: str) -> None:
    """Refuse what cannot be the id of an episode.

    Raises:
        ObservationError: if it is too long, or cannot be printed.
    """
    if len(episode_id) > LONGEST_ID or not episode_id.isprintable():
        shown = episode_id[:20].encode("unicode_escape").decode()
        raise ObservationError(
            f"an episode id of {len(episode_id)} characters, '{shown}…', is refused; allowed are "
            f"{LONGEST_ID} that can be printed"
        )


class Judgements:
    """How episodes are said to have ended, and that somebody says otherwise later."""

    def __init__(self) -> None:
        """Nothing has ended yet."""
        self._said: dict[str, Label] = {}

    def changed(self, status: Any) -> Label | None:
        """Take in a status; returns a judgement that replaces an earlier one of the episode.

        Raises:
            ObservationError: if it names an outcome or failure type that does not exist.
        """
        if status.phase != Phase.ENDED:
            return None
        try:
            outcome, kind = Outcome(status.outcome), FailureType(status.failure_type)
        except ValueError as error:
            raise ObservationError(f"an episode's end is refused: {error}") from error
        time_s = failure_time_s(status)
        given_s = 0.0 if math.isnan(time_s) else time_s
        label = Label(outcome, kind, status.failure_step, given_s)
        before = self._said.pop(status.episode_id, None)
        self._said[status.episode_id] = label
        while len(self._said) > EPISODES_REMEMBERED:
            del self._said[next(iter(self._said))]
        return label if before not in (None, label) and outcome != Outcome.UNKNOWN else None
