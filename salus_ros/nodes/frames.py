"""Frames of the cameras, so that rviz and tf2 know where an image was taken from."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from geometry_msgs.msg import TransformStamped
from numpy.typing import NDArray
from rclpy.publisher import Publisher
from scipy.spatial.transform import Rotation
from std_msgs.msg import Header

from salus_ros.nodes import convert
from salus_ros.nodes.base import SalusNode
from salus_ros.nodes.qos import stream_qos

WORLD = "world"


def camera_frame(camera: str) -> str:
    """Name of the frame in which images of a camera are: z forward, x right, y down."""
    return f"camera_{camera}_optical_frame"


def frames_publisher(node: SalusNode[Any]) -> Publisher | None:
    """Publisher of `/tf`; None, and a line in the log, where tf2_msgs is not installed."""
    try:
        from tf2_msgs.msg import TFMessage
    except ImportError:
        node.get_logger().info(
            "tf2_msgs is not installed (it comes with a ROS 2 Jazzy, not from PyPI): the frames "
            "of the cameras are not published"
        )
        return None
    return node.create_publisher(TFMessage, "/tf", stream_qos())


def transforms(poses: Mapping[str, NDArray[np.float64]], stamp_ns: int) -> list[TransformStamped]:
    """Make the transforms from the world to the cameras.

    Args:
        poses: Per camera its pose in the world, homogeneous (4, 4), in m.
        stamp_ns: Stamp of the images.
    """
    made = []
    for camera, pose in poses.items():
        head: Header = convert.header(stamp_ns, WORLD)
        one = TransformStamped(header=head, child_frame_id=camera_frame(camera))
        place, turn = one.transform.translation, one.transform.rotation
        place.x, place.y, place.z = (float(value) for value in pose[:3, 3])
        quaternion = Rotation.from_matrix(pose[:3, :3]).as_quat()
        turn.x, turn.y, turn.z, turn.w = (float(value) for value in quaternion)
        made.append(one)
    return made
