"""A mapping that might fit a bag, and what a person should know of it."""

import math
import re
import textwrap
from collections.abc import Iterable
from os.path import commonpath
from pathlib import PurePosixPath
from typing import Any

import yaml

from salus_ros.bags.mapping import ACTION, MAX_AGE_MS, PREDICTION, SIGNALS, STATE
from salus_ros.core import schema
from salus_ros.messages.images import assumed_colours
from salus_ros.messages.kinds import (
    ARRAYS,
    BOOL,
    EPISODE_STATUS,
    FAILURE_HORIZONS,
    IMAGES,
    JOINT_STATE,
    JOINT_TRAJECTORY,
    POLICY_ACTION,
    STATE_JOINTS,
    VLA_SIGNALS,
)
from salus_ros.messages.values import VALUES

PERIODS = 3
"""A stream of a proposed mapping has a gap when so many of its periods pass without a sample."""

WHOLE_SHARE = 0.005
"""Part by which a measured rate may differ from a whole number and be taken for it."""

_COMMAND = {"act", "action", "actions", "cmd", "command", "commands", "commanded", "desired"}
_COMMAND |= {"goal", "goals", "in", "input", "leader", "master", "ref", "reference", "references"}
_COMMAND |= {"setpoint", "setpoints", "target", "targets", "teleop"}
_STATE = {"state", "states", "measured", "feedback", "actual", "current", "follower"}
_STATE |= {"observation"}
_OURS = {SIGNALS: VLA_SIGNALS, PREDICTION: FAILURE_HORIZONS}
_PLAIN = {"image", "raw", "compressed", "compresseddepth", "color", "rgb", "rect", "camera"}
_PLAIN |= {"cameras", "observation"}
_VIDEO = ("ffmpegpacket", "theora", "compressedvideo")

type Topics = list[dict[str, Any]]
"""What `scan` has found."""


def propose(topics: Topics) -> dict[str, Any]:
    """Guess a mapping, in the form of its file, from what a scan has found.

    A state or an action that no topic looks like, or several do, is left empty, for a person to
    fill in; `notes` names the candidates.
    """
    used = [topic for topic in topics if topic["messages"]]
    by_kind: dict[str, list[str]] = {}
    for topic in used:
        by_kind.setdefault(topic["type"], []).append(topic["topic"])
    cameras = {name: taken[0]["topic"] for name, taken in _cameras(used).items()}
    state = _state(used)
    episodes = by_kind.get(EPISODE_STATUS, [])
    rates = {one["topic"]: one["rate_hz"] for one in used if one["rate_hz"]}
    seen_at = [rates[name] for name in cameras.values() if name in rates]
    slowest = min(seen_at or [rates.get(state["topic"], schema.RATE_HZ), schema.RATE_HZ])
    mapping: dict[str, Any] = {
        "cameras": cameras,
        "state": state,
        "action": {"topic": _one(_actions(used))},
        **_extra_joints(used, state),
        **{name: by_kind[kind][0] for name, kind in _OURS.items() if kind in by_kind},
        **_takeover(used),
        "task": "",
        "episodes": {"topic": episodes[0]} if episodes else "bag",
        "clock": {"topic": episodes[0]} if episodes else {"rate_hz": _nice(slowest)},
        # The graph stamps an action with its observation, which it is received after.
        "time": "header" if episodes else "receive",
        "max_age_ms": MAX_AGE_MS,
    }
    streams = cameras | {STATE: state["topic"], ACTION: mapping["action"]["topic"]}
    ages = {
        name: PERIODS * 1e3 / rates[topic] for name, topic in streams.items() if topic in rates
    }
    slow = {name: round(age) for name, age in ages.items() if age > MAX_AGE_MS}
    if slow and not episodes:  # rates are those of receiving, which is not the clock of a graph
        mapping["max_age_of"] = slow
    sizes: set[tuple[int, ...]] = {
        tuple(one["size"]) for one in used if one["topic"] in cameras.values() if "size" in one
    }
    if len(sizes) > 1:  # the smallest: larger ones lose, smaller ones would be made up
        mapping["image_size"] = list(min(sizes, key=math.prod))
    return mapping


