import math
from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode, make_samples

from salus_ros.core.failures import FailureType
from salus_ros.evaluation.rules import TaskPrior, clock, steps_in_box, stuck, stuck_lacks


def test_the_stay_in_a_box_ends_where_a_column_leaves_it():
    values = np.array([[0, 0], [1, 0], [2, 0], [1, 0], [1, 9], [1, 9]], float)
    assert steps_in_box(values, [6], 1.0).tolist() == [1, 2, 2, 3, 1, 2]
    assert steps_in_box(values, [3, 3], 1.0).tolist() == [1, 2, 2, 1, 1, 2]
    assert steps_in_box(values, [6], 9.0).tolist() == [1, 2, 3, 4, 5, 6]


def test_a_slow_drift_is_no_standstill():
    assert steps_in_box(np.arange(9.0)[:, None], [9], 3.0).tolist() == [1, 2, 3, 4, 4, 4, 4, 4, 4]


def test_what_is_not_finite_ends_a_stay_and_is_in_none():
    values = np.array([0, 0, np.nan, 0, 0])[:, None]
    assert steps_in_box(values, [5], 1.0).tolist() == [1, 2, 0, 1, 2]
    assert steps_in_box(np.zeros((0, 2)), [], 1.0).tolist() == []


def still(state, names=(), rate_hz=30.0):
    """Two episodes with these states."""
    spec = replace(LOW_DIM, state_dim=state.shape[1], state_names=names)
    episodes = [
        replace(make_episode(str(n), len(state), rate_hz=rate_hz), state=state) for n in range(2)
    ]
    return replace(make_samples(episodes, spec), state_names=names)


def test_a_robot_is_stuck_after_a_second_in_the_box_at_any_rate():
    state = np.zeros((40, 7))
    state[5:, 3] = 0.2  # 0.15 rad are left at step 5
    for rate, step in ((30.0, 34), (20.0, 24)):
        score = stuck(still(state, rate_hz=rate))
        assert np.flatnonzero(score[:40] >= 1)[0] == step  # 30 and 20 steps after
        assert score[40] == pytest.approx(1 / rate)  # the next episode begins anew


def test_where_the_state_names_a_tool_its_cube_counts_alone():
    names = ("finger", "tool.z", "tool.y", "tool.x", "joint")
    state = np.zeros((40, 5))
    state[:, 0] = np.arange(40)  # moves all the time
    assert stuck(still(state, names))[39] == pytest.approx(40 / 30)
    assert stuck(still(state))[39] == pytest.approx(1 / 30)
    state[20:, 1] = 0.07
    assert stuck(still(state, names))[39] == pytest.approx(20 / 30)
    assert stuck(still(state, ("a.x", "a.y", "b.z", "c", "d")))[39] == pytest.approx(1 / 30)


def test_without_a_state_the_rule_says_what_it_lacks():
    samples = replace(still(np.zeros((5, 7))), state=None)
    assert "no state of one width" in stuck_lacks(samples)
    with pytest.raises(ValueError, match="no state of one width"):
        stuck(samples)
    never = replace(samples, state=np.full((10, 7), np.nan))
    assert "never finite" in stuck_lacks(never)
    assert np.isnan(stuck(never)).all()


def test_the_clock_and_the_prior_of_a_task():
    kinds = (FailureType.NONE, FailureType.DROP, FailureType.DROP, FailureType.NONE)
    episodes = [make_episode(str(n), 3, kind, task="ab"[n > 2]) for n, kind in enumerate(kinds)]
    samples = make_samples([*episodes, make_episode("new", 3, task="c")], LOW_DIM)
    assert clock(samples)[:4].tolist() == [0, 1, 2, 0]
    prior = TaskPrior(samples.records[:4])(samples)
    assert prior[[0, 9, 12]].tolist() == [pytest.approx(2 / 3), 0, 0.5]
    assert math.isnan(TaskPrior([])(samples)[0])
