"""Which topics of a bag become which streams of an episode, and on which clock."""

import math
from collections.abc import Mapping as Dictionary
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import yaml

from salus_ros.core import schema
from salus_ros.core.errors import ConfigError

STATE, ACTION, SIGNALS, PREDICTION = "state", "action", "signals", "prediction"
TIMES = ("receive", "header")
MAX_AGE_MS = 200.0


@dataclass(frozen=True, slots=True)
class Values:
    """A topic that gives a row of numbers.

    Attributes:
        topic: Its name.
        joints: For a JointState: which joints, in which order; empty for those of the first
            message, in its order.
        fields: For other types: the paths of the numbers in the message ("linear.x"), joined in
            this order; empty for the `data` of an array message or the `action` of a PolicyAction.
    """

    topic: str
    joints: tuple[str, ...] = ()
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Mapping:
    """How bags become episodes.

    Attributes:
        state: Where the state comes from.
        action: Where the action comes from.
        cameras: Topic of each camera name, Image or CompressedImage.
        signals: Topic of VlaSignals; empty for none.
        prediction: Topic of FailureHorizons; empty for none.
        task: Instruction of every episode; empty takes that of the episode topic, if any.
        gap_s: A silence of all streams that is longer than this, in s, ends an episode; NaN never.
        episode_topic: Topic of EpisodeStatus that says where episodes begin, end and how they
            ended. Without it and without `gap_s`, a bag is one episode.
        rate_hz: Steps per second, where there is no clock topic.
        clock_topic: A step is made for every message of this topic. Where it is the episode
            topic, for every step of an episode: those announced, and those that a PolicyAction
            answers, whose stamp counts and whose action is that step's and of no other.
        time: "receive" (when the message was recorded) or "header" (its stamp).
        max_age_ms: Oldest sample a step may use; an older one is a gap. With 0 a sample has to
            have the stamp of its step, as all have in a world that waits for the policy.
        max_age_of: The same of single streams: those of `streams` that are named.
        image_size: Height and width in pixels to scale images to; None keeps theirs.
        depth_range_mm: Near and far end in mm of each camera that gives depth (16UC1), which
            becomes grey of 8 bits (`depth_to_array`); without it depth is refused.
    """

    state: Values
    action: Values
    cameras: Dictionary[str, str] = field(default_factory=dict)
    signals: str = ""
    prediction: str = ""
    task: str = ""
    gap_s: float = math.nan
    episode_topic: str = ""
    rate_hz: float = schema.RATE_HZ
    clock_topic: str = ""
    time: str = "receive"
    max_age_ms: float = MAX_AGE_MS
    max_age_of: Dictionary[str, float] = field(default_factory=dict)
    image_size: tuple[int, int] | None = None
    depth_range_mm: Dictionary[str, tuple[float, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not (math.isfinite(self.rate_hz) and self.rate_hz > 0):
            raise ConfigError(f"rate_hz is {self.rate_hz}; give a number above 0")
        ages = {"max_age_ms": self.max_age_ms}
        ages |= {f"max_age_of '{stream}'": age for stream, age in self.max_age_of.items()}
        for name, age in ages.items():
            if not (math.isfinite(age) and age >= 0):
                raise ConfigError(f"{name} is {age}; give 0 or a number above it, in ms")
        if unknown := sorted(set(self.max_age_of) - set(self.streams)):
            raise ConfigError(
                f"max_age_of names {', '.join(unknown)}; the streams are {', '.join(self.streams)}"
            )
        if self.gap_s <= 0:
            raise ConfigError(f"gap_s is {self.gap_s}; give a number above 0, or leave it out")
        if self.time not in TIMES:
            raise ConfigError(f"time is '{self.time}'; allowed are {', '.join(TIMES)}")
        taken = {STATE, ACTION, SIGNALS, PREDICTION} & set(self.cameras)
        if taken:
            raise ConfigError(f"no camera can be called {', '.join(sorted(taken))}; rename it")
        if self.image_size is not None and (len(self.image_size) != 2 or min(self.image_size) < 1):
            raise ConfigError(f"image_size is {list(self.image_size)}; give [height, width]")
        for camera, (near, far) in self.depth_range_mm.items():
            if camera not in self.cameras:
                names = ", ".join(self.cameras) or "none"
                raise ConfigError(f"depth_range_mm names '{camera}'; the cameras are {names}")
            if not 0 <= near < far < math.inf:
                raise ConfigError(
                    f"depth_range_mm of '{camera}' is {[near, far]}; give [NEAR, FAR] in mm"
                )

    @property
    def streams(self) -> dict[str, str]:
        """Topic of each stream, in the order of a store's: cameras, state, action, and others."""
        streams = {**self.cameras, STATE: self.state.topic, ACTION: self.action.topic}
        others = {SIGNALS: self.signals, PREDICTION: self.prediction}
        return streams | {name: topic for name, topic in others.items() if topic}

    def oldest_ns(self, stream: str) -> int:
        """Greatest age in ns of a sample that a step may use of a stream."""
        return round(self.max_age_of.get(stream, self.max_age_ms) * 1e6)

    @property
    def by_step(self) -> bool:
        """Whether the steps are those of the episode topic."""
        return bool(self.episode_topic) and self.clock_topic == self.episode_topic

    @property
    def topics(self) -> set[str]:
        """Every topic that is read."""
        return {*self.streams.values(), self.episode_topic, self.clock_topic} - {""}

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read a YAML file.

        Raises:
            ConfigError: if it cannot be read, or holds what is not allowed.
        """
        try:
            return cls.from_dict(yaml.safe_load(path.read_text()))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            raise ConfigError(
                f"cannot read the mapping '{path}': {error}; `salus convert BAG --scan --config "
                f"{path}` writes one where there is none"
            ) from error
        except ConfigError as error:
            raise ConfigError(f"mapping '{path}': {error}") from error

    @classmethod
    def from_dict(cls, given: Any) -> Self:
        """Read the form of the YAML file.

        Raises:
            ConfigError: naming the key that is missing, unknown or of the wrong kind.
        """
        allowed: tuple[str, ...]
        allowed = ("cameras", STATE, ACTION, "task", "episodes", "clock", "time", "max_age_ms")
        allowed += ("max_age_of", SIGNALS, PREDICTION, "image_size", "depth_range_mm")
        content = _checked(given, "it", allowed, (STATE, ACTION))
        clock = _checked(content.pop("clock", {}), "clock", ("rate_hz", "topic"))
        if len(clock) > 1:
            raise ConfigError("clock has both rate_hz and topic; give one of them")
        parts = content.pop("episodes", "bag")
        if parts != "bag" and not (isinstance(parts, dict) and len(parts) == 1):
            raise ConfigError(
                f"episodes is {parts}; allowed are bag, {{gap_s: SECONDS}} and {{topic: NAME}}"
            )
        split = {} if parts == "bag" else _checked(parts, "episodes", ("gap_s", "topic"))
        try:
            return cls(
                state=_values(content[STATE], STATE),
                action=_values(content[ACTION], ACTION),
                cameras={str(k): str(v) for k, v in (content.get("cameras") or {}).items()},
                signals=str(content.get(SIGNALS) or ""),
                prediction=str(content.get(PREDICTION) or ""),
                task=str(content.get("task") or ""),
                gap_s=float(split.get("gap_s", math.nan)),
                episode_topic=str(split.get("topic", "")),
                rate_hz=float(clock.get("rate_hz", schema.RATE_HZ)),
                clock_topic=str(clock.get("topic", "")),
                time=str(content.get("time", "receive")),
                max_age_ms=float(content.get("max_age_ms", MAX_AGE_MS)),
                max_age_of={
                    str(k): float(v) for k, v in (content.get("max_age_of") or {}).items()
                },
                image_size=_size(content.get("image_size")),
                depth_range_mm=_ranges(content.get("depth_range_mm")),
            )
        except (TypeError, ValueError, AttributeError) as error:
            raise ConfigError(f"a value is of the wrong kind ({error})") from error

    def to_dict(self) -> dict[str, Any]:
        """Return the form of the YAML file."""
        parts: Any = "bag" if math.isnan(self.gap_s) else {"gap_s": self.gap_s}
        content: dict[str, Any] = {
            "cameras": dict(self.cameras),
            STATE: _plain(self.state),
            ACTION: _plain(self.action),
            **{name: self.streams[name] for name in (SIGNALS, PREDICTION) if name in self.streams},
            "task": self.task,
            "episodes": {"topic": self.episode_topic} if self.episode_topic else parts,
            "clock": {"topic": self.clock_topic}
            if self.clock_topic
            else {"rate_hz": self.rate_hz},
            "time": self.time,
            "max_age_ms": self.max_age_ms,
        }
        if self.max_age_of:
            content["max_age_of"] = dict(self.max_age_of)
        if self.image_size:
            content["image_size"] = list(self.image_size)
        if self.depth_range_mm:
            content["depth_range_mm"] = {k: list(v) for k, v in self.depth_range_mm.items()}
        return content


def _checked(
    given: Any, what: str, allowed: tuple[str, ...], needed: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Copy a dictionary whose keys are known."""
    if not isinstance(given, dict):
        raise ConfigError(f"{what} is {given!r}; give the keys {', '.join(allowed)}")
    unknown = sorted(str(key) for key in set(given) - set(allowed))
    if unknown:
        raise ConfigError(
            f"{what} has the unknown keys {', '.join(unknown)}; allowed are {', '.join(allowed)}"
        )
    missing = [key for key in needed if key not in given]
    if missing:
        raise ConfigError(f"{what} has no {', '.join(missing)}; name the topic")
    return dict(given)


def _values(given: Any, what: str) -> Values:
    content = {"topic": given} if isinstance(given, str) else given
    content = _checked(content, what, ("topic", "joints", "fields"), ("topic",))
    names = {key: content.get(key) or [] for key in ("joints", "fields")}
    for key, value in names.items():
        if not isinstance(value, list):
            raise ConfigError(f"{what}: {key} is {value!r}; give a list")
    if not content["topic"]:
        raise ConfigError(f"{what} has an empty topic; name one")
    joints, fields = (tuple(str(one) for one in names[key]) for key in ("joints", "fields"))
    return Values(str(content["topic"]), joints, fields)


def _plain(values: Values) -> dict[str, Any]:
    lists = {"joints": list(values.joints), "fields": list(values.fields)}
    return {"topic": values.topic} | {key: value for key, value in lists.items() if value}


def _size(given: Any) -> tuple[int, int] | None:
    if given is None:
        return None
    height, width = given
    return int(height), int(width)


def _ranges(given: Any) -> dict[str, tuple[float, float]]:
    pairs = {
        str(camera): tuple(float(end) for end in ends) for camera, ends in (given or {}).items()
    }
    return {camera: (near, far) for camera, (near, far) in pairs.items()}
