import math

import numpy as np
import pytest
from ros_messages import of_rclpy, of_rosbags

from salus_ros.core.errors import ConfigError, ObservationError
from salus_ros.messages.kinds import ARRAYS, JOINT_STATE, JOINT_TRAJECTORY
from salus_ros.messages.values import FIELDS, VALUES, ValueReader

BOTH = pytest.mark.parametrize("made", [of_rosbags, of_rclpy])
DOUBLES = ARRAYS[1]
XYZ, TURN = {"x": 1.0, "y": 2.0, "z": 3.0}, {"x": 4.0, "y": 5.0, "z": 6.0}
QUATERNION = {**TURN, "w": 7.0}
TWIST, POSE = {"linear": XYZ, "angular": TURN}, {"position": XYZ, "orientation": QUATERNION}


def joints(names, positions, made=of_rosbags, **others):
    return made(JOINT_STATE, name=list(names), position=positions, **others)


def trajectory(names, *points, made=of_rosbags):
    return made(JOINT_TRAJECTORY, joint_names=list(names),
                points=[{"positions": point} for point in points])  # fmt: skip


def floats(values, made=of_rosbags, labels=(), offset=0):
    dim = [{"label": label, "size": 1, "stride": 1} for label in labels]
    return made(DOUBLES, layout={"dim": dim, "data_offset": offset}, data=values)


@BOTH
@pytest.mark.parametrize(
    ("kind", "fields", "names", "values"),
    [
        (JOINT_STATE, {"name": ["b", "a"], "position": [2.0, 1.0]}, "b a", [2, 1]),
        (JOINT_TRAJECTORY, {"joint_names": ["b", "a"], "points": [{"positions": [2.0, 1.0]}]},
         "b a", [2, 1]),
        ("geometry_msgs/msg/Twist", TWIST,
         "linear.x linear.y linear.z angular.x angular.y angular.z", range(1, 7)),
        ("geometry_msgs/msg/TwistStamped", {"twist": TWIST},
         "linear.x linear.y linear.z angular.x angular.y angular.z", range(1, 7)),
        ("geometry_msgs/msg/Pose", POSE,
         "position.x position.y position.z orientation.x orientation.y orientation.z "
         "orientation.w", range(1, 8)),
        ("geometry_msgs/msg/PoseStamped", {"pose": POSE},
         "position.x position.y position.z orientation.x orientation.y orientation.z "
         "orientation.w", range(1, 8)),
        ("geometry_msgs/msg/WrenchStamped", {"wrench": {"force": XYZ, "torque": TURN}},
         "force.x force.y force.z torque.x torque.y torque.z", range(1, 7)),
        ("geometry_msgs/msg/TransformStamped",
         {"transform": {"translation": XYZ, "rotation": QUATERNION}},
         "translation.x translation.y translation.z rotation.x rotation.y rotation.z rotation.w",
         range(1, 8)),
        ("geometry_msgs/msg/Vector3Stamped", {"vector": XYZ}, "x y z", [1, 2, 3]),
        ("geometry_msgs/msg/PointStamped", {"point": XYZ}, "x y z", [1, 2, 3]),
        ("std_msgs/msg/Float32", {"data": 0.5}, "data", [0.5]),
        ("std_msgs/msg/Float64", {"data": 0.25}, "data", [0.25]),
        ("std_msgs/msg/Bool", {"data": True}, "data", [1]),
        ("std_msgs/msg/Int32", {"data": -3}, "data", [-3]),
        (ARRAYS[0], {"data": [1.0, 2.0]}, "data_0 data_1", [1, 2]),
        (DOUBLES, {"data": [1.0, 2.0]}, "data_0 data_1", [1, 2]),
    ],
)  # fmt: skip
def test_common_messages_are_read_without_fields_and_every_value_has_a_name(
    made, kind, fields, names, values
):
    reader = ValueReader()
    given = reader.read(made(kind, **fields), kind)
    assert reader.names == tuple(names.split())
    assert given.dtype == np.float32
    np.testing.assert_array_equal(given, values)


def test_a_stamped_message_has_the_names_of_the_plain_one():
    for kind, (_, fields) in FIELDS.items():
        if kind.endswith("Stamped"):
            assert FIELDS[kind.removesuffix("Stamped")] == ("", fields)
    assert JOINT_STATE in VALUES


