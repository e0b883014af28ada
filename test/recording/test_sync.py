import itertools

import pytest

from salus_ros.recording.sync import ObservationSync

STREAMS = ("front", "side", "joint_states", "episode")


def add_all(sync: ObservationSync, stamp: int, streams=STREAMS, tag: str = ""):
    """Add one sample of each; what came out, and at which stream."""
    found = [(s, sync.add(s, stamp, f"{s}{stamp}{tag}")) for s in streams]
    return [(stream, result) for stream, result in found if result is not None]


@pytest.mark.parametrize("order", list(itertools.permutations(STREAMS)))
def test_an_observation_is_complete_whatever_the_order(order):
    sync = ObservationSync(("front", "side"))
    assert add_all(sync, 1, order)[0][0] == order[-1]
    ((_, (stamp, messages)),) = add_all(sync, 2, order)
    assert stamp == 2
    assert messages == {s: f"{s}2" for s in STREAMS}
    assert sync.given_up == 0


@pytest.mark.parametrize("missing", STREAMS)
def test_nothing_comes_of_an_incomplete_one(missing):
    sync = ObservationSync(("front", "side"))
    present = [s for s in STREAMS if s != missing]
    assert add_all(sync, 1, present) == []
    assert add_all(sync, 2, present) == []


def test_stamps_are_never_mixed():
    sync = ObservationSync(("front", "side"))
    add_all(sync, 1)
    assert add_all(sync, 2, ("front", "joint_states", "episode")) == []
    assert add_all(sync, 3, ("side",)) == []
    assert add_all(sync, 2, ("side",)) == []  # earlier than 3: time jumped back, all is forgotten


def test_a_newer_reference_replaces_an_incomplete_one():
    sync = ObservationSync(("front", "side"))
    add_all(sync, 1, ("front",))
    assert len(add_all(sync, 2)) == 1
    assert sync.given_up == 1


def test_a_repeated_observation_is_complete_again():
    sync = ObservationSync(("front", "side"))
    add_all(sync, 1)
    again = add_all(sync, 1, tag="b")
    assert len(again) == 1
    assert again[0][1][0] == 1


def test_after_a_jump_back_old_samples_do_not_return():
    sync = ObservationSync(("front", "side"))
    add_all(sync, 1, tag="old")
    add_all(sync, 9, tag="old")
    ((_, (stamp, messages)),) = add_all(sync, 1, tag="new")
    assert stamp == 1
    assert all(message.endswith("new") for message in messages.values())


def test_with_a_slop_the_nearest_sample_is_taken():
    sync = ObservationSync(("front", "side"), slop_ns=5)
    sync.add("episode", 0, "e0")
    for stamp in (90, 98, 103):
        sync.add("joint_states", stamp, f"j{stamp}")
    sync.add("side", 96, "s96")
    assert sync.add("front", 100, "f100") == (
        100,
        {"front": "f100", "side": "s96", "joint_states": "j98", "episode": "e0"},
    )


def test_beyond_the_slop_nothing_is_taken():
    sync = ObservationSync(("front", "side"), slop_ns=5)
    sync.add("episode", 0, "e0")
    sync.add("joint_states", 100, "j")
    sync.add("side", 94, "s")
    assert sync.add("front", 100, "f") is None
    assert sync.add("side", 105, "s") is not None


def test_the_future_status_does_not_count_yet():
    sync = ObservationSync(("front",), slop_ns=5)
    sync.add("joint_states", 100, "j")
    sync.add("episode", 200, "e200")
    assert sync.add("front", 100, "f") is None
