"""Attempts that are kept on the way, and gone on with."""

import numpy as np
import pytest

from salus_ros.collection.attempts import Attempt, Parts, gather, joined
from salus_ros.core.errors import ConfigError

SETTINGS = {"seed": 3}


def work(desk):
    """Every third attempt succeeds."""
    for number in desk:
        if number % 3 == 0:
            desk.send(number, made(number))
        desk.done(number)


def made(number):
    images = np.full((2, 1, 4, 4, 3), number, np.uint8)
    return Attempt(f"task {number}", images, np.ones((2, 7), np.float32), np.ones((2, 7)))


def run(parts, episodes, attempts=range(30)):
    told = []
    kept = gather(work, attempts, episodes, 1, parts, told.append)
    return [int(one.images.flat[0]) for one in kept], told


def test_what_was_kept_is_gone_on_with(tmp_path):
    assert run(Parts(tmp_path / "a.parts", SETTINGS), 3) == ([0, 3, 6], [1, 2, 3])
    (tmp_path / "a.parts" / "9.part").write_bytes(b"cut off by a kill")
    found, told = run(Parts(tmp_path / "a.parts", SETTINGS), 5)
    assert found == run(None, 5)[0] == [0, 3, 6, 9, 12]
    assert told == [3, 4, 5]
    assert run(Parts(tmp_path / "a.parts", SETTINGS), 2) == ([0, 3], [2])


def test_fewer_than_asked_are_kept_where_all_is_attempted(tmp_path):
    assert run(Parts(tmp_path / "a.parts", SETTINGS), 9, range(7))[0] == [0, 3, 6]
    assert run(Parts(tmp_path / "a.parts", SETTINGS), 9, range(7))[0] == [0, 3, 6]


def test_parts_of_another_call_are_refused(tmp_path):
    Parts(tmp_path / "a.parts", SETTINGS)
    with pytest.raises(ConfigError, match="was begun with"):
        Parts(tmp_path / "a.parts", {"seed": 4})


def test_they_are_read_as_they_were(tmp_path):
    parts = Parts(tmp_path / "a.parts", SETTINGS)
    parts.add(7, made(7))
    again = parts.read()[7]
    demos = joined([again, made(2)], ("front",))
    assert demos.tasks == ("task 7", "task 2")
    assert demos.ends.tolist() == [2, 4]
    np.testing.assert_array_equal(demos.images[:, 0, 0, 0, 0], [7, 7, 2, 2])