@BOTH
def test_columns_are_matched_by_name_whatever_the_message_s_order(made):
    reader = ValueReader()
    reader.read(joints("abc", [1, 2, 3], made), JOINT_STATE)
    np.testing.assert_array_equal(
        reader.read(joints("cab", [3, 1, 2], made), JOINT_STATE), [1, 2, 3]
    )
    again = ValueReader(names=reader.names)  # of the next bag
    np.testing.assert_array_equal(
        again.read(joints("bca", [2, 3, 1], made), JOINT_STATE), [1, 2, 3]
    )
    given = again.read(trajectory("cba", [3, 2, 1], made=made), JOINT_TRAJECTORY)
    np.testing.assert_array_equal(given, [1, 2, 3])


def test_the_mapping_chooses_joints_and_their_order():
    reader = ValueReader(joints=("c", "a"))
    np.testing.assert_array_equal(reader.read(joints("abc", [1, 2, 3]), JOINT_STATE), [3, 1])
    given = reader.read(trajectory("abc", [1, 2, 3]), JOINT_TRAJECTORY)
    np.testing.assert_array_equal(given, [3, 1])
    assert reader.names == ("c", "a")


def test_a_column_that_is_missing_is_named():
    reader = ValueReader(names=("a", "b", "c"))
    with pytest.raises(ObservationError, match="it has no b, c; it has a"):
        reader.read(joints("ax", [1, 2]), JOINT_STATE)
    with pytest.raises(ObservationError, match="it has none of a, b, c"):
        reader.read(joints("xy", [1, 2]), JOINT_STATE)


def test_what_the_first_message_had_not_is_not_dropped_without_a_word():
    reader = ValueReader()
    reader.read(joints("ab", [1, 2]), JOINT_STATE)
    with pytest.raises(ObservationError, match="it has c too, beside a, b, which are the columns"):
        reader.read(joints("abc", [1, 2, 3]), JOINT_STATE)
    reader = ValueReader()
    reader.read(floats([1, 2]), DOUBLES)
    with pytest.raises(ObservationError, match="it has data_2 too, beside data_0, data_1"):
        reader.read(floats([1, 2, 3]), DOUBLES)
    with pytest.raises(ObservationError, match="it has no data_1; it has data_0"):
        reader.read(floats([1]), DOUBLES)


def test_an_array_does_not_fill_columns_of_other_names():
    with pytest.raises(ObservationError, match="it has no a, b; it has data_0, data_1"):
        ValueReader(names=("a", "b")).read(floats([1, 2]), DOUBLES)


def test_the_mapping_names_the_values_of_an_array():
    reader = ValueReader(labels=("b", "a"), names=("a", "b"))
    np.testing.assert_array_equal(reader.read(floats([2, 1]), DOUBLES), [1, 2])
    with pytest.raises(ObservationError, match="3 values; the mapping has names for 2: b, a"):
        reader.read(floats([1, 2, 3]), DOUBLES)


def test_labels_of_an_array_s_layout_are_its_names():
    reader = ValueReader()
    np.testing.assert_array_equal(reader.read(floats([2, 1], labels=("b", "a")), DOUBLES), [2, 1])
    assert reader.names == ("b", "a")
    reader = ValueReader()
    reader.read(floats([2, 1, 3], labels=("rows",)), DOUBLES)  # of the array, not of its values
    assert reader.names == ("data_0", "data_1", "data_2")


def test_what_stands_before_an_array_s_offset_is_no_value():
    reader = ValueReader()
    np.testing.assert_array_equal(reader.read(floats([9, 1, 2], offset=1), DOUBLES), [1, 2])
    with pytest.raises(ObservationError, match="it has no values"):
        reader.read(floats([9, 1, 2], offset=5), DOUBLES)


def test_other_names_in_the_mapping_than_in_the_store_are_refused():
    with pytest.raises(ConfigError, match="names the values a, b; the store has a, c"):
        ValueReader(joints=("a", "b"), names=("a", "c"))
    assert ValueReader(joints=("b", "a"), names=("a", "b")).names == ("a", "b")


@BOTH
def test_parts_of_the_columns_are_read_as_they_come(made):
    reader = ValueReader(joints=("a", "b", "c"))
    names, values = reader.read_part(joints("ab", [1, 2], made), JOINT_STATE)
    assert (names, values.tolist()) == (("a", "b"), [1, 2])
    names, values = reader.read_part(joints("xc", [9, 3], made), JOINT_STATE)
    assert (names, values.tolist()) == (("c",), [3])
    names, values = reader.read_part(trajectory("cx", [3, 9], made=made), JOINT_TRAJECTORY)
    assert (names, values.tolist()) == (("c",), [3])
    assert reader.names == ("a", "b", "c")
    reader = ValueReader()  # settles nothing
    assert reader.read_part(joints("ab", [1, 2], made), JOINT_STATE)[0] == ("a", "b")
    assert reader.read_part(joints("c", [1], made), JOINT_STATE)[0] == ("c",)
    assert reader.names == ()


