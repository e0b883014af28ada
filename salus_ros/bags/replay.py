"""Replaying a bag into the recording core: what the recorder does live, from messages on disk."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.bags.clocks import HeaderClocks
from salus_ros.bags.mapping import Mapping, Values
from salus_ros.bags.outcomes import Outcomes
from salus_ros.bags.reading import Bag, Message
from salus_ros.bags.report import StreamLog, summary
from salus_ros.bags.steps import TickedEpisodes
from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.episodes import StoreSpec
from salus_ros.episodes.interventions import TAKEOVER
from salus_ros.messages.camera import ImageReader
from salus_ros.messages.complaints import Complaints
from salus_ros.messages.joints import joint_keys, joint_values
from salus_ros.messages.kinds import (
    BOOL,
    EPISODE_STATUS,
    FAILURE_HORIZONS,
    JOINT_STATE,
    POLICY_ACTION,
    VLA_SIGNALS,
)
from salus_ros.messages.signals import read_prediction, read_signals
from salus_ros.messages.stamps import header_stamp_ns, to_ns
from salus_ros.messages.values import ValueReader
from salus_ros.policies.cameras import in_words
from salus_ros.recording.assembly import Assembler
from salus_ros.recording.blocks import BlockMaker, Piece
from salus_ros.recording.flight import Rules
from salus_ros.recording.rows import (
    ACTION,
    JOINT,
    PREDICTION,
    SIGNALS,
    STATE,
    Label,
)
from salus_ros.recording.status import Judgements, check_id, check_intervention, take_status
from salus_ros.recording.streams import JointStream, Source, Stream
from salus_ros.recording.ticks import Ticker
from salus_ros.recording.time import DISORDER_NS, NANO, Order

if TYPE_CHECKING:
    from salus_ros.bags.policy import PolicySignals

SETTLE_S = 2.0
"""How long, in time of the bag, a step waits for a stream that is late or has stopped."""

HELD_BYTES = 4 << 30
"""Images that may wait for a stream that is behind."""

CLOCK = "clock"
"""Stream of a topic that makes the steps and gives nothing else."""

type Advance = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class BagImage:
    """An image as it lies in the bag."""

    message: Message

    @property
    def size_bytes(self) -> int:
        """Bytes of the message."""
        return len(self.message.data)


@dataclass(frozen=True, slots=True)
class Relabelled:
    """Somebody judged an episode otherwise, after it was over."""

    episode_id: str
    label: Label


class Replay:
    """Makes the episodes of one bag.

    An episode is called by the bag's name and its number there, "name/3", and known again, where
    a store has it already, by what the bag holds (`EpisodeMeta.source`).

    Args:
        bag: The bag, an open one.
        mapping: What becomes of it.
        spec: Sizes of the store, if there is one.
        known: Whether the store has an episode, by its source and its id.
        advance: Told the messages read so far.
        policy: Gives the episodes its signals in place of the bag's.

    Attributes:
        problems: What was left out, in words.
        notes: What is to be known of what was not, in words.
    """

    def __init__(
        self,
        bag: Bag,
        mapping: Mapping,
        spec: StoreSpec | None = None,
        known: Callable[[str, str], bool] = lambda *_: False,
        advance: Advance = lambda _: None,
        policy: "PolicySignals | None" = None,
    ) -> None:
        self._bag, self._mapping, self._advance = bag, mapping, advance
        self.problems: list[str] = []
        self.notes: list[str] = []
        if policy is not None:
            self.notes.append(f"cameras of the policy: {in_words(policy.camera_of)}")
        self._complaints = Complaints()
        self._clocks = HeaderClocks()
        self._disorder_ns = DISORDER_NS if mapping.time == "header" else 0
        self._check_topics()
        self._readers = {
            STATE: _reader(mapping.state, () if spec is None else spec.state_names),
            ACTION: _reader(mapping.action, () if spec is None else spec.action_names),
        }
        of_topic: dict[str, list[str]] = {}
        for name, topic in mapping.streams.items():
            of_topic.setdefault(topic, []).append(name)
        self._of_topic = of_topic
        self._acted = mapping.by_step and bag.types.get(mapping.action.topic) == POLICY_ACTION
        if mapping.takeover and not self._acted:
            raise ConfigError(
                f"takeover is {mapping.takeover}; it needs an action of type {POLICY_ACTION} and "
                "the clock of the episode topic, so that each action has its step: leave it out"
            )
        self._taken_over = False
        self._logs = {name: StreamLog() for name in mapping.streams}
        streams: dict[str, Source] = {name: self._stream(name) for name in mapping.streams}
        if self._acted:
            del streams[ACTION]
        ages = {name: mapping.oldest_ns(name) / 1e6 for name in streams}
        self._all_joints: tuple[str, ...] = ()  # of the state, and the extra ones
        if isinstance(streams[STATE], JointStream):
            streams[JOINT] = JointStream((), partial=True)
            ages[JOINT] = ages[STATE]
        required = (*mapping.cameras, STATE)
        self._assembler = Assembler(
            streams,
            Rules(
                max_age_ms=ages,
                required=required,
                settle_s=SETTLE_S,
                patience_s=self._disorder_ns / NANO,
                max_missing_share=1.0,
                whole=False,
                acted=self._acted,
            ),
            room=lambda: HELD_BYTES,
        )
        present = {*mapping.streams} | ({SIGNALS} if policy is not None else set())
        self._images = ImageReader(
            size=None if spec is None else spec.image_size,
            image_size=mapping.image_size,
            depth_range_mm=mapping.depth_range_mm,
            encoding=mapping.encoding,
        )
        blocks = BlockMaker(
            tuple(mapping.cameras),
            self._read_image,
            spec=spec,
            required=required,
            max_missing_share=1.0,
            streams=[n for n in (STATE, ACTION, SIGNALS, PREDICTION) if n in present],
            refused=self._complaints.add,
            names=self._names,
            told=self._acted,
            **({} if policy is None else {"chunk_statistics": policy.statistics(spec)}),
        )
        self._ticks: TickedEpisodes | None = None
        if not mapping.by_step:
            self._ticks = TickedEpisodes(self._assembler, self._make_ticker(), mapping.rate_hz)
        self._judgements = Judgements()
        self._outcomes = Outcomes(bag, mapping, blocks, self._read_image, known, policy)

    def pieces(self) -> Iterator[Piece | Relabelled]:
        """Read the bag once; yields what is to be written, in that order.

        Raises:
            ConfigError: if a topic has no header where its stamp is asked for.
        """
        now_s = 0.0
        for read, message in enumerate(self._bag.messages(self._mapping.topics), start=1):
            self._advance(read)
            if self._bag.knows(message.kind):
                now_s = message.receive_ns / NANO
                try:
                    yield from self._take(message, now_s)
                except ObservationError as error:
                    self._complain(message.topic, error)
                yield from self._outcomes.take(self._assembler.collect(now_s))
        if self._ticks is not None:
            self._ticks.close(now_s)
        yield from self._outcomes.take(self._assembler.finish())
        self.problems += self._clocks.problems()
        if not self._outcomes.episodes:
            self.problems.append("no episode was found: its mapped topics have no messages")

    def report(self) -> dict[str, Any]:
        """Say how it went.

        Returns:
            bag, episodes, known_episodes and steps (counts), problems (what was left out, in
            words), notes (what is to be known of what was not) and, per stream, its topic, the
            figures of its messages, those that cannot be used, the ages of the samples used in
            ms, and steps without a sample.
        """
        streams = {
            name: {"topic": topic}
            | self._logs[name].figures()
            | {"unreadable": self._complaints.count(name)}
            | summary(self._outcomes.ages[name])
            for name, topic in self._mapping.streams.items()
        }
        return {
            "bag": self._bag.name,
            "episodes": self._outcomes.kept,
            "known_episodes": self._outcomes.known_episodes,
            "steps": self._outcomes.steps,
            "problems": [
                *self._bag.problems,
                *self.problems,
                *self._outcomes.problems,
                *self._complaints.lines(),
            ],
            "notes": [*self.notes, *self._images.assumed.values(), *self._outcomes.notes],
            "streams": streams,
        }

    # Messages in

    def _check_topics(self) -> None:
        mapping, bag = self._mapping, self._bag
        for topic in sorted(mapping.topics):
            kind = bag.types.get(topic)
            if kind is None:
                has = ", ".join(sorted(bag.types)) or "none"
                self.problems.append(f"topic {topic} is not in the bag; it has {has}")
            elif not bag.knows(kind):
                self.problems.append(
                    f"topic {topic}: its type {kind} is unknown here and the bag has no "
                    "definition of it; convert the bag to MCAP where the type is installed"
                )
            elif topic == mapping.takeover:
                continue  # it has no stamp, whatever the time is
            elif mapping.time == "header" and not bag.has_header(kind):
                raise ConfigError(
                    f"topic {topic} of bag '{bag.name}' is a {kind}, which has no header; "
                    "use time: receive"
                )

    def _stream(self, name: str) -> Source:
        kind = self._bag.types.get(self._mapping.streams[name])
        of_joints = name in self._readers and kind == JOINT_STATE
        if of_joints and not self._values(name).fields:
            return JointStream(self._readers[name].names)
        return Stream()

    def _values(self, name: str) -> Values:
        return self._mapping.state if name == STATE else self._mapping.action

    def _make_ticker(self) -> Ticker:
        mapping = self._mapping
        heard = [name for name, topic in mapping.streams.items() if self._bag.count([topic])]
        clock = next((n for n, t in mapping.streams.items() if t == mapping.clock_topic), CLOCK)
        return Ticker(
            heard,
            mapping.rate_hz,
            clock if mapping.clock_topic else "",
            mapping.gap_s,
            disorder_ns=self._disorder_ns,
            announced=bool(mapping.episode_topic),
        )

    def _names(self, what: str) -> tuple[str, ...]:
        if what == JOINT:
            return self._all_joints
        stream = self._assembler.streams.get(what)
        if isinstance(stream, JointStream):
            return stream.joints
        return self._readers[what].names

    def _take(self, message: Message, now_s: float) -> Iterator[Relabelled]:
        mapping = self._mapping
        if message.topic == mapping.takeover:  # it has no stamp: it holds for what comes after it
            self._take_takeover(message)
            return
        stamp_ns = message.receive_ns
        if mapping.time == "header":
            stamp_ns = header_stamp_ns(message.data)
            self._clocks.add(message.topic, message.receive_ns, stamp_ns)
        if message.topic == mapping.episode_topic:
            yield from self._take_status(self._bag.decode(message), stamp_ns, now_s)
        names = self._of_topic.get(message.topic, [])
        if message.topic == mapping.clock_topic and not names and self._ticks is not None:
            self._ticks.sample(CLOCK, stamp_ns, now_s)
        decoded: Any = None
        for name in names:
            self._logs[name].add(stamp_ns)
            try:
                if name in mapping.cameras:
                    self._sample(name, stamp_ns, BagImage(message), now_s, len(message.data))
                    continue
                decoded = self._bag.decode(message) if decoded is None else decoded
                if name == ACTION and self._acted:
                    self._take_action(decoded, stamp_ns, now_s)
                else:
                    self._sample(name, stamp_ns, self._read(name, decoded, message.kind), now_s)
                if name == STATE and JOINT in self._assembler.streams:
                    self._take_joints(decoded, stamp_ns)
            except ObservationError as error:
                self._complaints.add(name, error)

    def _take_takeover(self, message: Message) -> None:
        try:
            if message.kind != BOOL:
                raise ObservationError(f"it is a {message.kind}; a {BOOL} is needed")
            self._taken_over = bool(self._bag.decode(message).data)
        except ObservationError as error:
            self._complaints.add(message.topic, error)

    def _read(self, name: str, message: Any, kind: str) -> Any:
        if name in self._readers:
            reader = self._readers[name]
            if isinstance(self._assembler.streams[name], JointStream):
                found, values = reader.read_part(message, kind)
                return dict(zip(found, values.tolist(), strict=True))
            return reader.read(message, kind)
        wanted = VLA_SIGNALS if name == SIGNALS else FAILURE_HORIZONS
        if kind != wanted:
            raise ObservationError(f"it is a {kind}; a {wanted} is needed")
        return read_signals(message) if name == SIGNALS else read_prediction(message)

    def _take_joints(self, message: Any, stamp_ns: int) -> None:
        """Take in all that joint states say, after the state has taken its part."""
        stream = self._assembler.streams[JOINT]
        assert isinstance(stream, JointStream)
        if not self._all_joints:
            named = (*self._names(STATE), *self._mapping.extra_joints)
            self._all_joints = tuple(dict.fromkeys(named))
            stream.settle(joint_keys(self._all_joints))
        refused = partial(self._complaints.add, STATE)
        self._assembler.sample(JOINT, stamp_ns, joint_values(message, self._all_joints, refused))

    def _sample(self, name: str, stamp_ns: int, sample: Any, now_s: float, size: int = 0) -> None:
        order = self._assembler.sample(name, stamp_ns, sample, size)
        if self._ticks is None:
            return
        if order is Order.JUMP:
            stream = self._assembler.streams[name]
            if stream.jump_ns < 0:  # ahead, the silence of all streams speaks for itself
                self._ticks.jump(name, stream.jump_ns, now_s)
                for other, source in self._assembler.streams.items():
                    if other != name and source.newest_ns >= 0:  # it jumped before, and was held
                        self._ticks.sample(other, source.newest_ns, now_s)
            self._ticks.sample(name, stream.restart_ns, now_s)
        if order is not Order.SUSPECT:
            self._ticks.sample(name, stamp_ns, now_s)

    def _take_action(self, message: Any, stamp_ns: int, now_s: float) -> None:
        check_id(message.episode_id)
        inputs: dict[str, list[int]] = {}
        for one in getattr(message, "inputs", ()) if self._mapping.time == "header" else ():
            if one.stream in self._assembler.streams:
                inputs.setdefault(one.stream, []).append(to_ns(one.stamp))
        action = self._readers[ACTION].read(message, POLICY_ACTION)
        given = (message.episode_id, message.step, stamp_ns, action, message.policy_id, now_s)
        intervention = getattr(message, "intervention", "")  # which bags of before do not say
        if self._taken_over:
            intervention = TAKEOVER
        check_intervention(intervention)
        self._assembler.action(*given, inputs, intervention)

    def _take_status(self, status: Any, stamp_ns: int, now_s: float) -> Iterator[Relabelled]:
        if self._bag.types[self._mapping.episode_topic] != EPISODE_STATUS:
            raise ObservationError(f"the topic of episodes has to be a {EPISODE_STATUS}")
        if self._ticks is None:
            take_status(self._assembler, status, stamp_ns, now_s)
        else:
            self._ticks.announce(status, stamp_ns, now_s)
        label = self._judgements.changed(status)
        if label is None:
            return
        episode_id = status.episode_id
        if self._ticks is not None:
            episode_id, label = self._ticks.placed(episode_id, label)
        if not self._assembler.holds(episode_id):
            yield Relabelled(self._outcomes.names.get(episode_id, ""), label)

    def _complain(self, topic: str, error: ObservationError) -> None:
        for name in self._of_topic.get(topic) or [topic]:
            self._complaints.add(name, error)

    def _read_image(self, sample: Any, camera: str) -> NDArray[np.uint8]:
        if isinstance(sample, np.ndarray):
            return sample
        message = sample.message
        return self._images.read(self._bag.decode(message), message.kind, camera)


def _reader(values: Values, stored: tuple[str, ...]) -> ValueReader:
    return ValueReader(values.joints, values.fields, values.names, stored)
