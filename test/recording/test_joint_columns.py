"""Joints beside the state: positions, velocities and efforts where a message says them."""

import numpy as np

from salus_ros.episodes import StoreSpec
from salus_ros.messages.joints import joint_keys
from salus_ros.recording.joint_columns import joint_columns, joint_sample, joint_sizes
from salus_ros.recording.rows import JOINT, Row
from salus_ros.recording.streams import JointStream
from salus_ros.recording.time import NANO, Order

JOINTS = ("a", "b", "finger")


def row(**said):
    return Row(0, 0, samples={JOINT: joint_sample(JOINTS, said)})


ARM = ("a", "b")
BOTH = row(position=(JOINTS, [1, 2, 3]), effort=(ARM, [10, 20]))


def test_a_store_has_the_joints_and_the_quantities_that_come():
    assert joint_sizes([Row(0, 0), BOTH], JOINTS, ARM) == {
        "joint_names": JOINTS,
        "joint_quantities": ("position", "effort"),
    }
    alone = row(position=(ARM, [1, 2]), velocity=(ARM, [0, 0]))
    assert joint_sizes([alone], JOINTS, ARM)["joint_names"] == ARM


def test_positions_of_the_state_alone_are_not_kept_twice():
    assert joint_sizes([row(position=(ARM, [1, 2]))], JOINTS, ARM) == {}
    assert joint_sizes([Row(0, 0)], JOINTS, ARM) == {}


def test_columns_are_matched_by_name_and_what_is_not_said_is_no_number():
    spec = StoreSpec(
        state_dim=2,
        action_dim=1,
        joint_names=("finger", "c", "a"),
        joint_quantities=("position", "effort"),
    )
    made = joint_columns([BOTH, Row(1, 1)], JOINTS, spec)
    assert set(made) == {"joint_position", "joint_effort"}
    np.testing.assert_array_equal(made["joint_position"], [[3, np.nan, 1], [np.nan] * 3])
    np.testing.assert_array_equal(made["joint_effort"], [[np.nan, np.nan, 10], [np.nan] * 3])
    assert made["joint_effort"].dtype == np.float32


def test_a_stream_makes_the_sample_of_messages_of_an_arm_and_a_gripper():
    stream = JointStream(joint_keys(JOINTS), partial=True)
    assert stream.newest_ns == -1
    stream.add(10, {"position a": 1.0, "position b": 2.0, "effort a": 10.0, "effort b": 20.0})
    assert stream.as_of(10, -1)[0] == 10
    np.testing.assert_array_equal(
        stream.as_of(10, -1)[1],
        joint_sample(JOINTS, {"position": (ARM, [1, 2]), "effort": (ARM, [10, 20])}),
    )
    stream.add(4, {"position finger": 3.0})
    stamp_ns, sample = stream.as_of(10, -1)
    assert (stamp_ns, stream.newest_ns) == (4, 10)  # a silent gripper holds up nothing
    np.testing.assert_array_equal(sample, BOTH.samples[JOINT])
    assert stream.at((10,)) is None  # the gripper's message of that stamp may still come
    stamp_ns, sample = stream.as_of(10, 5)  # the gripper's is too old
    assert stamp_ns == 10
    assert np.isnan(sample[2])
    assert (stream.missing, stream.refused) == ([], 0)


def test_a_value_that_was_lost_since_is_not_the_last_one_that_was_there():
    stream = JointStream(joint_keys(("a",)), partial=True)
    stream.add(10, {"velocity a": 1.0})
    stream.add(20, {"velocity a": float("nan")})
    assert np.isnan(stream.as_of(20, -1)[1]).all()


def test_the_clock_of_a_gripper_ends_no_episode():
    stream = JointStream(joint_keys(JOINTS), partial=True)
    for stamp_ns in (100 * NANO, 5 * NANO, 5 * NANO + 1):
        assert stream.add(stamp_ns, {"position finger": 3.0}) is not Order.JUMP
    assert stream.as_of(6 * NANO, -1)[0] == 5 * NANO + 1
