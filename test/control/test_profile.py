from pathlib import Path

import numpy as np
import pytest
import yaml
from robots import hand, joint, profile

from salus_ros.control.profile import Gripper, RobotProfile
from salus_ros.core.errors import ConfigError, ObservationError

SHIPPED = sorted((Path(__file__).parents[2] / "config" / "robots").glob("*.yaml"))


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_profiles_are_whole_and_say_where_their_numbers_come_from(path):
    robot = RobotProfile.load(path)
    assert robot.action_size >= 6
    assert path.read_text().count("#") > 10


def test_the_robots_that_ship():
    assert [path.stem for path in SHIPPED] == ["panda", "so101", "ur5e"]


def test_the_panda_is_that_of_the_built_in_world():
    from salus_ros.worlds.panda import ACTION_DIM, CAMERAS, JOINTS

    robot = RobotProfile.load(SHIPPED[0])
    assert (robot.joint_names, robot.cameras) == (JOINTS, CAMERAS)
    assert robot.action_size == ACTION_DIM


def test_units_of_an_action():
    joints = (joint("a"), joint("b", unit="deg"), joint("c", unit="percent"))
    values, gripper = profile(joints=joints).split([0.5, 90, 75])
    np.testing.assert_allclose(values, [0.5, np.pi / 2, 0.5])
    assert gripper is None


def test_an_action_of_a_hand_is_a_share_of_its_speeds():
    values, gripper = hand().split([1, -0.5, 3, 0, 0, 0.25, 0.1])
    np.testing.assert_allclose(values, [0.5, -0.25, 0.5, 0, 0, 0.5])
    assert gripper == 0.04


def test_a_gripper_in_between():
    gripper = Gripper(topic="g", open=0.8, closed=0.0, action_open=100.0, action_closed=0.0)
    assert [gripper.command(v) for v in (-5, 0, 25, 100, 300)] == [0, 0, 0.2, 0.8, 0.8]


@pytest.mark.parametrize(
    ("action", "said"),
    [
        ([0.0], "an action has 1 values; the robot takes 2"),
        ([0.0] * 3, "an action has 3 values; the robot takes 2"),
        ([], "an action has 0 values"),
        ([0.0, np.nan], "an action is not finite"),
        ([np.inf, 0.0], "an action is not finite"),
    ],
)
def test_an_action_that_makes_no_sense(action, said):
    with pytest.raises(ObservationError, match=said):
        profile().split(action)


GOOD = yaml.safe_load(SHIPPED[1].read_text())


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rate_hz": 0}, "rate_hz is 0; it should be greater than 0"),
        ({"joints": []}, "joints is []"),
        ({"spead": 1}, "there is no key spead"),
        ({"watchdog_s": 0.01}, "watchdog_s is 0.01, no longer than a step of the policy"),
        ({"cameras": ["a", "a"]}, "cameras has a twice"),
        ({"joints": GOOD["joints"] * 2}, "joints has elbow_flex, gripper"),
        ({"joints": [GOOD["joints"][0] | {"lower": 3}]}, "goes from 3 to 1.91986"),
        ({"joints": [GOOD["joints"][0] | {"home": 3}]}, "home of joint shoulder_pan is 3"),
        ({"joints": [GOOD["joints"][0] | {"velocity": float("nan")}]}, "joints.0.velocity"),
        ({"command": GOOD["command"] | {"type": "torque"}}, "command.type is 'torque'"),
        ({"command": GOOD["command"] | {"type": "twist"}}, "twist is not given; they go together"),
        ({"command": {"type": "forward_position"}}, "it has no command.topic"),
    ],
)
def test_a_profile_that_is_not_allowed_is_named(tmp_path, change, said):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(GOOD | change))
    with pytest.raises(ConfigError) as refused:
        RobotProfile.load(path)
    assert said in str(refused.value)
    assert f"robot profile '{path}'" in str(refused.value)


@pytest.mark.parametrize("text", ["", "[1, 2]", "a: [", "\x00"])
def test_a_file_that_holds_no_profile(tmp_path, text):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="robot profile"):
        RobotProfile.load(path)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="cannot read the robot profile"):
        RobotProfile.load(tmp_path / "none.yaml")


def test_something_missing_is_named(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({k: v for k, v in GOOD.items() if k != "cameras"}))
    with pytest.raises(ConfigError, match="it has no cameras"):
        RobotProfile.load(path)
