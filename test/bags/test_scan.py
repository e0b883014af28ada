import numpy as np
import pytest
import yaml
from written_bags import (
    IMAGE,
    JOINTS,
    START_NS,
    Recording,
    image,
    joints,
    make,
    picture,
    recording,
)

from salus_ros.bags.mapping import Mapping
from salus_ros.bags.proposal import notes, propose
from salus_ros.bags.reading import Bag
from salus_ros.bags.scan import rate_figures, scan

PERIOD_NS = 40_000_000


def scanned(made, folder):
    with Bag(made.write(folder / "bag")) as bag:
        found = {one["topic"]: one for one in scan(bag)}
        assert bag.problems == []
    return found


def test_it_says_what_a_bag_holds(tmp_path):
    found = scanned(recording(), tmp_path)
    assert list(found) == ["/act", "/cam", "/joints"]
    assert found["/cam"] | {"rate_hz": 10} == {
        "topic": "/cam", "type": IMAGE, "known": True, "messages": 10, "rate_hz": 10,
        "duration_s": pytest.approx(0.9), "largest_gap_s": pytest.approx(0.1), "gaps": 0,
        "encoding": "rgb8", "depth": False, "size": [4, 6],
    }  # fmt: skip
    assert found["/cam"]["rate_hz"] == pytest.approx(10)
    assert (found["/joints"]["joints"], found["/joints"]["partial"]) == (["a", "b"], False)


# Rates


def test_what_comes_in_bursts_has_the_rate_at_which_it_comes():
    stamps = [(i // 5) * 200_000_000 + (i % 5) * 60_000 for i in range(50)]
    assert rate_figures(stamps)["rate_hz"] == pytest.approx(49 / 1.80024)


def test_a_pause_of_the_recording_is_none_of_the_rate():
    steps = np.arange(900) * PERIOD_NS
    figures = rate_figures([*steps.tolist(), *(steps + 600_000_000_000).tolist()])
    assert figures["rate_hz"] == pytest.approx(25)
    assert figures["largest_gap_s"] == pytest.approx(600 - 899 * 0.04)
    assert figures["gaps"] == 1


def test_a_slow_topic_has_no_pauses():
    assert rate_figures([i * 5_000_000_000 for i in range(20)])["rate_hz"] == pytest.approx(0.2)


@pytest.mark.parametrize("stamps", [[], [5], [5, 5, 5]])
def test_without_two_times_there_is_no_rate(stamps):
    figures = rate_figures(stamps)
    assert (figures["messages"], figures["rate_hz"], figures["gaps"]) == (len(stamps), None, 0)


def test_the_order_of_messages_does_not_matter():
    assert rate_figures([3, 1, 2]) == rate_figures([1, 2, 3])


# First messages


def arm_and_gripper(folder):
    made = Recording()
    none = np.zeros(0)
    for step in range(20):
        stamp = START_NS + step * PERIOD_NS
        made.add("/joint_states", JOINTS, stamp, joints(stamp, 1, 2))
        gripper = make(JOINTS, header=joints(stamp, 1, 2).header, name=["c"],
                       position=np.ones(1), velocity=none, effort=none)  # fmt: skip
        made.add("/joint_states", JOINTS, stamp + 1_000_000, gripper)
    return scanned(made, folder)["/joint_states"]


def test_of_partial_joint_states_all_joints_are_found(tmp_path):
    found = arm_and_gripper(tmp_path)
    assert (found["joints"], found["partial"]) == (["a", "b", "c"], True)


def test_depth_is_seen_with_its_range(tmp_path):
    made = Recording()
    depth = np.array([[0, 500, 4000]], "<u2").view(np.uint8).reshape(1, 3, 2)
    made.add("/aligned", IMAGE, START_NS, image(START_NS, depth, "16UC1"))
    found = scanned(made, tmp_path)["/aligned"]
    assert (found["depth"], found["size"], found["range_mm"]) == (True, [1, 3], [500, 4000])


def test_an_image_that_cannot_be_read_says_why_unless_a_later_one_can(tmp_path):
    made = Recording()
    made.add("/odd", IMAGE, START_NS, image(START_NS, picture(1), "odd"))
    made.add("/cam", IMAGE, START_NS, image(START_NS, picture(1), "odd"))
    made.add("/cam", IMAGE, START_NS + 1, image(START_NS, picture(1), "rgb8"))
    found = scanned(made, tmp_path)
    assert "camera '/odd' sends encoding 'odd'" in found["/odd"]["problem"]
    assert "driver" not in found["/odd"]["problem"]
    assert "size" not in found["/odd"]
    assert (found["/cam"]["size"], "problem" in found["/cam"]) == ([4, 6], False)


# What is proposed converts


def test_what_is_proposed_for_cameras_of_two_sizes_converts_as_it_is(convert, tmp_path):
    made = recording()
    for step in range(10):
        stamp = START_NS + step * 100_000_000
        made.add("/wrist", IMAGE, stamp + 10_000_000, image(stamp, picture(step, (2, 3))))
    made.messages.sort(key=lambda one: one[2])
    bag = made.write(tmp_path / "bag")
    with Bag(bag) as opened:
        found = scan(opened)
    proposed = propose(found)
    assert any("scaled to 3x2" in note for note in notes(found, proposed))
    mapping = Mapping.from_dict(yaml.safe_load(yaml.safe_dump(proposed)))
    report, reader = convert(bag, mapping)
    assert report["problems"] == []
    assert len(reader) == 1
    assert reader.episode(0).images["wrist"].shape == (10, 2, 3, 3)
