"""Bags into an episode store: what can be read is converted, what cannot is named."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.bags.boundaries import Span, find_spans
from salus_ros.bags.mapping import ACTION, STATE, Mapping
from salus_ros.bags.reading import Bag, Message, header_stamp_ns
from salus_ros.bags.sampling import MIN_NS, NANO, Timeline
from salus_ros.bags.values import ValueReader, read_image, scaled
from salus_ros.core import schema
from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.episodes import Episode, EpisodeMeta, EpisodeStore, StoreReader, StoreSpec

MAX_IMAGE_BYTES = 4 << 30
"""Images of one episode, which is written whole from memory."""

type Advance = Callable[[int], None]


@dataclass(slots=True, eq=False)
class _Plan:
    """An episode that is being put together."""

    id: str
    span: Span
    after_ns: int  # end of the episode before
    ticks_ns: NDArray[np.int64]
    rows: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    age_ms: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    frames: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    waiting: int = 0  # images still to come
    too_large: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class _Use:
    """Where an image goes: an episode, a camera, its ticks, and its age at each in ms."""

    plan: _Plan
    camera: str
    ticks: NDArray[np.int64]
    age_ms: NDArray[np.float32]


class Converter:
    """Appends the episodes of bags to one store; a context manager.

    An episode is known by its bag's name and its number there: "name/3". One that the store has
    is not converted again.
    """

    def __init__(self, mapping: Mapping, out: Path) -> None:
        """For a store that need not exist yet.

        Raises:
            StoreError: if there is something else, or a damaged store.
        """
        self.mapping = mapping
        self._out = out
        self._store: EpisodeStore | None = None
        self._stack = ExitStack()
        self._known: set[str] = set()
        self.size: tuple[int, int] | None = mapping.image_size
        if out.is_dir() and any(out.iterdir()):
            reader = StoreReader(out)
            self._known = {reader.meta(index).id for index in range(len(reader))}
            self.size = reader.spec.image_size

    def __enter__(self) -> "Converter":
        """Return the converter itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the store."""
        self._stack.close()

    def convert(self, bag: Bag, advance: Advance | None = None) -> dict[str, Any]:
        """Convert what the bag, an open one, holds.

        Args:
            bag: The bag.
            advance: Told the messages read so far; each is looked at once for its time, and
                once more where it is an image.

        Returns:
            The synchronisation report: bag, episodes, known_episodes and steps (counts), problems
            (what was left out, in words) and, per stream, its topic, the figures of
            `Timeline.to_json`, unreadable messages, ages in ms and ticks without a sample.

        Raises:
            StoreError: if the store cannot be written, or was made with other sizes.
            ConfigError: if a topic has no header where its stamp is asked for.
        """
        return _Conversion(self, bag, advance or (lambda _: None)).run()

    def has(self, name: str) -> bool:
        """Whether the store has an episode of this name."""
        return name in self._known

    def append(self, episode: Episode, spec: StoreSpec) -> None:
        """Write an episode; the first one makes the store."""
        if self._store is None:
            store = EpisodeStore.open_or_create(self._out, spec)
            self._store = self._stack.enter_context(store)
        self._store.append(episode)
        self._known.add(episode.meta.id)


class _Conversion:
    """One bag: times and numbers in a first pass, pictures in a second."""

    def __init__(self, converter: Converter, bag: Bag, advance: Advance) -> None:
        self._converter, self._bag, self._advance = converter, bag, advance
        self._mapping = converter.mapping
        self._left_out: list[str] = []
        self._unreadable: Counter[tuple[str, str]] = Counter()
        self._stamps: dict[str, list[int]] = {topic: [] for topic in self._mapping.topics}
        self._rows: dict[str, list[NDArray[np.float32] | None]] = {STATE: [], ACTION: []}
        self._statuses: list[tuple[int, Any]] = []
        self._timelines: dict[str, Timeline] = {}
        self._done: list[_Plan] = []
        self._damaged: defaultdict[tuple[str, str], set[int]] = defaultdict(set)
        self._raw_sizes: dict[str, tuple[int, int]] = {}
        self._messages = 0

    def run(self) -> dict[str, Any]:
        self._read_numbers()
        self._timelines = {topic: Timeline.of(stamps) for topic, stamps in self._stamps.items()}
        spans = find_spans(self._mapping, self._timelines, self._statuses)
        names = [f"{self._bag.name}/{number}" for number in range(len(spans))]
        known = [name for name in names if self._converter.has(name)]
        after = [MIN_NS, *(span.end_ns for span in spans)]
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
        readers = {STATE: ValueReader(mapping.state), ACTION: ValueReader(mapping.action)}
        numbers = {name: mapping.streams[name] for name in readers}
        for message, stamp_ns in self._stamped(mapping.topics):
            self._stamps[message.topic].append(stamp_ns)
            streams = [name for name, topic in numbers.items() if topic == message.topic]
            if not streams and message.topic != mapping.episode_topic:
                continue
            decoded = None
            try:
                decoded = self._bag.decode(message)
                if message.topic == mapping.episode_topic:
                    self._statuses.append((stamp_ns, decoded))
            except ObservationError as error:
                self._unreadable[message.topic, str(error)] += 1
            for name in streams:
                row = None
                try:
                    if decoded is not None:
                        row = readers[name].read(decoded, message.kind)
                except ObservationError as error:
                    self._unreadable[name, str(error)] += 1
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

    def _plan(self, name: str, span: Span, after_ns: int) -> _Plan:
        ticks_ns = span.ticks(self._mapping, self._timelines)
        plan = _Plan(name, span, after_ns, ticks_ns)
        for stream in (STATE, ACTION):
            rows = self._rows[stream]
            width = next((row.size for row in rows if row is not None), 0)
            values = np.full((ticks_ns.size, width), np.nan, np.float32)
            ordinals, age_ms = self._as_of(stream, ticks_ns, after_ns)
            for t in np.flatnonzero(ordinals >= 0):
                row = rows[ordinals[t]]
                if row is None:
                    age_ms[t] = np.nan
                else:
                    values[t] = row
            plan.rows[stream], plan.age_ms[stream] = values, age_ms
        return plan

    def _as_of(
        self, stream: str, ticks_ns: NDArray[np.int64], after_ns: int
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        timeline = self._timelines[self._mapping.streams[stream]]
        return timeline.as_of(ticks_ns, round(self._mapping.max_age_ms * 1e6), after_ns)

    # Second pass

    def _read_images(self, plans: list[_Plan]) -> None:
        """Read the images that are used, each once, and finish an episode with its last one."""
        wanted: dict[str, dict[int, list[_Use]]] = {}
        for plan in plans:
            for camera, topic in self._mapping.cameras.items():
                ordinals, ages = self._as_of(camera, plan.ticks_ns, plan.after_ns)
                plan.age_ms[camera] = np.full(ages.shape, np.nan, np.float32)
                for ordinal in np.unique(ordinals[ordinals >= 0]):
                    ticks = np.flatnonzero(ordinals == ordinal)
                    use = _Use(plan, camera, ticks, ages[ticks])
                    wanted.setdefault(topic, {}).setdefault(int(ordinal), []).append(use)
                    plan.waiting += 1
            if not plan.waiting:
                self._finish(plan)
        seen: Counter[str] = Counter()
        for message, _ in self._stamped(wanted) if wanted else ():
            uses = wanted[message.topic].pop(seen[message.topic], [])
            seen[message.topic] += 1
            for use in uses:
                self._place(message, use)
                use.plan.waiting -= 1
                if not use.plan.waiting:
                    self._finish(use.plan)
            if not any(wanted.values()):
                break

    def _place(self, message: Message, use: _Use) -> None:
        try:
            decoded = self._bag.decode(message)
            image = read_image(decoded, message.kind, use.camera)
            image = self._fitted(image, use.camera)
        except ObservationError as error:
            self._unreadable[use.camera, str(error)] += 1
            return
        plan, steps = use.plan, len(use.plan.ticks_ns)
        if steps * image.nbytes * len(self._mapping.cameras) > MAX_IMAGE_BYTES:
            plan.too_large = True
            return
        if use.camera not in plan.frames:
            plan.frames[use.camera] = np.zeros((steps, *image.shape), np.uint8)
        plan.frames[use.camera][use.ticks] = image
        plan.age_ms[use.camera][use.ticks] = use.age_ms

    def _fitted(self, image: NDArray[np.uint8], camera: str) -> NDArray[np.uint8]:
        """Scale an image, if the mapping says so, and hold it to the one size of the store."""
        height, width, _ = image.shape
        size = self._raw_sizes.setdefault(camera, (height, width))
        if (height, width) != size:
            raise ObservationError(
                f"the image is {width}x{height}, the first one {size[1]}x{size[0]}"
            )
        if self._mapping.image_size is not None:
            return scaled(image, self._mapping.image_size)
        if self._converter.size is None:
            self._converter.size = size
        if size != self._converter.size:
            taken = self._converter.size
            raise ObservationError(
                f"the image is {width}x{height}, the store takes {taken[1]}x{taken[0]} of every "
                "camera; set image_size in the mapping"
            )
        return image

    def _finish(self, plan: _Plan) -> None:
        """Write an episode, or say why not; its images are released."""
        try:
            self._converter.append(*self._episode(plan))
            self._done.append(plan)
        except ObservationError as error:
            self._left_out.append(f"episode {plan.id} is left out: {error}")
        plan.frames = {}

    def _episode(self, plan: _Plan) -> tuple[Episode, StoreSpec]:
        steps = len(plan.ticks_ns)
        if steps < 2:
            raise ObservationError(f"it has {steps} steps; it needs two")
        if plan.too_large:
            raise ObservationError(
                f"its {steps} steps of images are more than {MAX_IMAGE_BYTES >> 30} GiB; divide "
                "the bag by gap_s, or set image_size"
            )
        for stream, ages in plan.age_ms.items():
            if np.isnan(ages).all():
                raise ObservationError(f"no step has a sample of {stream}")
        cameras = tuple(self._mapping.cameras)
        about = plan.span.about(plan.ticks_ns)
        if self._mapping.task:
            about["task"] = self._mapping.task
        meta = EpisodeMeta(
            id=plan.id,
            rate_hz=float(NANO / np.median(np.diff(plan.ticks_ns))),
            wall_time_s=float(plan.ticks_ns[-1] - plan.ticks_ns[0]) / NANO,
            **({"task": ""} | about),
        )
        signals = np.full((steps, len(schema.SIGNAL_NAMES)), np.nan, np.float32)
        streams = (*cameras, STATE, ACTION)
        episode = Episode(
            meta=meta,
            action=plan.rows[ACTION],
            state=plan.rows[STATE],
            stamp_ns=plan.ticks_ns,
            signals=signals,
            signals_valid=np.zeros(signals.shape, np.bool_),
            signals_fresh=np.zeros(steps, np.bool_),
            images=plan.frames,
            age_ms=np.stack([plan.age_ms[stream] for stream in streams], axis=1),
        )
        spec = StoreSpec(
            cameras=cameras,
            image_size=self._converter.size or (schema.IMAGE_SIZE, schema.IMAGE_SIZE),
            state_dim=episode.state.shape[1],
            action_dim=episode.action.shape[1],
            streams=streams,
        )
        return episode, spec

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
