import pytest

from salus_ros.core.errors import PolicyError
from salus_ros.policies.cameras import in_words, match_cameras

POLICY = ("front", "side", "wrist")


@pytest.mark.parametrize("robot", [POLICY, ("wrist", "front", "side"), ("top", *POLICY, "rear")])
def test_cameras_of_the_same_names_are_the_same(robot):
    assert match_cameras(POLICY, robot) == {name: name for name in POLICY}


@pytest.mark.parametrize(
    "robot", [("top", "side", "wrist"), ("wrist", "top", "side"), ("side", "wrist", "top")]
)
def test_the_one_left_goes_to_the_place_left_wherever_it_stands(robot):
    matching = match_cameras(POLICY, robot)
    assert matching == {"front": "top", "side": "side", "wrist": "wrist"}
    assert list(matching) == list(POLICY)
    assert in_words(matching) == "front is top, side, wrist"


def test_one_camera_of_another_name_is_the_one_there_is():
    assert match_cameras(("camera1",), ("usb_cam",)) == {"camera1": "usb_cam"}


@pytest.mark.parametrize(
    ("policy", "robot", "said"),
    [
        (("a", "b", "c"), POLICY, "which of front, side, wrist is a, b, c cannot be told"),
        (("front", "b", "c"), POLICY, "which of side, wrist is b, c cannot be told"),
        (("top",), POLICY, "which of front, side, wrist is top cannot be told"),
        (POLICY, ("front", "side"), "which of no others is wrist cannot be told"),
        (POLICY, ("front", "side", "x", "y"), "which of x, y is wrist cannot be told"),
        (POLICY, ("x",), "which of x is front, side, wrist cannot be told"),
    ],
)
def test_what_is_not_certain_is_refused_with_what_to_do(policy, robot, said):
    with pytest.raises(PolicyError, match=f"{said}; name the cameras as the policy does"):
        match_cameras(policy, robot)


@pytest.mark.parametrize(
    ("robot", "matching"),
    [
        (("front=top", "side", "wrist"), ("top", "side", "wrist")),
        (("side", "front=wrist", "wrist=front"), ("wrist", "side", "front")),  # crossed
        (("front=a", "side=b", "wrist=c", "d"), ("a", "b", "c")),
        (("side=a", "front", "b"), ("front", "a", "b")),  # one is left of each
    ],
)
def test_a_camera_of_another_name_is_the_one_that_is_said_and_shifts_no_other(robot, matching):
    assert tuple(match_cameras(POLICY, robot).values()) == matching


@pytest.mark.parametrize(
    ("robot", "said"),
    [
        (("top=front", "side", "wrist"), "top=front names a camera that the policy does not take"),
        (("front=top", "front=side", "wrist"), "each is there once"),
        (("front=top", "side=top", "wrist"), "each is there once"),
        (("front=", "side", "wrist"), "each is there once"),
        (("x", "y", "wrist"), "in the vla node's cameras: front=x"),
    ],
)
def test_a_mapping_that_cannot_be_is_refused(robot, said):
    with pytest.raises(PolicyError, match=said):
        match_cameras(POLICY, robot)
