import itertools

import numpy as np
import pytest

from salus_ros.recording.sync import (
    IMAGES_KEPT,
    SAMPLES_KEPT,
    ExactSync,
    NearestSync,
    observation_sync,
)
from salus_ros.recording.time import NANO

MS = 1_000_000
STREAMS = ("front", "side", "joint_states", "episode")


def exact():
    return ExactSync(("front", "side"), ("a", "b"))


def near(slop_ms=15, cameras=("front", "side")):
    return NearestSync(cameras, ("a", "b"), slop_ms * MS)


def sample(stream, stamp, tag=""):
    return {"a": stamp, "b": -stamp} if stream == "joint_states" else f"{stream}{stamp}{tag}"


def add_all(sync, stamp, streams=STREAMS, tag=""):
    """Add one sample of each; what came out, and at which stream."""
    found = [(stream, sync.add(stream, stamp, sample(stream, stamp, tag))) for stream in streams]
    return [(stream, one) for stream, one in found if one is not None]


def test_a_slop_is_for_a_robot():
    assert isinstance(observation_sync(("front",), ("a",), 0), ExactSync)
    assert isinstance(observation_sync(("front",), ("a",), 1), NearestSync)


# Of one stamp


@pytest.mark.parametrize("order", list(itertools.permutations(STREAMS)))
def test_an_observation_is_complete_whatever_the_order(order):
    sync = exact()
    assert add_all(sync, 1, order)[0][0] == order[-1]
    ((_, found),) = add_all(sync, 2, order)
    assert found.stamp_ns == 2
    assert found.images == {"front": "front2", "side": "side2"}
    assert (found.state.tolist(), found.status) == ([2, -2], "episode2")
    assert found.inputs == (("front", 2), ("side", 2), ("state", 2))
    assert not sync.given_up


@pytest.mark.parametrize("missing", STREAMS)
def test_nothing_comes_of_an_incomplete_one(missing):
    sync = exact()
    present = [s for s in STREAMS if s != missing]
    assert add_all(sync, 1, present) == []
    assert add_all(sync, 2, present) == []
    if missing != "front":
        assert sync.missing == missing
        assert sync.given_up == {missing: 1}


def test_stamps_are_never_mixed():
    sync = exact()
    add_all(sync, 1)
    assert add_all(sync, 2, ("front", "joint_states", "episode")) == []
    assert add_all(sync, 3, ("side",)) == []
    ((_, found),) = add_all(sync, 2, ("side",))  # late, and in its place
    assert set(found.images.values()) == {"front2", "side2"}


def test_a_newer_reference_replaces_an_incomplete_one():
    sync = exact()
    add_all(sync, 1, ("front",))
    assert len(add_all(sync, 2)) == 1
    assert sync.given_up == {"side": 1}


def test_a_repeated_observation_is_complete_again():
    sync = exact()
    add_all(sync, 1)
    ((_, found),) = add_all(sync, 1, tag="b")
    assert found.images == {"front": "front1b", "side": "side1b"}
    add_all(sync, 1, ("front",))  # a copy of one message is no observation that was given up
    add_all(sync, 2)
    assert not sync.given_up


def test_a_world_that_starts_anew_is_seen_with_its_own_samples():
    sync = exact()
    for stamp in (1, 2, 9):
        add_all(sync, stamp, tag="old")
    for stamp in (1, 2):
        ((_, found),) = add_all(sync, stamp, tag="new")
        assert found.stamp_ns == stamp
        assert all(message.endswith("new") for message in (*found.images.values(), found.status))


def test_joints_of_one_stamp_may_come_in_parts():
    sync = exact()
    add_all(sync, 1, ("front", "side", "episode"))
    assert sync.add("joint_states", 1, {"b": 5.0}) is None
    assert (sync.missing, sync.unknown_joints) == ("joint_states", {"a"})
    assert sync.add("joint_states", 1, {"a": 4.0}).state.tolist() == [4, 5]


