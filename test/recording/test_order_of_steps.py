"""Where the messages of a topic stand among the steps of their episodes."""

import pytest

from salus_ros.core.errors import ObservationError
from salus_ros.recording.progress import LAST_STEP, Progress, check_step
from salus_ros.recording.time import NANO, Order

MS = 1_000_000


def judge(progress, *steps, episode="a"):
    """Orders of (step, stamp in ms)."""
    return [progress.judge(episode, step, stamp_ms * MS) for step, stamp_ms in steps]


def test_steps_in_order_are_next():
    progress = Progress()
    assert judge(progress, (0, 0), (1, 33), (2, 66)) == [Order.NEXT] * 3
    assert (progress.step, progress.missed, progress.begins) == (2, 0, False)


def test_the_first_message_of_an_episode_begins_it():
    progress = Progress()
    judge(progress, (0, 100))
    assert progress.begins
    judge(progress, (1, 133))
    assert not progress.begins
    judge(progress, (0, 50), episode="b")  # another clock, or a late message: it is another one
    assert progress.begins
    assert (progress.episode_id, progress.step) == ("b", 0)


def test_the_newest_step_again_is_repeated():
    progress = Progress()
    assert judge(progress, (0, 0), (1, 33), (1, 33), (1, 33))[2:] == [Order.REPEATED] * 2
    assert judge(progress, (2, 66)) == [Order.NEXT]


@pytest.mark.parametrize("late", [(1, 33), (1, 40), (3, 60), (1, 0)])
def test_an_older_step_is_late_and_changes_nothing(late):
    progress = Progress()
    judge(progress, (1, 33), (2, 66))
    assert judge(progress, late) == [Order.LATE]
    assert (progress.step, progress.late) == (2, 1)
    assert judge(progress, (3, 99)) == [Order.NEXT]
    assert progress.missed == 1  # step 0


def test_steps_without_stamps_go_by_their_number():
    progress = Progress()
    orders = judge(progress, (0, 0), (1, 0), (3, 0), (3, 0), (2, 0))
    assert orders == [Order.NEXT] * 3 + [Order.REPEATED, Order.LATE]
    assert progress.missed == 1


@pytest.mark.parametrize("stamp_ms", [0, 10, 900, 2000])
def test_step_0_again_is_the_world_started_anew(stamp_ms):
    progress = Progress()
    judge(progress, *((step, 900 + 33 * step) for step in range(4)))
    assert judge(progress, (0, stamp_ms)) == [Order.NEXT]
    assert progress.begins
    assert judge(progress, (1, stamp_ms + 33)) == [Order.NEXT]


def test_an_earlier_step_at_a_later_time_begins_anew():
    progress = Progress()
    assert judge(progress, (5, 0), (3, 33)) == [Order.NEXT] * 2
    assert progress.begins
    assert progress.missed == 5


def test_one_wrong_stamp_is_held_back_and_two_are_a_jump():
    progress = Progress()
    judge(progress, (7, 20_000))
    assert judge(progress, (8, 100), (9, 20_066)) == [Order.SUSPECT, Order.NEXT]
    assert (progress.refused, progress.begins) == (1, False)
    assert judge(progress, (10, 100), (11, 133)) == [Order.SUSPECT, Order.JUMP]
    assert progress.begins
    assert progress.last_jump == "time jumped back by 20.0 s"
    assert judge(progress, (12, 166)) == [Order.NEXT]


def test_what_is_held_back_is_refused_where_its_episode_ends():
    progress = Progress()
    judge(progress, (0, 20_000), (1, 0))
    judge(progress, (0, 21_000), episode="b")
    assert progress.refused == 1


def test_a_pause_between_episodes_is_no_jump():
    progress = Progress()
    judge(progress, (0, 0))
    assert progress.judge("b", 0, 3600 * NANO) is Order.NEXT


def test_a_step_that_cannot_be_one_is_refused():
    check_step(LAST_STEP)
    with pytest.raises(ObservationError, match="step 4294967295 is refused"):
        check_step(2**32 - 1)
