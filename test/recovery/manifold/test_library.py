import numpy as np
import pytest

from salus_ros.core.errors import RecoveryError
from salus_ros.recovery.manifold.library import Library


@pytest.fixture
def library():
    """Two successes of one task, one of another, all along one line."""
    place = np.array([0, 1, 2, 3, 0.1, 1.1, 2.1, 0.2, 1.2, np.nan], np.float32)
    return Library(
        embedding=np.stack([place, np.zeros(10)], axis=1).astype(np.float32),
        state=np.zeros((10, 7), np.float32),
        action=np.zeros((10, 7), np.float32),
        ends=np.array([4, 7, 10]),
        task=np.array([0, 0, 1]),
        tasks=("lift", "push"),
    )


def at(place):
    return np.array([place, 0.0], np.float32)


def test_rows_know_their_episode_and_step(library):
    assert library.episode.tolist() == [0, 0, 0, 0, 1, 1, 1, 2, 2, 2]
    assert library.step.tolist() == [0, 1, 2, 3, 0, 1, 2, 0, 1, 2]


def test_the_nearest_is_of_the_task_and_goes_on_for_long_enough(library):
    assert library.find(at(1.1), "lift", 1) == (5, 0.0)
    assert library.find(at(1.1), "lift", 3)[0] == 1  # the other has two steps left
    row, distance = library.find(at(1.1), "push", 2)
    assert row == 8
    assert distance == pytest.approx(0.1, abs=1e-6)


def test_a_step_without_a_key_is_never_found(library):
    assert library.find(at(2.0), "push", 1)[0] == 8
    assert library.all_steps.count == 9


@pytest.mark.parametrize(("task", "steps"), [("dance", 1), ("push", 4)])
def test_what_no_success_shows_is_refused_with_what_they_show(library, task, steps):
    with pytest.raises(RecoveryError, match=f"no success of '{task}' .* {steps} steps .* lift"):
        library.find(at(0), task, steps)
