import pytest

from salus_ros.recording.streams import Stream


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
    assert not stream.add(30, "again", size=30)
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


def test_a_jump_back_starts_over(stream):
    stream.add(5, "new", size=1)
    assert (stream.newest_ns, stream.size) == (5, 1)
    assert stream.as_of(99, -1) == (5, "new")


def test_empty():
    made = Stream()
    assert made.newest_ns == -1
    assert made.as_of(5, -1) is None
    made.forget_before(5)
    made.forget_after(5)
    assert made.size == 0
