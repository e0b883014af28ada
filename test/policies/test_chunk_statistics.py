import numpy as np
import pytest

from salus_ros.policies.chunk_statistics import (
    CHUNK_STATISTICS,
    ChunkStatistics,
    chunk_entropy,
    maximum_mean_discrepancy,
)


@pytest.fixture
def chunks():
    return np.random.default_rng(0).normal(size=(6, 4, 8, 7))  # six replans


def named(values):
    return dict(zip(CHUNK_STATISTICS, values, strict=True))


def test_values_by_hand():
    first, second = np.zeros((2, 4, 7)), np.zeros((2, 4, 7))
    first[0, :, 0] = [9.0, 9.0, 9.0, 1.0]  # two steps later only the last two are left
    second[0, :, 0] = [9.0, 4.0, 0.0, 0.0]
    second[0, :, 1] = [0.0, 3.0, 0.0, 0.0]
    computer = ChunkStatistics()
    computer(first, 10)
    values = named(computer(second, 12))
    assert values["stac_single"] == pytest.approx((0 + 3 + 3) / 14)
    assert values["chunk_error"] == pytest.approx((0 + 9 + 9) / 14)
    assert values["chunk_magnitude"] == pytest.approx((9 + 5) / 4)


def test_what_needs_a_previous_replan_is_nan_at_the_first(chunks):
    computer = ChunkStatistics()
    for _ in range(2):
        first = named(computer(chunks[0], 0))
        assert [name for name, value in first.items() if np.isnan(value)] == [
            "stac_single",
            "stac_mmd",
            "chunk_error",
        ]
        assert np.isfinite(computer(chunks[1], 3)).all()
        computer.reset()


def test_chunks_that_do_not_overlap_cannot_be_compared(chunks):
    computer = ChunkStatistics()
    computer(chunks[0], 0)
    assert np.isnan(named(computer(chunks[1], 8))["stac_single"])


def test_the_future_changes_nothing(chunks):
    changed = chunks.copy()
    changed[4:] += 5.0
    rows = []
    for replans in (chunks, changed):
        computer = ChunkStatistics()
        rows.append(np.stack([computer(c, 3 * n) for n, c in enumerate(replans)]))
    np.testing.assert_array_equal(rows[0][:4], rows[1][:4])
    assert not np.array_equal(rows[0][4:], rows[1][4:])


def test_discrepancy_is_zero_of_equal_sets_and_grows_with_the_distance():
    rng = np.random.default_rng(1)
    old = rng.normal(size=(16, 3, 6))
    assert maximum_mean_discrepancy(old, old) == pytest.approx(0.0, abs=1e-12)
    near = maximum_mean_discrepancy(old, rng.normal(size=old.shape))
    far = maximum_mean_discrepancy(old, rng.normal(size=old.shape) + 3.0)
    assert 0.0 < near < far
    same = np.ones((4, 3, 6))
    assert maximum_mean_discrepancy(same, same) == 0.0
    assert np.isnan(maximum_mean_discrepancy(same[:1], same[:1]))


def test_entropy_counts_the_ways_that_the_samples_go():
    agree = np.zeros((4, 2, 7))
    assert chunk_entropy(agree) == pytest.approx(0.0)
    two_ways = agree.copy()
    two_ways[:2, 0, 0] = 10.0  # from the first step on, along one axis
    assert chunk_entropy(two_ways) == pytest.approx(2 * np.log(2))
    gripper = agree.copy()
    gripper[:2, :, 6] = 10.0
    assert chunk_entropy(gripper) == pytest.approx(0.0)
    assert np.isnan(chunk_entropy(agree[:1]))
