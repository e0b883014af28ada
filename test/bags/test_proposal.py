import pytest
import yaml

from salus_ros.bags.mapping import MAX_AGE_MS, Mapping
from salus_ros.bags.proposal import notes, propose, to_yaml

IMAGE, COMPRESSED = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
JOINTS, ARRAY = "sensor_msgs/msg/JointState", "std_msgs/msg/Float64MultiArray"
TRAJECTORY, TWIST = "trajectory_msgs/msg/JointTrajectory", "geometry_msgs/msg/Twist"
ACTION, STATUS = "salus_msgs/msg/PolicyAction", "salus_msgs/msg/EpisodeStatus"


def topic(name, kind, rate_hz=30.0, **seen):
    return {"topic": name, "type": kind, "messages": 9, "rate_hz": rate_hz} | seen


def roles(*topics):
    """State and action that are proposed, and the notes on them."""
    found = [topic(name, kind) for name, kind in topics]
    proposed = propose(found)
    said = [one for one in notes(found, proposed) if one.startswith(("state", "action"))]
    return proposed["state"]["topic"], proposed["action"]["topic"], said


@pytest.mark.parametrize(
    ("topics", "state", "action"),
    [
        ([("/joints", JOINTS), ("/act", ARRAY)], "/joints", "/act"),
        ([("/joint_states", JOINTS), ("/out", ARRAY)], "/joint_states", "/out"),
        ([("/follower/joints", JOINTS), ("/leader/joints", JOINTS)], "/follower/joints",
         "/leader/joints"),
        ([("/joint_states", JOINTS), ("/arm/joint_trajectory", TRAJECTORY)], "/joint_states",
         "/arm/joint_trajectory"),
        ([("/joint_states", JOINTS), ("/cmd_vel", TWIST), ("/gripper/goal", "std_msgs/msg/Bool")],
         "/joint_states", "/cmd_vel"),
        ([("/joint_states", JOINTS), ("/desired_joint_states", JOINTS)], "/joint_states", ""),
        ([("/joint_states", JOINTS), ("/gripper/joint_states", JOINTS)], "/joint_states", ""),
        ([("/state", ARRAY), ("/setpoint", ARRAY)], "/state", "/setpoint"),
        ([("/current_pose", "geometry_msgs/msg/PoseStamped"),
          ("/targetPose", "geometry_msgs/msg/PoseStamped")], "/current_pose", "/targetPose"),
        ([("/joint_states", JOINTS), ("/action", ACTION), ("/command", ARRAY)], "/joint_states",
         "/action"),
    ],
)  # fmt: skip
def test_states_and_commands_are_told_by_the_words_of_their_names(topics, state, action):
    assert roles(*topics)[:2] == (state, action)


def test_a_measured_state_is_not_taken_for_the_references_of_a_controller():
    state, action, said = roles(
        *((name, JOINTS) for name in ("/controller/out/servo_positions",
          "/servo/in/references/joint_references", "/servo/in/state", "/servo/out/state"))
    )  # fmt: skip
    assert (state, action) == ("/servo/out/state", "/servo/in/references/joint_references")
    assert said == []


def test_where_it_cannot_be_told_nothing_is_taken_and_the_candidates_are_named():
    state, action, said = roles(
        ("/left/joint_states", JOINTS), ("/right/joint_states", JOINTS),
        ("/left/command", ARRAY), ("/right/command", ARRAY),
    )  # fmt: skip
    assert (state, action) == ("", "")
    assert said == [
        "state: which topic it is cannot be told; one of /left/joint_states, /right/joint_states",
        "action: which topic it is cannot be told; one of /left/command, /right/command",
    ]
    assert roles(("/cam", IMAGE))[2] == [
        "state: no topic looks like it; name one",
        "action: no topic looks like it; name one",
    ]


def test_what_was_not_taken_beside_the_nearest_is_named():
    said = roles(("/joint_states", JOINTS), ("/gripper/joint_states", JOINTS), ("/act", ARRAY))[2]
    assert said == ["state: /joint_states is taken; it could also be /gripper/joint_states"]


def test_of_partial_joint_states_all_joints_are_listed():
    found = [topic("/joint_states", JOINTS, joints=["a", "b", "c"], partial=True)]
    proposed = propose(found)
    assert proposed["state"] == {"topic": "/joint_states", "joints": ["a", "b", "c"]}
    assert "state: its messages name some of the joints each; all are listed" in notes(
        found, proposed
    )


