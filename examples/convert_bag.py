"""Write a small rosbag2 recording of two joints, and convert it into an episode store.

python examples/convert_bag.py FOLDER
"""

import argparse
from pathlib import Path

import numpy as np
from rosbags.rosbag2 import StoragePlugin, Writer
from rosbags.typesys import Stores, get_typestore

from salus_ros.bags.convert import Converter
from salus_ros.bags.mapping import Mapping, Values
from salus_ros.bags.reading import Bag
from salus_ros.episodes.reader import StoreReader

TYPES = get_typestore(Stores.ROS2_JAZZY)
JOINTS = "sensor_msgs/msg/JointState"
RATE_HZ = 10.0
MAPPING = Mapping(
    state=Values("/joint_states", joints=("lift", "grip")),
    action=Values("/command", joints=("lift", "grip")),
    task="lift the cube",
    rate_hz=RATE_HZ,
)
"""What becomes of the bag; `salus convert BAG --scan --config FILE` proposes one as YAML."""


def main(folder: Path, steps: int) -> None:
    """Write the bag, convert it, read it back."""
    bag, store = folder / "bag", folder / "episodes.zarr"
    write_bag(bag, steps)
    with Converter(MAPPING, store) as converter, Bag(bag) as opened:
        report = converter.convert(opened)
    print(f"{report['episodes']} episode of {report['steps']} steps in {store}")
    for problem in report["problems"]:
        print(f"  left out: {problem}")
    print(f"  last state: {StoreReader(store).episode(0).state[-1]}")


def write_bag(path: Path, steps: int) -> None:
    """Write joint states and commands at `RATE_HZ`."""
    with Writer(path, version=9, storage_plugin=StoragePlugin.MCAP) as writer:
        topics = {
            topic: writer.add_connection(topic, JOINTS, typestore=TYPES)
            for topic in ("/joint_states", "/command")
        }
        for step in range(steps):
            stamp_ns = round(1e9 + step * 1e9 / RATE_HZ)
            for topic, ahead in (("/joint_states", 0), ("/command", 1)):
                message = joint_state(stamp_ns, 0.01 * (step + ahead))
                writer.write(topics[topic], stamp_ns, TYPES.serialize_cdr(message, JOINTS))


def joint_state(stamp_ns: int, lift: float) -> object:
    """A JointState of both joints."""
    time = TYPES.types["builtin_interfaces/msg/Time"](*divmod(stamp_ns, 10**9))
    header = TYPES.types["std_msgs/msg/Header"](stamp=time, frame_id="")
    none = np.zeros(0)
    return TYPES.types[JOINTS](header, ["lift", "grip"], np.array([lift, 0.5]), none, none)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Convert a small bag.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--steps", type=int, default=50)
    given = parser.parse_args()
    given.folder.mkdir(parents=True, exist_ok=True)
    main(given.folder, given.steps)