def notes(topics: Topics, mapping: dict[str, Any]) -> list[str]:
    """What a person should know of a proposed mapping: what it leaves out or assumes."""
    used = [topic for topic in topics if topic["messages"]]
    said: list[str] = []
    roles: list[tuple[str, list[str]]] = [(STATE, _states(used)), (ACTION, _actions(used))]
    for role, candidates in roles:
        taken = mapping[role]["topic"]
        others = [one for one in candidates if one != taken]
        if not taken and others:
            said.append(f"{role}: which topic it is cannot be told; one of {', '.join(others)}")
        elif not taken:
            said.append(f"{role}: no topic looks like it; name one")
        elif others:
            said.append(f"{role}: {taken} is taken; it could also be {', '.join(others)}")
    if mapping[STATE].get("joints") and any(
        one.get("partial") for one in used if one["topic"] == mapping[STATE]["topic"]
    ):
        said.append("state: its messages name some of the joints each; all are listed")
    for name, same in _cameras(used).items():
        if assumed := assumed_colours(name, same[0].get("encoding", "")):
            said.append(assumed)
        for other in same[1:]:
            said.append(f"camera {name}: {other['topic']} is left out beside {same[0]['topic']}")
    said += [why for one in used if (why := _left_out(one))]
    if "image_size" in mapping:
        height, width = mapping["image_size"]
        said.append(f"image_size: the cameras differ; all are scaled to {width}x{height}")
    if not mapping["task"] and mapping["episodes"] == "bag":
        said.append(
            "task: it is empty; say what the robot was told to do, or a policy that follows "
            "language has nothing to follow"
        )
    return said


def to_yaml(mapping: dict[str, Any], said: Iterable[str]) -> str:
    """Text of a mapping's file, with notes as comments before it."""
    lines = [
        line
        for note in said
        for line in textwrap.wrap(
            note, 99, initial_indent="# ", subsequent_indent="#   ", break_long_words=False
        )
    ]
    return "\n".join([*lines, ""]) * bool(lines) + yaml.safe_dump(mapping, sort_keys=False)


# States and actions


def _states(used: Topics) -> list[str]:
    """Topics that may be the state, those alone that look most like it."""
    joints = [one["topic"] for one in used if one["type"] == JOINT_STATE]
    arrays = [one["topic"] for one in used if one["type"] in ARRAYS]
    others = [one["topic"] for one in used if one["type"] in VALUES and _is_state(one["topic"])]
    taken = _one(_actions(used))
    for those in (joints, arrays, others):
        called = [topic for topic in those if _is_state(topic) and not _is_command(topic)]
        plain = [topic for topic in those if not _is_state(topic) and not _is_command(topic)]
        unsure = [topic for topic in those if _is_state(topic) and _is_command(topic)]
        for found in (called, plain, unsure):
            if rest := [topic for topic in found if topic != taken]:
                return rest
    return []


def _actions(used: Topics) -> list[str]:
    """Topics that may be the action, those alone that look most like it."""
    if ours := [one["topic"] for one in used if one["type"] == POLICY_ACTION]:
        return ours
    called = [
        one
        for one in used
        if not _is_state(one["topic"])
        and (_is_command(one["topic"]) or one["type"] == JOINT_TRAJECTORY)
    ]
    rows = {JOINT_TRAJECTORY, JOINT_STATE, *ARRAYS}
    poses = {kind for kind in VALUES if kind not in rows and not kind.startswith("std_msgs")}
    for kinds in (rows, poses, set(VALUES)):
        if found := [one["topic"] for one in called if one["type"] in kinds]:
            return found
    joints = any(one["type"] == JOINT_STATE for one in used)
    arrays = [one["topic"] for one in used if one["type"] in ARRAYS]
    return [topic for topic in arrays if joints and not _is_state(topic)]