def test_little_is_held():
    sync = exact()
    for stamp in range(1000):
        for stream in ("side", "joint_states", "episode"):
            sync.add(stream, stamp, sample(stream, stamp))
    assert [len(held) for held in sync._held.values()] == [0, IMAGES_KEPT] + 2 * [SAMPLES_KEPT]


# Of stamps that differ


def robot(sync, ticks, change=None, status=True):
    """Cameras at 30 Hz and joints at 100 Hz, changed by `change`; ticks that are answered."""
    if status:
        sync.add("episode", 0, "RUNNING")
    done = []
    for tick in range(ticks):
        t = 1000 * MS + 33 * MS * tick
        events = [("joint_states", t + k * 10 * MS) for k in (-1, 0, 1)]
        events += [("side", t), ("front", t)]
        for stream, stamp in (change or (lambda _, given: given))(tick, events):
            if sync.add(stream, stamp, sample(stream, stamp)) is not None:
                done.append(tick)
    return done


def test_the_nearest_sample_is_taken():
    sync = near(5)
    sync.add("episode", 0, "e0")
    for stamp in (90, 98, 103):
        sync.add("joint_states", stamp * MS, sample("joint_states", stamp))
    for stamp in (96, 101):
        sync.add("side", stamp * MS, f"s{stamp}")
    found = sync.add("front", 100 * MS, "f100")
    assert found.images == {"front": "f100", "side": "s101"}
    assert (found.state.tolist(), found.status) == ([98, -98], "e0")
    assert found.inputs == (("front", 100 * MS), ("side", 101 * MS), ("state", 98 * MS))


def test_beyond_the_slop_nothing_is_taken():
    sync = near(5)
    sync.add("episode", 0, "e0")
    sync.add("joint_states", 100 * MS, sample("joint_states", 100))
    sync.add("side", 94 * MS, "s")
    assert sync.add("front", 100 * MS, "f") is None
    assert sync.missing == "side"
    assert sync.lack("side") == "no 'side' within 5 ms of 'front'"
    assert sync.add("side", 105 * MS, "s").images["side"] == "s"


def test_a_status_that_is_still_to_come_does_not_count_yet():
    sync = near(5, ("front",))
    sync.add("joint_states", 100 * MS, sample("joint_states", 100))
    sync.add("episode", 200 * MS, "e200")
    assert sync.add("front", 100 * MS, "f") is None
    assert sync.missing == "episode"
    assert "do clocks differ" in sync.lack("episode")


def shifted(stream, by_ms, tick=30):
    """A message of a stream whose stamp is wrong by so much, at one tick, besides the others."""

    def change(now, events):
        at = next(stamp for one, stamp in events if one == stream)
        return [*events, (stream, at + by_ms * MS)] if now == tick else events

    return change


@pytest.mark.parametrize("stream", ["front", "side", "joint_states"])
@pytest.mark.parametrize("by_ms", [0, -1, -40, -900, -3_600_000, 3_600_000])
def test_one_message_out_of_order_stops_nothing(stream, by_ms):
    done = robot(near(), 90, shifted(stream, by_ms))
    assert set(done) == set(range(90))


@pytest.mark.parametrize("stream", ["front", "side", "joint_states"])
def test_two_swapped_messages_stop_nothing(stream):
    waiting = []

    def swap(tick, events):
        held = [event for event in events if event[0] == stream]
        if tick == 40:
            waiting.extend(held)
            return [event for event in events if event[0] != stream]
        after = waiting if tick == 41 else []
        return [*events, *after]

    done = robot(near(), 90, swap)
    assert set(range(90)) - set(done) <= {40}
    assert done == sorted(done)


def test_a_late_reference_is_passed_over():
    sync = near()
    assert robot(sync, 5)
    assert sync.add("front", 1001 * MS, "late") is None
    assert not sync.missing