def test_a_slow_stream_is_given_three_of_its_periods():
    found = [topic("/slow/image", IMAGE, 5.0), topic("/fast/image", IMAGE, 30.0),
             topic("/joint_states", JOINTS, 100.0)]  # fmt: skip
    proposed = propose(found)
    assert (proposed["max_age_ms"], proposed["max_age_of"]) == (MAX_AGE_MS, {"slow": 600})
    proposed["action"] = "/command"
    mapping = Mapping.from_dict(yaml.safe_load(yaml.safe_dump(proposed)))
    ages = [mapping.oldest_ns(name) for name in ("slow", "fast", "state")]
    assert ages == [600_000_000, 200_000_000, 200_000_000]


def test_a_graph_that_ran_slowly_is_not_one_of_slow_streams():
    found = [topic("/front/image", IMAGE, 0.5), topic("/episode", STATUS, 0.5)]
    proposed = propose(found)
    assert proposed["time"] == "header"
    assert "max_age_of" not in proposed


@pytest.mark.parametrize(
    ("rates", "clock"),
    [((30.0, 15.0), 15.0), ((29.97,), 30.0), ((24.2,), 24.2), ((0.1234,), 0.12), ((None,), 30.0)],
)
def test_the_clock_is_that_of_the_slowest_camera(rates, clock):
    found = [topic(f"/cam{i}/image", IMAGE, rate) for i, rate in enumerate(rates)]
    assert propose(found)["clock"] == {"rate_hz": clock}


@pytest.mark.parametrize(("rate_hz", "clock"), [(25.0, 25.0), (500.0, 30.0), (None, 30.0)])
def test_without_cameras_the_clock_is_that_of_the_state_if_it_is_slow(rate_hz, clock):
    assert propose([topic("/joint_states", JOINTS, rate_hz)])["clock"] == {"rate_hz": clock}


# Cameras


def test_cameras_of_several_sizes_are_scaled_to_the_smallest():
    found = [topic("/front/image_raw", IMAGE, size=[48, 64]),
             topic("/wrist/image_raw", IMAGE, size=[24, 32])]  # fmt: skip
    proposed = propose(found)
    assert proposed["cameras"] == {"front": "/front/image_raw", "wrist": "/wrist/image_raw"}
    assert proposed["image_size"] == [24, 32]
    assert "image_size: the cameras differ; all are scaled to 32x24" in notes(found, proposed)
    assert "image_size" not in propose(found[:1])


def test_of_raw_and_compressed_images_of_a_camera_the_raw_ones_are_taken():
    found = [topic("/front/image_raw/compressed", COMPRESSED), topic("/front/image_raw", IMAGE),
             topic("/side/image_raw/compressed", COMPRESSED)]  # fmt: skip
    proposed = propose(found)
    assert proposed["cameras"] == {
        "front": "/front/image_raw",
        "side": "/side/image_raw/compressed",
    }
    assert (
        "camera front: /front/image_raw/compressed is left out beside /front/image_raw"
        in notes(found, proposed)
    )


def test_depth_and_what_cannot_be_read_is_left_out_with_the_reason():
    found = [
        topic("/front/image", IMAGE, size=[4, 4]),
        topic("/aligned/image", IMAGE, depth=True, range_mm=[300.0, 2000.0]),
        topic("/odd/image", IMAGE, problem="camera '/odd/image' sends encoding 'odd'"),
        topic("/film", "ffmpeg_image_transport_msgs/msg/FFMPEGPacket"),
    ]
    proposed = propose(found)
    assert proposed["cameras"] == {"front": "/front/image"}
    said = "\n".join(notes(found, proposed))
    assert "/aligned/image is left out: it is depth" in said
    assert "depth_range_mm: {NAME: [300.0, 2000.0]}, in mm" in said
    assert "/odd/image is left out: camera '/odd/image' sends encoding 'odd'" in said
    assert "/film is left out: ffmpeg_image_transport_msgs/msg/FFMPEGPacket is video" in said


def test_colours_that_a_camera_does_not_name_are_an_assumption_that_is_told():
    found = [topic("/front/image", IMAGE, encoding="8UC3"), topic("/side/image", IMAGE)]
    said = notes(found, propose(found))
    assert sum("bgr8 is taken; set encoding: {front: ...}" in note for note in said) == 1


# The file


def test_an_empty_task_is_told_unless_the_bag_has_an_episode_topic():
    found = [topic("/joint_states", JOINTS)]
    assert any(note.startswith("task: it is empty") for note in notes(found, propose(found)))
    found.append(topic("/episode", STATUS))
    assert not any(note.startswith("task") for note in notes(found, propose(found)))


def test_notes_are_comments_of_the_file():
    mapping = {"state": "/s", "action": "/a"}
    text = to_yaml(mapping, ["task: it is empty", "words " * 40 + "/a/long/topic"])
    assert yaml.safe_load(text) == mapping
    assert text.startswith("# task: it is empty\n# words")
    assert all(len(line) < 100 for line in text.splitlines())
    assert to_yaml(mapping, []) == "state: /s\naction: /a\n"
