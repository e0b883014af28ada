"""Messages to arrays and back, checked where they enter."""

import array
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from builtin_interfaces.msg import Time
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_msgs.msg import Header

from salus_msgs.msg import VlaSignals
from salus_ros.core import schema
from salus_ros.core.errors import ObservationError
from salus_ros.messages.stamps import NANO
from salus_ros.nodes.parameters import VlaParameters

if TYPE_CHECKING:
    from salus_ros.policies.following import PolicyStep


def to_stamp(stamp_ns: int) -> Time:
    """Stamp message of a time in ns."""
    return Time(sec=stamp_ns // NANO, nanosec=stamp_ns % NANO)


def header(stamp_ns: int, frame_id: str = "") -> Header:
    """Header of a time in ns."""
    return Header(stamp=to_stamp(stamp_ns), frame_id=frame_id)


def array_to_image(pixels: NDArray[np.uint8], head: Header) -> Image:
    """Make an rgb8 message of uint8 (H, W, 3)."""
    height, width, _ = pixels.shape
    message = Image(
        header=head, height=height, width=width, encoding="rgb8", is_bigendian=0, step=3 * width
    )
    message.data = byte_array(pixels)
    return message


def byte_array(pixels: NDArray[np.uint8]) -> "array.array[int]":
    """Bytes in the one form that rclpy takes over without looking at each of them."""
    data = array.array("B")
    data.frombytes(memoryview(np.ascontiguousarray(pixels)).cast("B"))
    return data


def float_array(values: NDArray[np.floating]) -> "array.array[float]":
    """Float32 values in the form that rclpy takes over without looking at each of them."""
    data = array.array("f")
    data.frombytes(np.ascontiguousarray(values, dtype=np.float32).tobytes())
    return data


def camera_info(
    height: int, width: int, head: Header, matrix: NDArray[np.float64] | None = None
) -> CameraInfo:
    """Calibration of a camera.

    Args:
        height: Height in pixels.
        width: Width in pixels.
        head: Header of its image.
        matrix: Pinhole matrix (3, 3) in pixels; without one the message says uncalibrated,
            which by its definition is a matrix of zeros.
    """
    info = CameraInfo(header=head, height=height, width=width)
    if matrix is not None:
        info.distortion_model = "plumb_bob"
        info.d = [0.0] * 5
        info.k = matrix.astype(np.float64).ravel()
        info.r = np.eye(3).ravel()
        info.p = np.hstack([matrix, np.zeros((3, 1))]).astype(np.float64).ravel()
    return info


def joint_state(
    names: Sequence[str],
    positions: NDArray[np.floating],
    head: Header,
    velocities: NDArray[np.floating] | None = None,
    efforts: NDArray[np.floating] | None = None,
) -> JointState:
    """Joint positions in rad as a message, velocities (rad/s) and efforts (Nm) where known."""
    message = JointState(header=head, name=list(names), position=positions.tolist())
    if velocities is not None:
        message.velocity = velocities.tolist()
    if efforts is not None:
        message.effort = efforts.tolist()
    return message


def action_array(values: Sequence[float], size: int) -> NDArray[np.float32]:
    """Read an action.

    Returns:
        Float32 (size,).

    Raises:
        ObservationError: if it has another size or is not finite.
    """
    action = np.asarray(values, dtype=np.float32)
    if action.shape != (size,):
        raise ObservationError(
            f"the action has {action.size} values; this world takes {size}; "
            "run a policy that was trained for it"
        )
    if not np.isfinite(action).all():
        raise ObservationError(
            f"the action is {np.array2string(action, precision=3)}; all values must be finite"
        )
    return action


def fill_signals(
    message: VlaSignals, signals: NDArray[np.float32], valid: NDArray[np.bool_]
) -> None:
    """Write the twelve signals (12,) and their validity (12,) into a message."""
    for name, value in zip(schema.SIGNAL_NAMES, signals.tolist(), strict=True):
        setattr(message, name, value)
    message.valid = valid.tolist()


def fill_further(message: VlaSignals, names: Sequence[str], values: NDArray[np.float32]) -> None:
    """Write the signals beyond the twelve, their names and values (F,), into a message."""
    message.further_names = list(names)
    message.further = float_array(values)


def fill_plan(message: VlaSignals, answer: "PolicyStep", *, samples: bool = False) -> None:
    """Write the plan in force into a message, where there is one, and the samples if asked."""
    if answer.plan_step < 0:
        return
    message.plan = float_array(answer.plans[0])
    message.plan_length, message.plan_step = len(answer.plans[0]), answer.plan_step
    if samples:
        message.plan_samples = float_array(answer.plans)


def fill_arrays(
    message: VlaSignals, answer: "PolicyStep", cameras: Sequence[str], given: VlaParameters
) -> None:
    """Write what is published beside the twelve signals into a message.

    Args:
        message: The message.
        answer: Of the policy.
        cameras: Its names of its cameras.
        given: Says what is published.
    """
    if given.publish_embedding:
        message.embedding = float_array(answer.embedding)
    if given.publish_plan:
        fill_plan(message, answer, samples=given.publish_plan_samples)
    if given.publish_visual_embedding:
        message.visual_cameras = list(cameras)
        message.visual_embedding = float_array(answer.visual_embedding)
    if given.publish_expert_embedding:
        message.expert_embedding = float_array(answer.expert_embedding)
