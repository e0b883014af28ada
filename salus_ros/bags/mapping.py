"""Which topics of a bag become which streams of an episode, and on which clock."""

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.dataclasses import dataclass

from salus_ros.core import schema
from salus_ros.core.errors import ConfigError
from salus_ros.messages.images import ENCODINGS

STATE, ACTION, SIGNALS, PREDICTION = "state", "action", "signals", "prediction"
JOINT = "joint"
MAX_AGE_MS = 200.0

Time = Literal["receive", "header"]
TIMES: tuple[str, ...] = get_args(Time)

_CONFIG = ConfigDict(extra="forbid")
_FILE_KEYS = {
    "rate_hz": "clock.rate_hz",
    "clock_topic": "clock.topic",
    "gap_s": "episodes.gap_s",
    "episode_topic": "episodes.topic",
}
"""Where an attribute stands in the file, if not by its own name."""

_Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
_Age = Annotated[float, Field(ge=0, allow_inf_nan=False)]
_Names = Annotated[tuple[str, ...], Field(description="a list of names")]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Values:
    """A topic that gives a row of numbers.

    Attributes:
        topic: Its name.
        joints: Of a type that names joints: which of them, in which order; empty for all.
        fields: The paths of the numbers in the message ("linear.x", "points.0.positions"), joined
            in this order; empty for those that its type is known for (`messages.values.FIELDS`).
        names: What the numbers are called, where the message does not say it.
    """

    topic: Annotated[str, Field(min_length=1, description="the name of a topic")]
    joints: _Names = ()
    fields: _Names = ()
    names: _Names = ()

    def __post_init__(self) -> None:
        for key, given in (("joints", self.joints), ("names", self.names)):
            if len(set(given)) < len(given):
                raise ConfigError(f"{key} of {self.topic} has a name twice: {', '.join(given)}")
        if self.joints and self.names:
            raise ConfigError(f"{self.topic} has both joints and names; give one of them")
        if self.joints and len(self.fields) > 1:
            raise ConfigError(
                f"{self.topic} has joints and {len(self.fields)} fields; joints choose from one"
            )


def _values(given: Any) -> Any:
    """A topic alone stands for its values."""
    return {"topic": given} if isinstance(given, str) else given


_Topic = Annotated[
    Values,
    BeforeValidator(_values),
    Field(description="the name of a topic, or {topic: NAME, joints, fields or names: [...]}"),
]


