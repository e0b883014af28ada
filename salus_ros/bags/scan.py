"""What a bag holds, and a mapping that might fit it."""

from contextlib import suppress
from os.path import commonpath
from pathlib import PurePosixPath
from typing import Any

from salus_ros.bags.mapping import ACTION, MAX_AGE_MS, PREDICTION, SIGNALS, STATE
from salus_ros.bags.reading import Bag
from salus_ros.bags.sampling import Timeline
from salus_ros.core import schema
from salus_ros.core.errors import ObservationError
from salus_ros.messages.kinds import (
    ARRAYS,
    EPISODE_STATUS,
    FAILURE_HORIZONS,
    IMAGES,
    JOINT_STATE,
    POLICY_ACTION,
    VLA_SIGNALS,
)

PERIODS = 3
"""A stream of a proposed mapping has a gap when so many of its periods pass without a sample."""

STATE_JOINTS = tuple(f"panda_joint{number}" for number in range(1, 8))
"""Joints that the graph takes as its state if nothing else is said."""

_COMMANDS = ("action", "command", "cmd", "target", "leader")
_OURS = {SIGNALS: VLA_SIGNALS, PREDICTION: FAILURE_HORIZONS}
_PLAIN = {"image", "raw", "compressed", "color", "rgb", "rect", "camera", "cameras", "observation"}


def scan(bag: Bag) -> list[dict[str, Any]]:
    """Look through a whole bag.

    Returns:
        Per topic its name, type, whether the type's definition is known, the figures of
        `Timeline.to_json` by receive time and, where they are known, the names of its joints, in
        the order of the topics' names.
    """
    stamps: dict[str, list[int]] = {topic: [] for topic in bag.types}
    joints: dict[str, list[str]] = {}
    for message in bag.messages(set(stamps)):
        stamps[message.topic].append(message.receive_ns)
        if message.kind == JOINT_STATE and message.topic not in joints:
            with suppress(ObservationError):
                joints[message.topic] = list(bag.decode(message).name)
    return [
        {"topic": topic, "type": bag.types[topic], "known": bag.knows(bag.types[topic])}
        | Timeline.of(stamps[topic]).to_json()
        | ({"joints": joints[topic]} if topic in joints else {})
        for topic in sorted(stamps)
    ]


def propose(topics: list[dict[str, Any]]) -> dict[str, Any]:
    """Guess a mapping, in the form of its file, from the types and names of a scan's topics.

    A state or an action that no topic looks like is left empty, for a person to fill in.
    """
    used = [topic for topic in topics if topic["messages"]]
    by_kind: dict[str, list[str]] = {}
    for topic in used:
        by_kind.setdefault(topic["type"], []).append(topic["topic"])
    cameras: dict[str, str] = {}
    images = sorted(name for kind in IMAGES for name in by_kind.get(kind, []))
    shared = _shared_folder(images)
    for name in images:
        if "depth" not in name:
            # Raw sorts before compressed.
            cameras.setdefault(_camera_name(name.removeprefix(shared)), name)
    joints = by_kind.get(JOINT_STATE, [])
    arrays = [name for kind in ARRAYS for name in by_kind.get(kind, [])]
    commands = [n for n in (*arrays, *joints) if any(word in n.lower() for word in _COMMANDS)]
    commands = by_kind.get(POLICY_ACTION, []) + commands
    commands = commands or (arrays if joints else [])
    states = [name for name in (*joints, *arrays) if name not in commands]
    state: dict[str, Any] = {"topic": next(iter(states), "")}
    names = next((topic.get("joints", ()) for topic in used if topic["topic"] in states[:1]), ())
    if POLICY_ACTION in by_kind and set(STATE_JOINTS) <= set(names):
        state["joints"] = list(STATE_JOINTS)  # the others are those of the gripper
    episodes = by_kind.get(EPISODE_STATUS, [])
    rates = {one["topic"]: one["rate_hz"] for one in used if one["rate_hz"]}
    slowest = min((rates[name] for name in cameras.values() if name in rates), default=None)
    mapping: dict[str, Any] = {
        "cameras": cameras,
        "state": state,
        "action": {"topic": next(iter(commands), "")},
        **{name: by_kind[kind][0] for name, kind in _OURS.items() if kind in by_kind},
        "task": "",
        "episodes": {"topic": episodes[0]} if episodes else "bag",
        "clock": {"topic": episodes[0]}
        if episodes
        else {"rate_hz": round(slowest or schema.RATE_HZ, 2)},
        # The graph stamps an action with its observation, which it is received after.
        "time": "header" if episodes else "receive",
        "max_age_ms": MAX_AGE_MS,
    }
    streams = cameras | {STATE: state["topic"], ACTION: mapping["action"]["topic"]}
    ages = {
        name: PERIODS * 1e3 / rates[topic] for name, topic in streams.items() if topic in rates
    }
    slow = {name: round(age) for name, age in ages.items() if age > MAX_AGE_MS}
    return mapping | ({"max_age_of": slow} if slow else {})


def _shared_folder(topics: list[str]) -> str:
    """The folder that all topics lie in, with its last slash; "/" for one topic alone."""
    folders = [str(PurePosixPath("/", topic).parent) for topic in topics]
    return commonpath(folders).rstrip("/") + "/" if len(topics) > 1 else "/"


def _camera_name(topic: str) -> str:
    words = topic.replace("/", "_").split("_")
    return "_".join(word for word in words if word and word not in _PLAIN) or "camera"
