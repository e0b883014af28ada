"""An episode in flight, and what makes it good."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from salus_ros.core.errors import StoreError
from salus_ros.episodes import EpisodeMeta
from salus_ros.recording.rows import ACTION, Row, count_messages, step_at, too_many_gaps

LEAST_STEPS = 2
BLOCK_STEPS = 30
BLOCK_BYTES = 4_000_000
"""Steps that are handed on together while an episode grows, fewer where images are large."""


@dataclass(frozen=True, slots=True)
class Rules:
    """What makes an episode good.

    Attributes:
        max_age_ms: Oldest sample of each stream that a step may use.
        required: Streams that a step is not whole without, beside the action.
        settle_s: How long a step waits for late messages.
        patience_s: How far a stream must have moved past a step that it has no sample of exactly,
            so that samples in disorder find their place.
        max_missing_share: Share of the steps that may lack an action or a required sample.
        whole: Whether an episode whose end, or of which a step, was never seen is dropped, as a
            recorder does, or kept with an unknown outcome, as it is from a bag.
        acted: Whether a step is answered by an action of its own; else the action is one more
            stream, `action`.
        block_steps: Rows of an episode in flight that are handed on together.
        block_bytes: Size from which fewer are.
    """

    max_age_ms: Mapping[str, float]
    required: Sequence[str]
    settle_s: float = 0.5
    patience_s: float = 0.1
    max_missing_share: float = 0.0
    whole: bool = True
    acted: bool = True
    block_steps: int = BLOCK_STEPS
    block_bytes: int = BLOCK_BYTES


@dataclass(slots=True)
class Flight:
    """An episode in flight.

    Attributes:
        waiting: Rows that are not made yet, by step.
        rows: Those that are made and were not handed on in a block.
        steps: Steps of all rows that are made.
        stamps_ns: Their stamps.
        told: Stamp of each step that was announced.
        made: Their number.
        next_step: No row is made any more of a step before.
        lacking: Rows that lack an action or a required sample.
        seen: Streams that gave any row a sample.
        messages: Used for the rows.
        size: Bytes of the images of `rows`.
        about: Says what is known of it while it runs.
        ended: What is known of it at its end; None before.
        ended_at: When that was told, as all times in s of the assembler's clock.
        started_at: When it was first heard of.
        told_at: When it was last heard of.
        total: Steps, as its end says; 0 where it does not.
        newest_step: Newest step with an action, or any where actions are a stream.
        policy_id: Who acted.
        note: What a person should read about it.
        failure_time_s: When it failed, since its first step, where no step is told; NaN else.
    """

    waiting: dict[int, Row] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    made: int = 0  # rows
    next_step: int = 0  # no row is made of one before
    lacking: int = 0  # rows without an action or a required sample
    messages: int = 0
    ended: EpisodeMeta | None = None
    ended_at: float = math.nan
    total: int = 0  # steps, as its end says; 0: it does not
    started_at: float = math.nan
    told_at: float = math.nan
    newest_step: int = -1  # with an action, or any where actions are a stream
    policy_id: str = ""
    size: int = 0
    note: str = ""
    about: Callable[[], EpisodeMeta] | None = None
    failure_time_s: float = math.nan
    steps: list[int] = field(default_factory=list)  # of the rows
    stamps_ns: list[int] = field(default_factory=list)
    told: dict[int, int] = field(default_factory=dict)
    seen: set[str] = field(default_factory=set)  # streams that gave any of them a sample

    @property
    def missing(self) -> int:
        """Steps that no row was made of."""
        return max(0, (self.total or self.newest_step + 1) - self.made)

    def add(self, row: Row, required: Sequence[str]) -> None:
        """Take in a row that is made."""
        self.rows.append(row)
        self.steps.append(row.step)
        self.stamps_ns.append(row.stamp_ns)
        self.made, self.next_step = self.made + 1, row.step + 1
        self.size += row.size
        self.messages += count_messages([row])
        self.lacking += row.lacks(required)
        self.seen |= {name for name, sample in row.samples.items() if sample is not None}
        if row.action is not None:
            self.seen.add(ACTION)

    def refusal(self, rules: Rules) -> str:
        """Why it is not kept, now that it is over; empty where it is."""
        made = self.made
        if rules.whole and (self.missing or not made):
            first = f", the first one seen was {self.steps[0]}" if made else ""
            return f"{self.missing} of its {self.missing + made} steps were never seen{first}"
        if rules.whole and self.newest_step < 0:
            return "the policy never acted"
        if not rules.whole:
            if made < LEAST_STEPS:
                return f"it has {made} steps; it needs two"
            if absent := [n for n in (*rules.required, ACTION) if n not in self.seen]:
                return f"no step has a sample of {', '.join(absent)}"
        return too_many_gaps(self.lacking, made, rules.required, rules.max_missing_share)

    def place_of_failure(self, step: int) -> int:
        """Place among the rows of the failure, which is told as a step, or as a time.

        A time after the end is no moment: -1, with a note.
        """
        if step >= 0 or math.isnan(self.failure_time_s):
            return self.place_of(step)
        try:
            return step_at(self.stamps_ns, self.failure_time_s)
        except StoreError as error:
            told = f"its failure has no moment: {error}"
            self.note = "; ".join(note for note in (self.note, told) if note)
            return -1

    def place_of(self, step: int) -> int:
        """Place of a step among the rows; after the last one if it is later, -1 if never seen."""
        if step < 0 or not self.missing:
            return step
        if step > self.steps[-1]:
            return self.made
        return self.steps.index(step) if step in self.steps else -1
