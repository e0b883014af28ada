"""One bag into episodes: what can be read is converted, what cannot is named."""

from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from salus_ros.bags.boundaries import Announced, Span, find_spans
from salus_ros.bags.graph import POLICY_ACTION, Acted, PredictionReader, SignalsReader
from salus_ros.bags.mapping import ACTION, PREDICTION, SIGNALS, STATE, Mapping, Values
from salus_ros.bags.plan import Plan, Use
from salus_ros.bags.reading import Bag, Message, header_stamp_ns
from salus_ros.bags.sampling import MIN_NS, Timeline
from salus_ros.core import schema
from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.episodes import Episode, StoreSpec
from salus_ros.messages.camera import ImageReader
from salus_ros.messages.values import ValueReader

if TYPE_CHECKING:
    from salus_ros.bags.policy import PolicySignals

KEPT_BYTES = 512 << 20
"""Images of a bag that are kept from the first pass; of more, the bag is read again."""

type Advance = Callable[[int], None]


class Target(Protocol):
    """Where the episodes of bags go."""

    spec: StoreSpec | None
    """Sizes of the store; None as long as there is none."""

    def has(self, name: str) -> bool:
        """Whether the store has an episode of this name."""

    def append(self, episode: Episode, spec: StoreSpec) -> None:
        """Write an episode; the first one makes the store."""


def convert_bag(
    bag: Bag,
    mapping: Mapping,
    target: Target,
    advance: Advance | None = None,
    signals: "PolicySignals | None" = None,
) -> dict[str, Any]:
    """Convert what a bag holds.

    Args:
        bag: The bag, an open one.
        mapping: What becomes of it.
        target: Where its episodes go.
        advance: Told the messages read so far; each is looked at once for its time, and once more
            where it is an image.
        signals: A policy whose signals the episodes get.

    Returns:
        The synchronisation report: bag, episodes, known_episodes and steps (counts), problems
        (what was left out, in words) and, per stream, its topic, the figures of
        `Timeline.to_json`, unreadable messages, ages in ms and ticks without a sample.

    Raises:
        StoreError: if the store cannot be written, or was made with other sizes.
        ConfigError: if a topic has no header where its stamp is asked for.
    """
    return _Conversion(bag, mapping, target, advance or (lambda _: None), signals).run()


