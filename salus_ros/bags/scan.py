"""What a bag holds."""

from contextlib import suppress
from typing import Any

import numpy as np

from salus_ros.bags.reading import Bag, Message
from salus_ros.core.errors import ObservationError
from salus_ros.messages.depth import depth_mm, encoding_of, is_depth
from salus_ros.messages.images import read_image
from salus_ros.messages.joints import read_joints
from salus_ros.messages.kinds import IMAGES, JOINT_STATE
from salus_ros.messages.pixels import RECORDING
from salus_ros.messages.stamps import NANO

LOOKED_AT = 200
"""Joint states of a topic that are looked at for the names of its joints."""

SILENCE_S, SILENCE_PERIODS = 1.0, 10
"""A silence that is longer than both is none of a topic's rate: the recording was paused."""


def scan(bag: Bag) -> list[dict[str, Any]]:
    """Look through a whole bag.

    Returns:
        Per topic, in the order of their names: its name, type, whether the type's definition is
        known, the figures of `rate_figures` by receive time, and what its first messages show. Of
        joint states the names of all joints, and whether messages name only some of them each; of
        images size (height, width), encoding, whether they are depth, the range of that in mm, and
        why they cannot be read.
    """
    stamps: dict[str, list[int]] = {topic: [] for topic in bag.types}
    shown: dict[str, dict[str, Any]] = {topic: {} for topic in bag.types}
    for message in bag.messages(set(stamps)):
        seen = stamps[message.topic]
        seen.append(message.receive_ns)
        if message.kind == JOINT_STATE and len(seen) <= LOOKED_AT:
            _look_at_joints(bag, message, shown[message.topic])
        elif message.kind in IMAGES and "size" not in shown[message.topic]:
            _look_at_image(bag, message, shown[message.topic])
    return [
        {"topic": topic, "type": bag.types[topic], "known": bag.knows(bag.types[topic])}
        | rate_figures(stamps[topic])
        | shown[topic]
        for topic in sorted(stamps)
    ]


def rate_figures(stamps_ns: list[int]) -> dict[str, Any]:
    """Count, rate, duration and gaps of messages; what two are needed for is None without.

    The rate is that of messages over their duration, without the silences in it: what comes in
    bursts has the rate at which it comes, not that of a burst.

    Args:
        stamps_ns: When each was received.
    """
    steps_s = np.diff(np.sort(np.asarray(stamps_ns, np.int64))) / NANO
    figures: dict[str, Any] = {
        "messages": len(stamps_ns),
        "rate_hz": None,
        "duration_s": None,
        "largest_gap_s": None,
        "gaps": 0,
    }
    if not steps_s.size or not steps_s.any():
        return figures
    longest_s = max(SILENCE_S, SILENCE_PERIODS * float(steps_s.mean()))
    heard = steps_s[steps_s <= longest_s]
    period_s = float(heard.mean()) if heard.any() else float(steps_s.mean())
    return figures | {
        "rate_hz": 1 / period_s,
        "duration_s": float(steps_s.sum()),
        "largest_gap_s": float(steps_s.max()),
        "gaps": int(np.count_nonzero(steps_s > 2 * period_s)),
    }


def _look_at_joints(bag: Bag, message: Message, shown: dict[str, Any]) -> None:
    with suppress(ObservationError):
        names, _ = read_joints(bag.decode(message))
        known = shown.setdefault("joints", list(names))
        shown["partial"] = shown.get("partial", False) or set(names) != set(known)
        known += [name for name in names if name not in known]


def _look_at_image(bag: Bag, message: Message, shown: dict[str, Any]) -> None:
    """Look at an image; at the next one too where this one cannot be read."""
    try:
        decoded = bag.decode(message)
        shown["encoding"], shown["depth"] = encoding_of(decoded), is_depth(decoded)
        if shown["depth"]:
            distances = depth_mm(decoded, message.topic, advice=RECORDING)
            shown["size"] = list(distances.shape)
            if (measured := distances[distances > 0]).size:
                shown["range_mm"] = [float(measured.min()), float(measured.max())]
        else:
            shown["size"] = list(read_image(decoded, message.topic, advice=RECORDING).shape[:2])
        shown.pop("problem", None)
    except ObservationError as error:
        shown.setdefault("problem", str(error))