def _state(used: Topics) -> dict[str, Any]:
    topic = _one(_states(used))
    state: dict[str, Any] = {"topic": topic}
    about = next((one for one in used if one["topic"] == topic), {})
    names = about.get("joints", [])
    graph = any(one["type"] == POLICY_ACTION for one in used)
    if graph and set(STATE_JOINTS) <= set(names):
        state["joints"] = list(STATE_JOINTS)
    elif about.get("partial"):
        state["joints"] = list(names)
    return state


def _takeover(used: Topics) -> dict[str, Any]:
    """Where the action bridge of a graph says that a person has the arm."""
    graph = {EPISODE_STATUS, POLICY_ACTION} <= {one["type"] for one in used}
    said = [one["topic"] for one in used if one["type"] == BOOL]
    named = [topic for topic in said if topic.rsplit("/", 1)[-1] == "intervention"]
    return {"takeover": named[0]} if graph and named else {}


def _extra_joints(used: Topics, state: dict[str, Any]) -> dict[str, Any]:
    """Joints of the state's topic that the state leaves out: those of the gripper."""
    about = next((one for one in used if one["topic"] == state["topic"]), {})
    chosen = state.get("joints", [])
    others = [name for name in about.get("joints", []) if name not in chosen]
    return {"extra_joints": others} if chosen and others else {}


def _one(candidates: list[str]) -> str:
    """The candidate whose name has the fewest parts; empty where it cannot be told."""
    parts = [len(PurePosixPath(topic).parts) for topic in candidates]
    if not parts or parts.count(min(parts)) > 1:
        return ""
    return candidates[parts.index(min(parts))]


def _is_state(topic: str) -> bool:
    return bool(_words(topic) & _STATE)


def _is_command(topic: str) -> bool:
    return bool(_words(topic) & _COMMAND)


def _words(topic: str) -> set[str]:
    """Words of a topic's name: "/arm/jointTarget_1" has arm, joint, target and 1."""
    return {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|\d+", topic)}


# Cameras


def _cameras(used: Topics) -> dict[str, Topics]:
    """Topics of each camera, raw before compressed; those that cannot be one are left out."""
    images = [one for one in used if one["type"] in IMAGES and not _left_out(one)]
    images.sort(key=lambda one: one["topic"])  # raw sorts before compressed
    shared = _shared_folder([one["topic"] for one in images])
    cameras: dict[str, Topics] = {}
    for one in images:
        cameras.setdefault(_camera_name(one["topic"].removeprefix(shared)), []).append(one)
    return cameras


def _left_out(one: dict[str, Any]) -> str:
    """Why an image topic is no camera of the proposal; empty where it is one."""
    topic, kind = one["topic"], one["type"]
    if any(word in kind.lower() for word in _VIDEO):
        return f"{topic} is left out: {kind} is video; republish it as images and record it again"
    if kind not in IMAGES:
        return ""
    if one.get("problem"):
        return f"{topic} is left out: {one['problem']}"
    if one.get("depth") or "depth" in topic.lower():
        near, far = one.get("range_mm", ("NEAR", "FAR"))
        return (
            f"{topic} is left out: it is depth; to have it, name it in cameras and give "
            f"depth_range_mm: {{NAME: [{near}, {far}]}}, in mm"
        )
    return ""


def _shared_folder(topics: list[str]) -> str:
    """The folder that all topics lie in, with its last slash; "/" for one topic alone."""
    folders = [str(PurePosixPath("/", topic).parent) for topic in topics]
    return commonpath(folders).rstrip("/") + "/" if len(topics) > 1 else "/"


def _camera_name(topic: str) -> str:
    words = topic.replace("/", "_").split("_")
    return "_".join(word for word in words if word and word.lower() not in _PLAIN) or "camera"


def _nice(rate_hz: float) -> float:
    whole = round(rate_hz)
    near = whole and abs(rate_hz - whole) <= WHOLE_SHARE * whole
    return float(whole) if near else round(rate_hz, 2)
