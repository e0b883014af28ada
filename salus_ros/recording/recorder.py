"""What a recorder does, for whatever brings it samples: rows, episodes, the store, its state."""

import math
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from enum import IntEnum
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError, StoreError
from salus_ros.episodes import StoreSpec
from salus_ros.episodes.layout import register_image_codec
from salus_ros.messages.joints import joint_keys, joint_values, read_joints
from salus_ros.recording.assembly import Assembler
from salus_ros.recording.blocks import BlockMaker
from salus_ros.recording.clips import Clips
from salus_ros.recording.health import StreamFigures, StreamHealth
from salus_ros.recording.options import RecorderOptions
from salus_ros.recording.rows import JOINT, STATE, Dropped, Finished, Label, Result
from salus_ros.recording.status import Judgements, check_id, check_intervention, take_status
from salus_ros.recording.streams import JointStream, Source, Stream
from salus_ros.recording.writer import EpisodeWriter

RATE_WINDOW_S = 2.0
CAUSES_KEPT, LONGEST_CAUSE = 50, 200
"""Causes that are told apart, and their characters: what comes in must not fill the memory."""

WAITING_WARNING = 0.5
"""Share of the buffer from which the disk is said to be behind."""


class State(IntEnum):
    """What a recorder is doing. The values equal the `STATE_*` constants of RecorderStatus."""

    IDLE = 0
    RECORDING = 1
    WRITING = 2
    ERROR = 3