@dataclass(frozen=True, slots=True, config=_CONFIG)
class Mapping:
    """How bags become episodes.

    Attributes:
        state: Where the state comes from.
        action: Where the action comes from.
        extra_joints: Joints that are recorded beside those of a state of JointState: of a
            gripper, say.
        cameras: Topic of each camera name, Image or CompressedImage.
        signals: Topic of VlaSignals; empty for none.
        prediction: Topic of FailureHorizons; empty for none.
        takeover: Topic of Bool that says while a person has the arm, as the action bridge does;
            empty for none. It needs PolicyActions and the clock of the episode topic.
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
        depth_range_mm: Near and far end in mm of each camera that gives depth, which becomes grey
            of 8 bits (`messages.depth`); without it depth is refused.
        encoding: Encoding of each camera whose messages say it wrongly or not at all.
    """

    state: _Topic
    action: _Topic
    cameras: Annotated[dict[str, str], Field(description="{NAME: TOPIC}")] = Field(
        default_factory=dict
    )
    extra_joints: _Names = ()
    signals: str = ""
    prediction: str = ""
    takeover: str = ""
    task: str = ""
    gap_s: float = math.nan
    episode_topic: str = ""
    rate_hz: _Positive = schema.RATE_HZ
    clock_topic: str = ""
    time: Time = "receive"
    max_age_ms: _Age = MAX_AGE_MS
    max_age_of: Annotated[dict[str, _Age], Field(description="{STREAM: MS}")] = Field(
        default_factory=dict
    )
    image_size: Annotated[
        tuple[Annotated[int, Field(gt=0)], Annotated[int, Field(gt=0)]] | None,
        Field(description="[height, width] in pixels"),
    ] = None
    depth_range_mm: Annotated[
        dict[str, tuple[float, float]], Field(description="{CAMERA: [NEAR, FAR]} in mm")
    ] = Field(default_factory=dict)
    encoding: Annotated[dict[str, str], Field(description="{CAMERA: ENCODING}")] = Field(
        default_factory=dict
    )

    def __post_init__(self) -> None:
        if self.gap_s <= 0:
            raise ConfigError(f"gap_s is {self.gap_s}; give a number above 0, or leave it out")
        if taken := {STATE, ACTION, SIGNALS, PREDICTION, JOINT} & set(self.cameras):
            raise ConfigError(f"no camera can be called {', '.join(sorted(taken))}; rename it")
        if self.takeover and self.takeover in self.streams.values():
            raise ConfigError(f"takeover is {self.takeover}, which is another stream already")
        _known("max_age_of", self.max_age_of, "streams", self.streams)
        _known("depth_range_mm", self.depth_range_mm, "cameras", self.cameras)
        _known("encoding", self.encoding, "cameras", self.cameras)
        for camera, (near, far) in self.depth_range_mm.items():
            if not 0 <= near < far < math.inf:
                raise ConfigError(
                    f"depth_range_mm of '{camera}' is {[near, far]}; give [NEAR, FAR] in mm"
                )
        for camera, encoding in self.encoding.items():
            if encoding not in ENCODINGS:
                raise ConfigError(
                    f"encoding of '{camera}' is '{encoding}'; allowed are {', '.join(ENCODINGS)}"
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
        others = {self.episode_topic, self.clock_topic, self.takeover}
        return {*self.streams.values(), *others} - {""}

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
        """Read the form of the YAML file; a key without a value is one that is not there.

        Raises:
            ConfigError: naming the key that is missing, unknown or of the wrong kind, what is
                given and what is allowed.
        """
        keys = [key for key in _descriptions(cls) if key not in _FILE_KEYS]
        keys += ["episodes", "clock"]
        content = _checked(given, "it", keys)
        clock = _checked(content.pop("clock", {}), "clock", ["rate_hz", "topic"])
        if len(clock) > 1:
            raise ConfigError("clock has both rate_hz and topic; give one of them")
        parts = content.pop("episodes", "bag")
        split = {} if parts == "bag" else parts
        if not isinstance(split, dict) or len(split) > 1 or set(split) - {"gap_s", "topic"}:
            raise ConfigError(
                f"episodes is {parts}; allowed are bag, {{gap_s: SECONDS}} and {{topic: NAME}}"
            )
        renamed = {"episodes": split, "clock": clock}
        for name, place in _FILE_KEYS.items():
            part, key = place.split(".")
            if key in renamed[part]:
                content[name] = renamed[part][key]
        try:
            return cls(**content)
        except ValidationError as error:
            raise ConfigError(_said(error, cls)) from error

    def to_dict(self) -> dict[str, Any]:
        """Return the form of the YAML file."""
        parts: Any = "bag" if math.isnan(self.gap_s) else {"gap_s": self.gap_s}
        if self.episode_topic:
            parts = {"topic": self.episode_topic}
        optional = {
            "extra_joints": list(self.extra_joints),
            "max_age_of": dict(self.max_age_of),
            SIGNALS: self.signals,
            PREDICTION: self.prediction,
            "takeover": self.takeover,
            "image_size": list(self.image_size or ()),
            "depth_range_mm": {name: list(ends) for name, ends in self.depth_range_mm.items()},
            "encoding": dict(self.encoding),
        }
        return {
            "cameras": dict(self.cameras),
            STATE: _plain(self.state),
            ACTION: _plain(self.action),
            "task": self.task,
            "episodes": parts,
            "clock": {"topic": self.clock_topic}
            if self.clock_topic
            else {"rate_hz": self.rate_hz},
            "time": self.time,
            "max_age_ms": self.max_age_ms,
            **{key: value for key, value in optional.items() if value},
        }


def _plain(values: Values) -> dict[str, Any]:
    lists = {key: list(getattr(values, key)) for key in ("joints", "fields", "names")}
    return {"topic": values.topic} | {key: value for key, value in lists.items() if value}


def _known(key: str, given: dict[str, Any], what: str, there: dict[str, str]) -> None:
    if unknown := sorted(set(given) - set(there)):
        raise ConfigError(
            f"{key} names {', '.join(unknown)}; the {what} are {', '.join(there) or 'none'}"
        )


def _checked(given: Any, what: str, allowed: list[str]) -> dict[str, Any]:
    """Copy a dictionary whose keys are known, without those that have no value."""
    if not isinstance(given, dict):
        raise ConfigError(f"{what} is {given!r}; give the keys {', '.join(allowed)}")
    if unknown := sorted(str(key) for key in set(given) - set(allowed)):
        raise ConfigError(
            f"{what} has the unknown keys {', '.join(unknown)}; allowed are {', '.join(allowed)}"
        )
    return {key: value for key, value in given.items() if value is not None}


def _descriptions(cls: Any) -> dict[str, str]:
    return {key: one.description or "" for key, one in cls.__pydantic_fields__.items()}


def _said(error: ValidationError, cls: type[Mapping]) -> str:
    """What is wrong with a mapping, in its own keys."""
    return "; ".join(_one(one, _descriptions(cls)) for one in error.errors(include_url=False))


def _one(error: Any, allowed: dict[str, str]) -> str:
    attribute, *rest = (str(part) for part in error["loc"])
    key = ".".join([_FILE_KEYS.get(attribute, attribute), *rest])
    hint = f"; give {allowed[attribute]}" if allowed.get(attribute) else ""
    if error["type"] == "unexpected_keyword_argument":
        return f"{attribute} has the unknown key {rest[-1]}{hint}"
    if error["type"].startswith("missing"):
        return f"it has no {key}{hint}"
    said = error["msg"].replace("Input should", "it should").replace("String should", "it should")
    return f"{key} is {error['input']!r}; {said}{hint}"
