"""Bags written for tests: a camera, joints and an action at 10 Hz, each value tells its step."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.typesys import Stores, get_types_from_msg, get_typestore

from salus_ros.bags.mapping import Mapping, Values

TYPES = get_typestore(Stores.ROS2_JAZZY)
START_NS, PERIOD_NS = 1_000_000_000, 100_000_000
IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINTS, ARRAY = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"
STATUS = "salus_msgs/msg/EpisodeStatus"
STATUS_TEXT = (Path(__file__).parents[2] / "salus_msgs/msg/EpisodeStatus.msg").read_text()
TYPES.register(get_types_from_msg(STATUS_TEXT, STATUS))
POLICY_ACTION = "salus_msgs/msg/PolicyAction"
for _name in ("StreamStamp", "PolicyAction"):
    _text = (Path(__file__).parents[2] / f"salus_msgs/msg/{_name}.msg").read_text()
    TYPES.register(get_types_from_msg(_text, f"salus_msgs/msg/{_name}"))
MAPPING = Mapping(
    state=Values("/joints", joints=("b", "a")),
    action=Values("/act"),
    cameras={"front": "/cam"},
    task="lift",
    rate_hz=10.0,
)


def make(kind, **fields):
    """A message object."""
    return TYPES.types[kind](**fields)


def header(stamp_ns):
    """A header of a stamp."""
    time = make("builtin_interfaces/msg/Time", sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
    return make("std_msgs/msg/Header", stamp=time, frame_id="")


def picture(step, size=(4, 6)):
    """RGB image whose first channel is the step."""
    pixels = np.zeros((*size, 3), np.uint8)
    pixels[...] = (step, 100, 200)
    return pixels


def image(stamp_ns, pixels, encoding="rgb8"):
    """A raw image of uint8 (H, W, C)."""
    height, width, channels = pixels.shape
    return make(
        IMAGE,
        header=header(stamp_ns),
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=0,
        step=width * channels,
        data=pixels.ravel(),
    )


def joints(stamp_ns, a, b, *, swap=False):
    """Positions of the joints a and b, or b and a."""
    none = np.zeros(0)
    names, both = ["a", "b"], np.array([a, b], np.float64)
    if swap:
        names, both = names[::-1], both[::-1].copy()
    return make(
        JOINTS, header=header(stamp_ns), name=names, position=both, velocity=none, effort=none
    )


def policy_action(stamp_ns, episode_id, step, action, intervention=""):
    """A PolicyAction, without what only the watch node reads."""
    return make(
        POLICY_ACTION,
        header=header(stamp_ns),
        episode_id=episode_id,
        step=step,
        action=np.float32(action),
        inputs=[],
        policy_id="tiny",
        intervention=intervention,
        hand_backs=0,
        chunk=np.float32([]),
        chunk_length=0,
        chunk_step=0,
        chunk_samples=np.float32([]),
        num_samples=0,
        action_scale=np.float32([]),
    )


def array(values):
    """A Float64MultiArray."""
    layout = make("std_msgs/msg/MultiArrayLayout", dim=[], data_offset=0)
    return make(ARRAY, layout=layout, data=np.array(values, np.float64))


def status(stamp_ns, episode_id, step, phase, **fields):
    """An EpisodeStatus."""
    given = {
        "outcome": 0,
        "failure_type": 0,
        "failure_cause": "",
        "failure_step": -1,
        "failure_time": np.nan,
        "seed": 7,
        "fault": "none",
        "fault_step": -1,
        "fault_strength": np.nan,
        "condition": "",
        "world": "",
        "task": "lift",
        "rate_hz": 10.0,
        "max_steps": 0,
    } | fields
    return make(
        STATUS,
        header=header(stamp_ns),
        episode_id=episode_id,
        step=step,
        phase=phase,
        **given,
    )


@dataclass
class Recording:
    """Messages to write: (topic, type, receive time in ns, message or its bytes)."""

    messages: list[tuple] = field(default_factory=list)

    def add(self, topic, kind, receive_ns, message):
        """Add a message."""
        self.messages.append((topic, kind, receive_ns, message))

    def write(self, path, storage="mcap", compression=None, names=None):
        """Write the bag; `names` gives types other names than they have."""
        writer = Writer(path, version=9, storage_plugin=StoragePlugin[storage.upper()])
        if compression:
            writer.set_compression(CompressionMode[compression.upper()], CompressionFormat.ZSTD)
        with writer:
            connections = {}
            for topic, kind, receive_ns, message in self.messages:
                if topic not in connections:
                    text, _ = TYPES.generate_msgdef(kind, ros_version=2)
                    connections[topic] = writer.add_connection(
                        topic,
                        (names or {}).get(kind, kind),
                        msgdef=text,
                        rihs01=TYPES.hash_rihs01(kind),
                    )
                if not isinstance(message, bytes):
                    message = TYPES.serialize_cdr(message, kind)
                writer.write(connections[topic], receive_ns, message)
        return path


def recording(steps=10, start_ns=START_NS, first=0, delay_ns=10_000_000, size=(4, 6), swap=False):
    """Steps of camera, joints and action; each is received 10 ms after its stamp."""
    made = Recording()
    for step in range(first, first + steps):
        stamp_ns = start_ns + (step - first) * PERIOD_NS
        receive_ns = stamp_ns + delay_ns
        made.add("/cam", IMAGE, receive_ns, image(stamp_ns, picture(step, size)))
        made.add("/joints", JOINTS, receive_ns, joints(stamp_ns, step, step + 0.5, swap=swap))
        made.add("/act", ARRAY, receive_ns, array([step, 2 * step, 3 * step]))
    return made


def check_steps(reader, index=0, steps=10, first=0):
    """Whether an episode of a store holds the steps of `recording`."""
    episode = reader.episode(index)
    numbers = np.arange(first, first + steps)
    np.testing.assert_array_equal(episode.images["front"][:, 0, 0, 0], numbers)
    np.testing.assert_array_equal(episode.images["front"][:, 0, 0, 1:], [[100, 200]] * steps)
    np.testing.assert_array_equal(episode.state, np.stack([numbers + 0.5, numbers], 1))
    np.testing.assert_array_equal(episode.action, numbers[:, None] * [1, 2, 3])