# Fields


@BOTH
def test_fields_name_numbers_lists_and_entries_of_lists(made):
    message = trajectory("ab", [1, 2], [3, 4], made=made)
    for paths, names, values in (
        (("points.1.positions",), ("a", "b"), [3, 4]),
        (("points.1.positions.0",), ("points.1.positions.0",), [3]),
        (("points.0.positions", "points.1.positions"), None, None),
        (("header.stamp.sec",), ("header.stamp.sec",), [0]),
    ):
        reader = ValueReader(fields=paths)
        if names is None:
            with pytest.raises(ObservationError, match="positions more than once"):
                reader.read(message, JOINT_TRAJECTORY)
        else:
            np.testing.assert_array_equal(reader.read(message, JOINT_TRAJECTORY), values)
            assert reader.names == names


def test_several_quantities_of_joints_are_told_apart():
    message = joints("ab", [1, 2], velocity=[3, 4])
    reader = ValueReader(fields=("position", "velocity"))
    np.testing.assert_array_equal(reader.read(message, JOINT_STATE), [1, 2, 3, 4])
    assert reader.names == ("a.position", "b.position", "a.velocity", "b.velocity")
    reader = ValueReader(joints=("b",), fields=("velocity",))
    np.testing.assert_array_equal(reader.read(message, JOINT_STATE), [4])


def test_positions_without_names_can_be_read_as_a_field():
    message = joints("", [1, 2])
    with pytest.raises(ObservationError, match="0 names and 2 values"):
        ValueReader().read(message, JOINT_STATE)
    reader = ValueReader(fields=("position",), labels=("a", "b"))
    np.testing.assert_array_equal(reader.read(message, JOINT_STATE), [1, 2])


@BOTH
@pytest.mark.parametrize(
    ("kind", "path", "said"),
    [
        (DOUBLES, "position", "it has no field position; it has layout, data"),
        ("geometry_msgs/msg/Twist", "linear.q", "no field linear.q; linear has x, y, z"),
        ("geometry_msgs/msg/Twist", "linear", "the field linear is no number; it has x, y, z"),
        ("geometry_msgs/msg/Twist", "linear.x.y", "no field linear.x.y; linear.x has no fields"),
        ("geometry_msgs/msg/Twist", "__class__", "no field __class__; it has linear, angular"),
        (JOINT_TRAJECTORY, "points.0.positions", "points has 0 entries"),
        (JOINT_TRAJECTORY, "joint_names", "no values"),
        ("std_msgs/msg/String", "data", "the field data is no number"),
        ("std_msgs/msg/Header", "frame_id.0", "frame_id has no fields"),
    ],
)
def test_a_field_that_is_not_there_is_refused_with_those_that_are(made, kind, path, said):
    with pytest.raises(ObservationError, match=said):
        ValueReader(fields=(path,)).read(made(kind), kind)


@pytest.mark.parametrize(
    ("message", "kind", "said"),
    [
        (trajectory("ab"), JOINT_TRAJECTORY, "points has 0 entries"),
        (trajectory("ab", []), JOINT_TRAJECTORY, "it has no values in points.0.positions"),
        (floats([]), DOUBLES, "it has no values in data; .* it has layout, data"),
        (floats([1, math.nan]), DOUBLES, "it has data_1 = nan; every value must be finite"),
        (floats([1e300]), DOUBLES, "it has data_0 = 1e\\+300"),
        (joints("a", [math.inf]), JOINT_STATE, "a = inf"),
        (of_rosbags("std_msgs/msg/String"), "std_msgs/msg/String", "needs fields in the mapping"),
    ],
)
def test_what_is_no_row_of_numbers_is_refused(message, kind, said):
    with pytest.raises(ObservationError, match=said):
        ValueReader().read(message, kind)


def test_a_message_that_is_refused_settles_nothing():
    reader = ValueReader()
    with pytest.raises(ObservationError):
        reader.read(floats([1, math.nan]), DOUBLES)
    reader.read(floats([1, 2, 3]), DOUBLES)
    assert reader.names == ("data_0", "data_1", "data_2")
