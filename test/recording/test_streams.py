import pytest

from salus_ros.recording.streams import JointStream, Stream
from salus_ros.recording.time import DISORDER_NS, NANO, Order


@pytest.fixture
def stream():
    made = Stream()
    for stamp in (10, 20, 30):
        made.add(stamp, f"s{stamp}", size=stamp)
    return made


@pytest.mark.parametrize(
    ("stamp", "found"),
    [(9, None), (10, 10), (19, 10), (20, 20), (29, 20), (30, 30), (99, 30)],
)
def test_as_of_never_takes_the_future(stream, stamp, found):
    expected = None if found is None else (found, f"s{found}")
    assert stream.as_of(stamp, -1) == expected


def test_as_of_takes_nothing_at_or_before_the_limit(stream):
    assert stream.as_of(25, 19) == (20, "s20")
    assert stream.as_of(25, 20) is None


def test_a_repeated_sample_is_not_taken_twice(stream):
    assert stream.add(30, "again", size=30) is Order.REPEATED
    assert stream.add(20, "again", size=30) is Order.REPEATED
    assert stream.as_of(20, -1) == (20, "s20")
    assert stream.as_of(30, -1) == (30, "s30")
    assert stream.size == 60


def test_forgetting_keeps_what_the_next_step_needs(stream):
    stream.forget_before(25)
    assert stream.as_of(25, -1) == (20, "s20")
    assert stream.as_of(19, -1) is None
    assert stream.size == 50


def test_forgetting_the_future(stream):
    stream.forget_after(20)
    assert stream.newest_ns == 20
    assert stream.size == 30


def test_a_late_sample_is_put_in_its_place(stream):
    assert stream.add(25, "late", size=1) is Order.LATE
    assert stream.as_of(29, -1) == (25, "late")
    assert (stream.newest_ns, stream.size) == (30, 61)


def test_one_sample_far_back_is_refused(stream):
    far = 30 + 2 * DISORDER_NS
    stream.add(far, "now", size=1)
    assert stream.add(5, "wrong", size=1) is Order.SUSPECT
    assert stream.add(far + 1, "next", size=1) is Order.NEXT
    assert (stream.refused, stream.newest_ns) == (1, far + 1)
    assert stream.as_of(7, -1) is None or stream.as_of(7, -1)[1] != "wrong"


def test_a_jump_back_starts_over():
    stream = Stream()
    stream.add(5 * NANO, "old", size=7)
    assert stream.add(1 * NANO, "new", size=1) is Order.SUSPECT
    assert stream.add(1 * NANO + 1, "newer", size=1) is Order.JUMP
    assert stream.jump_ns == -4 * NANO
    assert (stream.newest_ns, stream.size) == (1 * NANO + 1, 2)
    assert stream.as_of(1 * NANO, -1) == (1 * NANO, "new")
    assert stream.as_of(9 * NANO, -1) == (1 * NANO + 1, "newer")


def test_after_a_long_silence_no_sample_is_lost():
    stream = Stream()
    stream.add(1 * NANO, "before")
    later = 200 * NANO
    assert stream.add(later, "first") is Order.SUSPECT
    assert stream.as_of(later, -1) == (later, "first")
    assert stream.at([later]) == (later, "first")
    assert stream.add(later + 1, "second") is Order.JUMP
    assert stream.as_of(later, -1) == (later, "first")


def test_exactly_a_stamp(stream):
    assert stream.at([20]) == (20, "s20")
    assert stream.at([21]) is None


def test_empty():
    made = Stream()
    assert made.newest_ns == -1
    assert made.as_of(5, -1) is None
    made.forget_before(5)
    made.forget_after(5)
    assert made.size == 0


def test_joints_of_two_publishers_make_one_state():
    joints = JointStream(("a", "b", "grip"))
    for t in range(5):
        joints.add(100 * t, {"a": t, "b": 10 + t})
        joints.add(100 * t - 30, {"grip": 20 + t, "other": 0})
    stamp, state = joints.as_of(300, -1)
    assert (stamp, state.tolist()) == (270, [3, 13, 23])
    assert joints.newest_ns == 370
    assert joints.missing == []
    assert joints.others == {"other"}


def test_a_state_that_lacks_a_joint_is_none():
    joints = JointStream(("a", "grip"))
    joints.add(10, {"a": 1.0})
    assert joints.as_of(10, -1) is None
    assert joints.newest_ns == -1
    assert joints.missing == ["grip"]
    joints.add(10, {"grip": 2.0})
    assert joints.as_of(10, -1)[1].tolist() == [1.0, 2.0]
    assert joints.as_of(500, 10) is None  # too old


def test_the_state_of_exactly_two_messages():
    joints = JointStream(("a", "grip"))
    for t in range(3):
        joints.add(100 * t, {"a": t})
        joints.add(100 * t + 30, {"grip": 10 + t})
    assert joints.at([100, 30])[1].tolist() == [1, 10]
    assert joints.at([100, 130])[1].tolist() == [1, 11]
    assert joints.at([100]) is None


@pytest.mark.parametrize(
    ("stamp", "found"),
    [(4, None), (5, 10), (14, 10), (15, 10), (16, 20), (20, 20), (29, 30), (35, 30), (36, None)],
)
def test_the_nearest_sample_within_a_slop(stream, stamp, found):
    expected = None if found is None else (found, f"s{found}")
    assert stream.nearest(stamp, 5) == expected


def test_nothing_is_nearest_to_nothing():
    assert Stream().nearest(5, 100) is None
    assert JointStream(("a",)).nearest(5, 100) is None


def test_only_the_newest_are_kept(stream):
    stream.keep(2)
    assert (stream.as_of(19, -1), stream.size) == (None, 50)
    stream.keep(9)
    assert stream.size == 50


def test_the_nearest_state_is_that_of_its_stamps():
    joints = JointStream(("a", "grip"))
    for t in range(4):
        joints.add(100 * t, {"a": t})
        joints.add(100 * t - 10, {"grip": 10 + t})
    joints.add(205, {"a": 9, "grip": 9})
    stamps, state = joints.nearest(198, 20)
    assert (stamps, state.tolist()) == ([190, 200, 205], [9, 9])
    assert joints.at(stamps)[1].tolist() == state.tolist()
    joints.keep(1)
    assert joints.nearest(100, 20) is None


def test_joints_that_another_message_tells_too_are_as_new_as_that():
    stream = JointStream(("a", "b", "c"))
    whole = {"a": 0.0, "b": 1.0, "c": 2.0}
    for stamp in (1, 2, 3):
        stream.add(stamp, whole)
    stream.add(4, {"a": 0.5, "b": 1.5})  # once, and never again
    for stamp in range(5, 200):
        stream.add(stamp, whole)
        stream.forget_before(stream.newest_ns - 10)
    assert stream.newest_ns == 199
    assert sum(len(part._stamps) for part in stream._parts.values()) < 20
    assert stream.as_of(199, 0)[1].tolist() == [0.0, 1.0, 2.0]
    stream.add(200, {"a": 0.5, "b": 1.5})
    assert stream.newest_ns == 199  # c is not known beyond
