"""Frames of the cameras: as messages, and on /tf where tf2_msgs is."""

import sys
from types import ModuleType
from typing import ClassVar

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from salus_ros.messages.stamps import to_ns
from salus_ros.nodes.frames import transforms
from salus_ros.nodes.simulator import SimulatorNode

BUILT_IN = "salus/PickPlace-v0"


def test_a_pose_becomes_a_transform_from_the_world():
    pose = np.eye(4)
    pose[:3, :3] = Rotation.from_euler("z", 90, degrees=True).as_matrix()
    pose[:3, 3] = [1.0, 2.0, 3.0]
    (one,) = transforms({"front": pose}, 5_000_000_001)
    assert (one.header.frame_id, one.child_frame_id) == ("world", "camera_front_optical_frame")
    assert to_ns(one.header.stamp) == 5_000_000_001
    place, turn = one.transform.translation, one.transform.rotation
    assert (place.x, place.y, place.z) == (1.0, 2.0, 3.0)
    half = np.sqrt(0.5)
    np.testing.assert_allclose([turn.x, turn.y, turn.z, turn.w], [0, 0, half, half], atol=1e-12)


def test_without_tf2_msgs_it_is_said_once(graph, capfd, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2_msgs", None)
    monkeypatch.setitem(sys.modules, "tf2_msgs.msg", None)
    graph.add(SimulatorNode, env_id=BUILT_IN)
    for _ in range(5):
        graph.executor.spin_once(timeout_sec=0.05)
    assert capfd.readouterr().err.count("tf2_msgs is not installed") == 1


def test_every_observation_brings_the_frames_of_its_cameras(graph, monkeypatch):
    class Frames:
        """A publisher in the place of that of /tf."""

        heard: ClassVar[list[list]] = []

        @staticmethod
        def msg_type(transforms):
            return transforms

        def publish(self, message):
            self.heard.append(message)

    monkeypatch.setattr("salus_ros.nodes.simulator.frames_publisher", lambda _: Frames())
    node = graph.add(SimulatorNode, env_id=BUILT_IN, mode="realtime", rate_hz=100.0)
    graph.until(lambda: len(Frames.heard) >= 3)
    first = Frames.heard[0]
    assert [one.child_frame_id for one in first] == [
        f"camera_{name}_optical_frame" for name in ("front", "side", "wrist")
    ]
    stamps = [to_ns(message[0].header.stamp) for message in Frames.heard]
    assert stamps == sorted(set(stamps))
    assert stamps[-1] == node._stamp_ns


@pytest.mark.system_ros("tf2_msgs")
def test_they_arrive_on_tf(graph):
    from tf2_msgs.msg import TFMessage

    assert not isinstance(TFMessage, ModuleType)
    heard = graph.listen(TFMessage, "/tf")
    graph.add(SimulatorNode, env_id=BUILT_IN, mode="realtime")
    graph.until(lambda: heard and len(heard[-1].transforms) == 3)