class _Conversion:
    """One bag: times and numbers in a first pass, pictures in a second."""

    def __init__(
        self,
        bag: Bag,
        mapping: Mapping,
        target: Target,
        advance: Advance,
        signals: "PolicySignals | None",
    ) -> None:
        self._bag, self._mapping, self._target = bag, mapping, target
        self._advance, self._policy = advance, signals
        self._left_out: list[str] = []
        self._unreadable: Counter[tuple[str, str]] = Counter()
        self._stamps: dict[str, list[int]] = {topic: [] for topic in self._mapping.topics}
        self._signals, self._predictions = SignalsReader(), PredictionReader()
        self._readers: dict[str, Any] = {
            STATE: ValueReader(*_said(mapping.state)),
            ACTION: ValueReader(*_said(mapping.action)),
            SIGNALS: self._signals,
            PREDICTION: self._predictions,
        }
        self._numbers = {
            name: topic for name, topic in self._mapping.streams.items() if name in self._readers
        }
        self._rows: dict[str, list[Any]] = {name: [] for name in self._numbers}
        self._statuses: list[Announced] = []
        self._actions: list[Acted] = []
        self._timelines: dict[str, Timeline] = {}
        self._done: list[Plan] = []
        self._damaged: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        spec = target.spec
        self._images = ImageReader(
            size=None if spec is None else spec.image_size,
            image_size=mapping.image_size,
            depth_range_mm=mapping.depth_range_mm,
            encoding=mapping.encoding,
        )
        self._messages = 0
        self._kept: list[Message] | None = []

    def run(self) -> dict[str, Any]:
        self._read_numbers()
        self._timelines = {topic: Timeline.of(stamps) for topic, stamps in self._stamps.items()}
        spans = find_spans(self._mapping, self._timelines, self._statuses, self._actions)
        names = [f"{self._bag.name}/{number}" for number in range(len(spans))]
        known = [name for name in names if self._target.has(name)]
        after = [MIN_NS, *(span.over_ns for span in spans)]
        plans = [
            self._plan(name, span, after_ns)
            for name, span, after_ns in zip(names, spans, after, strict=False)
            if name not in known
        ]
        self._read_images(plans)
        if not spans:
            self._left_out.append("no episode was found: its mapped topics have no messages")
        return self._report(len(known))

    # First pass

    def _read_numbers(self) -> None:
        mapping = self._mapping
        for topic in sorted(mapping.topics):
            kind = self._bag.types.get(topic)
            if kind is None:
                has = ", ".join(sorted(self._bag.types)) or "none"
                self._left_out.append(f"topic {topic} is not in the bag; it has {has}")
            elif not self._bag.knows(kind):
                self._left_out.append(
                    f"topic {topic}: its type {kind} is unknown here and the bag has no "
                    "definition of it; convert the bag to MCAP where the type is installed"
                )
            elif mapping.time == "header" and not self._bag.has_header(kind):
                raise ConfigError(
                    f"topic {topic} of bag '{self._bag.name}' is a {kind}, which has no header; "
                    "use time: receive"
                )
        cameras, kept_bytes = set(mapping.cameras.values()), 0
        for message, stamp_ns in self._stamped(mapping.topics):
            self._stamps[message.topic].append(stamp_ns)
            if message.topic in cameras and self._kept is not None:
                kept_bytes += len(message.data)
                self._kept.append(message)
                if kept_bytes > KEPT_BYTES:
                    self._kept = None
            streams = [name for name, topic in self._numbers.items() if topic == message.topic]
            if streams or message.topic == mapping.episode_topic:
                self._read_message(message, stamp_ns, streams)

    def _read_message(self, message: Message, stamp_ns: int, streams: list[str]) -> None:
        decoded: Any = None
        try:
            decoded = self._bag.decode(message)
        except ObservationError as error:
            self._unreadable[message.topic, str(error)] += 1
        if decoded is not None and message.topic == self._mapping.episode_topic:
            self._statuses.append(Announced(stamp_ns, message.receive_ns, decoded))
        for name in streams:
            row = None
            try:
                if decoded is not None:
                    row = self._readers[name].read(decoded, message.kind)
            except ObservationError as error:
                self._unreadable[name, str(error)] += 1
            if name == ACTION and row is not None and message.kind == POLICY_ACTION:
                ordinal, policy_id = len(self._rows[name]), decoded.policy_id
                place = (stamp_ns, message.receive_ns, ordinal, policy_id)
                self._actions.append(Acted(decoded.episode_id, decoded.step, *place))
            self._rows[name].append(row)

    def _stamped(self, topics: Collection[str]) -> Iterator[tuple[Message, int]]:
        """Messages that have a place in time, and that place; the same ones in both passes."""
        for message in self._bag.messages(topics):
            self._messages += 1
            self._advance(self._messages)
            if not self._bag.knows(message.kind):
                continue
            if self._mapping.time == "receive":
                yield message, message.receive_ns
                continue
            try:
                stamp_ns = header_stamp_ns(message.data)
            except ObservationError as error:
                self._damaged[message.topic, str(error)].add(message.receive_ns)
            else:
                yield message, stamp_ns

    def _plan(self, name: str, span: Span, after_ns: int) -> Plan:
        ticks_ns, steps = span.ticks(self._mapping, self._timelines)
        plan = Plan(name, span, after_ns, ticks_ns, steps)
        for stream, rows in self._rows.items():
            ordinals, age_ms = self._as_of(stream, ticks_ns, after_ns)
            found = [rows[ordinal] if ordinal >= 0 else None for ordinal in ordinals]
            age_ms[[row is None for row in found]] = np.nan
            plan.rows[stream], plan.age_ms[stream] = found, age_ms
        kind = self._bag.types.get(self._mapping.action.topic)
        if self._mapping.by_step and kind == POLICY_ACTION:
            plan.use_action_of_step(self._rows[ACTION])
        return plan

    def _as_of(
        self, stream: str, ticks_ns: NDArray[np.int64], after_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        timeline = self._timelines[self._mapping.streams[stream]]
        return timeline.as_of(ticks_ns, self._mapping.oldest_ns(stream), after_ns)

    # Second pass

    def _read_images(self, plans: list[Plan]) -> None:
        """Read the images that are used, each once, and finish an episode with its last one."""
        wanted: dict[str, dict[int, list[Use]]] = {}
        for plan in plans:
            for camera, topic in self._mapping.cameras.items():
                ordinals, ages = self._as_of(camera, plan.ticks_ns, plan.after_ns)
                plan.age_ms[camera] = np.full(ages.shape, np.nan, np.float32)
                for ordinal in np.unique(ordinals[ordinals >= 0]):
                    ticks = np.flatnonzero(ordinals == ordinal)
                    use = Use(plan, camera, ticks, ages[ticks])
                    wanted.setdefault(topic, {}).setdefault(int(ordinal), []).append(use)
                    plan.waiting += 1
            if not plan.waiting:
                self._finish(plan)
        seen: Counter[str] = Counter()
        for message in self._images_again(wanted):
            uses = wanted[message.topic].pop(seen[message.topic], [])
            seen[message.topic] += 1
            for use in uses:
                self._place(message, use)
                use.plan.waiting -= 1
                if not use.plan.waiting:
                    self._finish(use.plan)
            if not any(wanted.values()):
                break

    def _images_again(self, topics: Collection[str]) -> Iterator[Message]:
        """The images of the first pass, of some topics, in the same order."""
        if self._kept is None and topics:
            yield from (message for message, _ in self._stamped(topics))
        kept, self._kept = deque(self._kept or ()), None
        while kept:
            message = kept.popleft()  # each is released when it has been used
            self._messages += 1
            self._advance(self._messages)
            if message.topic in topics:
                yield message

    def _place(self, message: Message, use: Use) -> None:
        try:
            decoded = self._bag.decode(message)
            image = self._images.read(decoded, message.kind, use.camera)
        except ObservationError as error:
            self._unreadable[use.camera, str(error)] += 1
            return
        use.plan.place(image, use, len(self._mapping.cameras))

    def _finish(self, plan: Plan) -> None:
        """Write an episode, or say why not; its images are released."""
        try:
            size = self._images.size or (schema.IMAGE_SIZE, schema.IMAGE_SIZE)
            given = self._mapping, self._signals, self._predictions, size
            episode, spec = plan.to_episode(*given, self._policy, self._target.spec)
            self._target.append(episode, spec)
            self._done.append(plan)
        except ObservationError as error:
            self._left_out.append(f"episode {plan.id} is left out: {error}")
        plan.frames = {}

    def _report(self, known: int) -> dict[str, Any]:
        unreadable: Counter[str] = Counter()
        for (name, reason), count in self._unreadable.items():
            unreadable[name] += count
            self._left_out.append(f"{name}: {count} messages cannot be used: {reason}")
        for (topic, reason), places in self._damaged.items():
            self._left_out.append(f"{topic}: {len(places)} messages cannot be used: {reason}")
        streams = {}
        for name, topic in self._mapping.streams.items():
            ages = [plan.age_ms[name] for plan in self._done]
            age_ms = np.concatenate(ages) if ages else np.zeros(0, np.float32)
            used = age_ms[~np.isnan(age_ms)]
            p50, p95, oldest = (
                (float(np.percentile(used, share)) for share in (50, 95, 100))
                if used.size
                else (None, None, None)
            )
            streams[name] = {
                "topic": topic,
                **self._timelines[topic].to_json(),
                "unreadable": unreadable[name],
                "age_p50_ms": p50,
                "age_p95_ms": p95,
                "age_max_ms": oldest,
                "missing_ticks": int(age_ms.size - used.size),
            }
        return {
            "bag": self._bag.name,
            "episodes": len(self._done),
            "known_episodes": known,
            "steps": sum(len(plan.ticks_ns) for plan in self._done),
            "problems": self._bag.problems + self._left_out,
            "streams": streams,
        }


def _said(values: Values) -> tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]:
    return values.joints, values.fields, values.names
