import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.recovery.manifold.neighbours import EXACT_POINTS, Neighbours


def runs(count):
    """Points along random walks in 8-D, as steps of episodes are."""
    rng = np.random.default_rng(0)
    starts = rng.normal(size=(count // 100, 1, 8))
    walks = starts + 0.1 * np.cumsum(rng.normal(size=(count // 100, 100, 8)), axis=1)
    return walks.reshape(-1, 8).astype(np.float32)


def brute(points, query):
    return np.linalg.norm(points - query, axis=1)


def test_few_points_are_compared_one_by_one():
    points = runs(500)
    queries = points[::50] + 0.03
    distance, rows = Neighbours(points).nearest(queries)
    for query, found, row in zip(queries, distance, rows, strict=True):
        away = brute(points, query)
        assert row == away.argmin()
        assert found == pytest.approx(away.min(), abs=1e-4)


def test_many_points_are_searched_in_cells_and_always_answer_alike():
    points = runs(EXACT_POINTS + 5000)
    queries = np.concatenate([points[::500] + 0.05, 3 * points[::1000]])  # near, and far outside
    distance, rows = Neighbours(points).nearest(queries)
    right = [row == brute(points, one).argmin() for one, row in zip(queries, rows, strict=True)]
    assert np.mean(right) > 0.95
    again, same = Neighbours(points).nearest(queries)
    np.testing.assert_array_equal(rows, same)
    np.testing.assert_array_equal(distance, again)


def test_nothing_to_compare_with_is_refused():
    with pytest.raises(ConfigError, match="no step of a success"):
        Neighbours(np.empty((0, 8), np.float32))


@pytest.mark.parametrize("count", [300, EXACT_POINTS + 1])
def test_points_can_be_left_out(count):
    points = np.random.default_rng(2).normal(size=(count, 3)).astype(np.float32)
    distance, row = Neighbours(points).nearest(points[10:20], slice(10, 20))
    apart = np.linalg.norm(points[10:20, None] - points[None], axis=2)
    apart[:, 10:20] = np.inf
    assert not set(row) & set(range(10, 20))
    np.testing.assert_array_equal(row, apart.argmin(axis=1))
    np.testing.assert_allclose(distance, apart.min(axis=1), rtol=1e-4)
