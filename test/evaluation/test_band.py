import numpy as np

from salus_ros.evaluation.band import FITTED_SHARE, FunctionalBand
from salus_ros.evaluation.episode_metrics import Episodes


def make(lengths, failed):
    lengths, failed = np.array(lengths), np.array(failed, bool)
    return Episodes(
        length=lengths,
        failed=failed,
        failure_step=np.where(failed, lengths, -1),
        failure_type=failed.astype(np.int64),
        task=np.zeros(len(lengths), np.int64),
        rate_hz=np.full(len(lengths), 10.0),
        time_limit=np.full(len(lengths), 200),
    )


def test_the_band_is_the_mean_and_the_largest_distance_of_some_successes():
    episodes = make([4] * 20, [False] * 20)
    curves = np.random.default_rng(0).normal(size=(20, 4)) + np.arange(4)
    band = FunctionalBand.fit(curves.ravel(), episodes)
    used = curves[: round(FITTED_SHARE * 20)]
    assert np.array_equal(band.used, np.arange(6))
    np.testing.assert_allclose(band.mean, used.mean(axis=0))
    np.testing.assert_allclose(band.scale, np.abs(used - used.mean(axis=0)).max(axis=0))
    relative = band.apply(curves.ravel(), np.tile(np.arange(4), 20)).reshape(20, 4)
    assert np.abs(relative[:6]).max() <= 1 + 1e-12
    np.testing.assert_allclose(relative[7], (curves[7] - band.mean) / band.scale)


def test_failures_do_not_shape_it():
    episodes = make([3] * 20, [True, False] * 10)
    curves = np.zeros((20, 3))
    curves[::2] = 100
    band = FunctionalBand.fit(curves.ravel(), episodes)
    assert not band.mean.any()
    assert (band.scale > 0).all()  # and nothing divides by zero
    assert set(band.used) <= set(range(1, 20, 2))


def test_where_few_successes_reach_it_stays_as_it_was():
    lengths = [5] * 19 + [9]
    episodes = make(lengths, [False] * 20)
    score = np.concatenate([np.arange(n, dtype=float) for n in lengths])
    band = FunctionalBand.fit(score, episodes)
    assert len(band.mean) == 9
    np.testing.assert_allclose(band.mean, [0, 1, 2, 3, 4, 4, 4, 4, 4])
    beyond = band.apply(np.array([7.0]), np.array([30]))
    assert beyond[0] == (7 - band.mean[-1]) / band.scale[-1]


def test_missing_scores_stay_missing_and_do_not_count():
    episodes = make([3] * 20, [False] * 20)
    curves = np.ones((20, 3))
    curves[:, 0] = np.nan
    band = FunctionalBand.fit(curves.ravel(), episodes)
    assert np.isnan(band.apply(np.array([np.nan]), np.array([1]))).all()
    np.testing.assert_allclose(band.mean, [1, 1, 1])