class Recorder:
    """Records one row per step of the policy, in whole episodes or not at all.

    No episode is taken in before `start`, or after `stop`; clips are made of all that comes. What
    cannot be used is refused by an ObservationError, and counted where the caller hands it to
    `refuse`.

    Attributes:
        writer: Owns the store.
        clips: Saves clips; None where none are asked for.
        recording: Whether episodes are taken in.
        refused: Refused messages by cause.
        dropped_episodes: Episodes that were not kept, for want of samples or of an end.
        last_error: Why the last one was not.
    """

    def __init__(
        self,
        options: RecorderOptions,
        warn: Callable[[str], object],
        log: Callable[[str], object],
        say: Callable[[str], object] = lambda _: None,
    ) -> None:
        """Open nothing yet.

        Args:
            options: Where and how.
            warn: Takes what a person should read about an episode that is dropped.
            log: Takes what a person must read about one that cannot be written.
            say: Takes what a person may read about a clip that is saved.
        """
        self._options = options
        self._warn = warn
        register_image_codec(options.image_codec)  # imported now, not while images queue up
        self.writer = EpisodeWriter(
            options.store,
            options.cameras,
            self._blocks,
            min_free_bytes=options.min_free_bytes,
            log=log,
        )
        rules = options.rules
        self._joints = JointStream(options.joints)
        streams: dict[str, Source] = {name: Stream() for name in rules.max_age_ms}
        streams[STATE] = self._joints
        streams[JOINT] = JointStream(joint_keys(options.all_joints), partial=True)
        self._health = StreamHealth(
            rules.max_age_ms, rules.required, lambda name: streams[name].newest_ns
        )
        self._assembler = Assembler(
            streams,
            replace(rules, max_age_ms={**rules.max_age_ms, JOINT: rules.max_age_ms[STATE]}),
            room=lambda: options.buffer_bytes - self.writer.held_bytes,
            on_row=self._health.add,
        )
        self.clips = None if options.clips is None else Clips(options.clips, options, say, log)
        self._judgements = Judgements()
        self.recording = False
        self.refused: defaultdict[str, int] = defaultdict(int)
        self.dropped_episodes = 0
        self.last_error = ""
        self._dropped_messages = 0
        self._last_dropped: Dropped | None = None  # where no episode has ended since
        self._arrivals: deque[float] = deque(maxlen=1000)
        self._newest = ("", -1)

    def _blocks(self, spec: StoreSpec | None) -> BlockMaker:
        options = self._options
        joints = {STATE: options.joints, JOINT: options.all_joints}
        return BlockMaker(
            options.cameras,
            options.read_image,
            spec=spec,
            required=options.rules.required,
            max_missing_share=options.rules.max_missing_share,
            refused=self.refuse,
            image_codec=options.image_codec,
            names=lambda what: joints.get(what, ()),
            told=True,
        )

    # Input

    def refuse(self, name: str, error: ObservationError) -> None:
        """Count a message that is not used: it leaves a gap."""
        cause = f"{name}: {error.cause}"[:LONGEST_CAUSE]
        if cause not in self.refused and len(self.refused) >= CAUSES_KEPT:
            cause = "others"
        self.refused[cause] += 1
        self._dropped_messages += 1

    def sample(self, stream: str, stamp_ns: int, sample: Any, size: int = 0) -> None:
        """Take in a sample of a stream; `size` is what it costs in bytes."""
        if self.clips is not None:
            self.clips.sample(stream, stamp_ns, sample, size)
        if self.recording:
            self._assembler.sample(stream, stamp_ns, sample, size)

    def joints(self, message: Any, stamp_ns: int) -> None:
        """Take in a JointState, of whichever library, of some joints or all.

        Raises:
            ObservationError: if it cannot be read, or a joint of the state has never come.
        """
        names, positions = read_joints(message, self._options.joints)
        by_name = dict(zip(names, positions.tolist(), strict=True))
        self.sample(STATE, stamp_ns, by_name)
        refuse = partial(self.refuse, "joint_states")
        values = joint_values(message, self._options.all_joints, refuse)
        self.sample(JOINT, stamp_ns, values)
        known = self._joints if self.recording or self.clips is None else self.clips.joints
        if missing := known.missing:
            raise ObservationError(
                f"it has no {', '.join(missing)}; it has {', '.join(message.name) or 'no joint'}; "
                "set the parameter state_joints to the robot's names"
            )

    def action(
        self,
        episode_id: str,
        step: int,
        stamp_ns: int,
        values: Sequence[float],
        policy_id: str,
        inputs: Mapping[str, Sequence[int]],
        intervention: str = "",
    ) -> None:
        """Take in the action of a step, see `Assembler.action`.

        Raises:
            ObservationError: if it is none, its episode's id cannot be one, or the intervention
                has a name that cannot be kept.
        """
        check_id(episode_id)
        check_intervention(intervention)
        now_s = time.monotonic()
        if (episode_id, step) != self._newest:  # else it is repeated
            self._newest = (episode_id, step)
            self._arrivals.append(now_s)
        action: NDArray[np.float32] = np.asarray(values, dtype=np.float32)
        if not action.size or not np.isfinite(action).all():
            raise ObservationError(
                f"it is {np.array2string(action, precision=3, threshold=10)}; an action has "
                "values, all of them finite",
                "an action without values, or not finite",
            )
        known = {name: stamps for name, stamps in inputs.items() if name in self._required}
        if self.clips is not None:
            self.clips.action(episode_id, step, stamp_ns, action, policy_id, known, intervention)
        if self.recording:
            given = (action, policy_id, now_s, known, intervention)
            self._assembler.action(episode_id, step, stamp_ns, *given)

    def status(self, status: Any, stamp_ns: int) -> None:
        """Take in an EpisodeStatus, of whichever library.

        Raises:
            ObservationError: if it contradicts itself.
        """
        if self.clips is not None:
            self.clips.status(status, stamp_ns)
        if not self.recording:
            return
        take_status(self._assembler, status, stamp_ns, time.monotonic())
        if label := self._judgements.changed(status):
            in_flight = self._assembler.holds(status.episode_id)
            with suppress(StoreError):  # it was dropped, and that was said
                self.writer.label(status.episode_id, label, in_flight=in_flight)

    # Episodes

    def start(self) -> None:
        """Take in samples from now on.

        Raises:
            StoreError: if nothing can be written; the recorder stays in that state.
        """
        try:
            self.writer.open()
        except StoreError as error:
            self.writer.error = str(error)
            raise
        self.recording = True

    def stop(self) -> bool:
        """Take in nothing any more; returns whether an episode in flight was dropped by that."""
        self.recording = False
        dropped = self._assembler.abandon("recording was stopped before it ended")
        self._take(dropped)
        return bool(dropped)

    def discard(self) -> str:
        """Drop what is in flight; returns the id of the newest episode of it."""
        current = self._assembler.current
        self._take(self._assembler.abandon("it was discarded", ended=True))
        return current

    def label(self, episode_id: str, label: Label) -> str:
        """Label an episode, by default the newest, and say so.

        Raises:
            StoreError: if the label contradicts itself, there is no such episode, or the newest
                was dropped and none is named.
        """
        name = episode_id or self.current or self.writer.last_id
        dropped = self._last_dropped
        if not episode_id and not self._assembler.current and dropped is not None:
            raise StoreError(
                f"the last episode, '{dropped.episode_id}', was dropped: {dropped.reason}; name "
                "the one to label with episode_id"
            )
        if not name:
            raise StoreError("no episode has been recorded yet; name one with episode_id")
        return self.writer.label(name, label, in_flight=self._assembler.holds(name))

    def collect(self) -> None:
        """Make the rows and the clips that are due; to be called often."""
        self._take(self._assembler.collect(time.monotonic()))
        if self.clips is not None:
            self.clips.collect()

    def close(self) -> None:
        """Write the episodes that have ended; the one in flight is not one."""
        self._take(self._assembler.finish())
        if self.clips is not None:
            self.clips.close()
        self.writer.close()

    def _take(self, results: list[Result]) -> None:
        for result in results:
            self.writer.put(result)
            if isinstance(result, Finished):
                self._last_dropped = None
            if isinstance(result, Dropped):
                self._last_dropped = result
                self.dropped_episodes += 1
                self._dropped_messages += result.messages
                self.last_error = f"episode '{result.episode_id}' was dropped: {result.reason}"
                self._warn(self.last_error)

    # State

    @property
    def listening(self) -> bool:
        """Whether anything is taken in."""
        return self.recording or self.clips is not None

    @property
    def _required(self) -> Sequence[str]:
        return self._options.rules.required

    @property
    def state(self) -> State:
        """What it is doing."""
        if self.writer.error:
            return State.ERROR
        if self.recording and self._assembler.current:
            return State.RECORDING
        return State.WRITING if self.writer.queue_depth else State.IDLE

    @property
    def current(self) -> str:
        """The episode that is recorded or written; empty without one."""
        return self._assembler.current or self.writer.writing

    @property
    def steps(self) -> int:
        """Steps of the episode in flight that have their action."""
        return self._assembler.steps(self._assembler.current)

    @property
    def waiting_bytes(self) -> int:
        """Images that wait to be written."""
        return self._assembler.held_bytes + self.writer.held_bytes

    @property
    def lost_messages(self) -> int:
        """Messages that arrived and were not recorded, whatever the reason."""
        of_writer, of_assembler = self.writer.dropped_messages, self._assembler.late
        return self._dropped_messages + of_writer + of_assembler + self.wrong_stamps

    @property
    def wrong_stamps(self) -> int:
        """Messages whose stamps were wrong."""
        return self._assembler.refused

    @property
    def rate_hz(self) -> float:
        """Steps per second arriving now; NaN where none ever did."""
        now_s = time.monotonic()
        if not self._arrivals:
            return math.nan
        while self._arrivals and now_s - self._arrivals[0] > RATE_WINDOW_S:
            self._arrivals.popleft()
        return len(self._arrivals) / RATE_WINDOW_S

    def streams(self) -> list[StreamFigures]:
        """How the streams are doing."""
        return self._health.figures()

    def warning(self) -> str:
        """What is going wrong while the episode can still be saved; empty for nothing."""
        words = []
        if self.recording and self._assembler.current:
            words.append(self._health.warning())
        waiting, room = self.waiting_bytes, self._options.buffer_bytes
        if waiting > WAITING_WARNING * room:
            words.append(
                f"{waiting / 1e6:.0f} of {room / 1e6:.0f} MB (buffer_mb) wait to be written: the "
                "disk is slower than the streams"
            )
        words.append(self.writer.warning())
        if self.clips is not None:
            words.append(self.clips.warning())
        return "; ".join(word for word in words if word)