def test_the_first_of_two_copies_counts():
    sync = near(5)
    sync.add("episode", 0, "e")
    sync.add("joint_states", 100 * MS, sample("joint_states", 100))
    sync.add("side", 100 * MS, "first")
    sync.add("side", 100 * MS, "second")
    first = sync.add("front", 100 * MS, "f")
    again = sync.add("front", 100 * MS, "g")
    assert first.images == again.images == {"front": "f", "side": "first"}


def test_joints_of_two_publishers_make_one_state():
    sync = near(15, ("front",))
    sync.add("episode", 0, "e")
    for tick in range(40):
        t = 33 * tick
        for k in range(3):
            sync.add("joint_states", (t + 10 * k) * MS, {"a": t + 10 * k})
            sync.add("joint_states", (t + 10 * k - 1) * MS, {"b": t + 10 * k - 1})
        found = sync.add("front", t * MS, "f")
        assert found.state.tolist() == [t, t - 1]
        assert found.inputs[1:] == (("state", (t - 1) * MS), ("state", t * MS))


def test_a_joint_that_nobody_sends_is_named():
    sync = near(15, ("front",))
    sync.add("episode", 0, "e")
    sync.add("joint_states", 0, {"a": 1.0})
    assert sync.add("front", 0, "f") is None
    assert (sync.missing, sync.unknown_joints) == ("joint_states", {"b"})


@pytest.mark.parametrize("first", ["front", "side"])
def test_a_jump_back_starts_over_and_keeps_the_status(first):
    """As when a bag is played again while one episode goes on."""
    sync = near()
    assert robot(sync, 60)

    def order(_, events):
        return sorted(events, key=lambda event: event[0] != first)

    done = robot(sync, 60, order, status=False)
    assert set(done) >= set(range(2, 60))
    assert sync.add("joint_states", 1030 * MS, sample("joint_states", 1030)) is None


def test_after_a_jump_back_old_samples_do_not_return():
    sync = near(cameras=("front",))
    sync.add("episode", 0, "e")
    for stamp in (8 * NANO, 9 * NANO):
        add_all(sync, stamp, ("joint_states", "front"))
    for stamp in (1 * NANO, 1 * NANO + 33 * MS):
        assert sync.add("front", stamp, "new") is None
    assert sync.missing == "joint_states"
    assert sync.add("joint_states", 1 * NANO + 33 * MS, {"a": 1, "b": 2}).status == "e"


def test_a_pause_of_an_hour_costs_one_observation_at_most():
    sync = near()
    robot(sync, 10)

    def later(_, events):
        return [(stream, stamp + 3600 * NANO) for stream, stamp in events]

    assert set(robot(sync, 10, later, status=False)) >= set(range(1, 10))


def test_statuses_are_states():
    sync = near(cameras=("front",))
    for tick, (stamp, status, expected) in enumerate(
        [
            (1000, "a", "a"),
            (1000, "b", "b"),  # of one stamp: what was said last
            (970, "late", "b"),
            (2_000_000, "wrong clock", "b"),
            (1100, "c", "c"),
            (0, "clock without time", "clock without time"),  # the last word counts
        ]
    ):
        t = (1200 + 33 * tick) * MS
        sync.add("episode", stamp * MS, status)
        sync.add("joint_states", t, sample("joint_states", t))
        assert sync.add("front", t, "f").status == expected


def test_little_is_held_of_a_robot():
    sync = near()
    for stamp in range(1000):
        for stream in ("side", "joint_states", "episode"):
            sync.add(stream, stamp * MS, sample(stream, stamp))
    assert len(sync._images["side"]._stamps) == IMAGES_KEPT
    assert len(sync._statuses) == SAMPLES_KEPT
    (part,) = sync._joints._parts.values()
    assert len(part._stamps) == SAMPLES_KEPT
    assert sync.refused == 0


def test_no_sample_of_an_observation_is_a_copy():
    image = np.zeros((2, 2, 3), np.uint8)
    sync = near(cameras=("front",))
    sync.add("episode", 0, "e")
    sync.add("joint_states", 0, {"a": 1, "b": 2})
    assert sync.add("front", 0, image).images["front"] is image
