"""Conversion of a bag against `rosbags` alone, which only decodes every message of it.

The bag has three cameras of 256x256 with the frames of the shipped pictures, joints and actions
at 30 Hz, in three episodes with a silence between them. Both read the same files in one run, in
turns, and the best of each counts. At least 0.7 times the speed was asked.

Decoding leaves raw frames as they are, a copy in memory; conversion writes a store of them,
compressed. What that alone takes, of frames that are in memory already, is measured beside it:
`store_s`, and the ratio of decoding and storing one after the other to the conversion.

    python benchmark/bench_convert.py [--json] [--steps 300] [--repeat 3] [--kinds mcap ...]
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, Reader, StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from salus_ros.bags.convert import Converter
from salus_ros.bags.mapping import Mapping, Values
from salus_ros.bags.reading import Bag
from salus_ros.core.schema import RATE_HZ
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.episodes.shipped import shipped
from salus_ros.worlds.panda import CAMERAS

RESULTS = Path(__file__).parent / "results" / "convert.json"
ASKED_RATIO = 0.7
PERIOD_NS = round(1e9 / RATE_HZ)
JOINTS = [f"panda_joint{number}" for number in range(1, 8)]
KINDS = {
    "mcap": (StoragePlugin.MCAP, None),
    "sqlite3": (StoragePlugin.SQLITE3, None),
    "mcap_zstd": (StoragePlugin.MCAP, CompressionMode.MESSAGE),
}
MAPPING = Mapping(
    state=Values("/joint_states", joints=tuple(JOINTS)),
    action=Values("/action"),
    cameras={camera: f"/camera/{camera}/image_raw" for camera in CAMERAS},
    task="lift the cube",
    clock_topic="/joint_states",
    gap_s=1.0,
)
EPISODES = 3
SILENCE_NS = 5 * 10**9
TYPES = get_typestore(Stores.ROS2_JAZZY)


def write_bag(path: Path, kind: str, steps: int) -> None:
    """Write a bag of the frames, states and actions of the shipped pictures."""
    storage, compression = KINDS[kind]
    writer = Writer(path, version=9, storage_plugin=storage)
    if compression is not None:
        writer.set_compression(compression, CompressionFormat.ZSTD)
    make = {name.rpartition("/")[2]: cls for name, cls in TYPES.types.items()}
    names = dict.fromkeys(MAPPING.cameras.values(), "sensor_msgs/msg/Image")
    names |= {"/joint_states": "sensor_msgs/msg/JointState"}
    names |= {"/action": "std_msgs/msg/Float64MultiArray"}
    none = np.zeros(0)
    with writer:
        topics = {n: writer.add_connection(n, kind, typestore=TYPES) for n, kind in names.items()}

        def write(topic: str, stamp_ns: int, message: Any) -> None:
            writer.write(topics[topic], stamp_ns, TYPES.serialize_cdr(message, names[topic]))

        for t, (images, state, action) in zip(range(steps), _rows(), strict=False):
            stamp_ns = 1_000_000_000 + t * PERIOD_NS + t * EPISODES // steps * SILENCE_NS
            stamp = make["Time"](sec=stamp_ns // 10**9, nanosec=stamp_ns % 10**9)
            header = make["Header"](stamp=stamp, frame_id="")
            for camera, pixels in images.items():
                height, width, _ = pixels.shape
                message = make["Image"](
                    header, height, width, "rgb8", is_bigendian=0, step=3 * width,
                    data=pixels.ravel(),
                )  # fmt: skip
                write(MAPPING.cameras[camera], stamp_ns, message)
            joints = make["JointState"](header, JOINTS, state.astype(np.float64), none, none)
            write("/joint_states", stamp_ns, joints)
            layout = make["MultiArrayLayout"](dim=[], data_offset=0)
            write("/action", stamp_ns, make["Float64MultiArray"](layout, action.astype(float)))


def _rows() -> Any:
    reader = StoreReader(shipped("pictures"))
    while True:
        for index in range(len(reader)):
            episode = reader.episode(index)
            for t in range(len(episode)):
                images = {camera: episode.images[camera][t] for camera in CAMERAS}
                yield images, episode.state[t], episode.action[t]


def decode(path: Path) -> int:
    """Decode every message of a bag as `rosbags` does; returns how many there are."""
    count = 0
    with Reader(path) as reader:
        for connection, _, data in reader.messages():
            TYPES.deserialize_cdr(data, connection.msgtype)
            count += 1
    return count


def convert(path: Path, out: Path) -> int:
    """Convert a bag; returns the steps written."""
    with Converter(MAPPING, out) as converter, Bag(path) as bag:
        report = converter.convert(bag)
    assert not report["problems"], report["problems"]
    return int(report["steps"])


def store(converted: Path, out: Path) -> float:
    """Seconds that writing the episodes of a store again takes, from memory."""
    reader = StoreReader(converted)
    episodes = [reader.episode(index) for index in range(len(reader))]
    started = time.perf_counter()
    with EpisodeStore.create(out, reader.spec) as made:
        for episode in episodes:
            made.append(episode)
    return time.perf_counter() - started


def measure(kind: str, steps: int, repeat: int) -> dict[str, Any]:
    """Seconds of both, the best of several turns."""
    decode_s, convert_s, store_s = [], [], []
    with tempfile.TemporaryDirectory() as folder:
        bag = Path(folder) / "bag"
        write_bag(bag, kind, steps)
        size = sum(file.stat().st_size for file in bag.iterdir())
        for turn in range(repeat):
            started = time.perf_counter()
            messages = decode(bag)
            decode_s.append(time.perf_counter() - started)
            started = time.perf_counter()
            out = Path(folder) / f"{turn}.zarr"
            written = convert(bag, out)
            convert_s.append(time.perf_counter() - started)
            store_s.append(store(out, Path(folder) / f"{turn}_again.zarr"))
            assert written == steps
    return {
        "bag_mb": round(size / 1e6, 1),
        "messages": messages,
        "rosbags_s": round(min(decode_s), 3),
        "convert_s": round(min(convert_s), 3),
        "store_s": round(min(store_s), 3),
        "steps_per_s": round(steps / min(convert_s), 1),
        "ratio": round(min(decode_s) / min(convert_s), 3),
        "ratio_decoded_and_stored": round((min(decode_s) + min(store_s)) / min(convert_s), 3),
    }


def main() -> None:
    """Measure each kind of bag, print and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    figures = {
        "benchmark": "convert",
        "command": "python benchmark/bench_convert.py",
        "steps": arguments.steps,
        "episodes": EPISODES,
        "cores": os.cpu_count(),
        "asked_ratio": ASKED_RATIO,
        "bags": {k: measure(k, arguments.steps, arguments.repeat) for k in arguments.kinds},
    }
    if set(arguments.kinds) == set(KINDS):
        RESULTS.write_text(json.dumps(figures, indent=2) + "\n")
    if arguments.json:
        print(json.dumps(figures))
        return
    print(f"converting {arguments.steps} steps of three cameras ({figures['cores']} cores)")
    for kind, one in figures["bags"].items():
        print(f"  {kind:10} rosbags alone {one['rosbags_s']:7.3f} s   "
              f"salus convert {one['convert_s']:7.3f} s   ratio {one['ratio']:.2f} "
              f"(asked: {ASKED_RATIO}), with storing alone {one['store_s']:.3f} s: "
              f"{one['ratio_decoded_and_stored']:.2f}")  # fmt: skip


if __name__ == "__main__":
    main()
