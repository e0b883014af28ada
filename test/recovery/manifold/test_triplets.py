import numpy as np
import pytest
from manifold_episodes import SMALL, make_runs

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.recovery.manifold.triplets import ELSEWHERE, Triplets
from salus_ros.training.dataset import load_samples


@pytest.fixture(scope="module")
def samples(tmp_path_factory):
    return load_samples([make_runs(tmp_path_factory.mktemp("runs") / "a.zarr")])


def test_who_is_near_and_who_is_apart(samples):
    episodes = list(range(len(samples.records)))[::2]
    triplets = Triplets.of(samples, episodes, SMALL)
    anchor, positive, before, elsewhere = triplets.draw(4000, np.random.default_rng(0))
    lengths = np.array([one.length for one in samples.records])
    succeeds = np.array([one.meta.outcome is Outcome.SUCCESS for one in samples.records])
    owner, step = samples.episode, samples.step
    progress = (step + 0.5) / lengths[owner]
    assert set(owner[np.concatenate([anchor, positive, elsewhere, before.ravel()])]) <= set(
        episodes
    )
    assert succeeds[owner[anchor]].all()
    assert succeeds[owner[positive]].all()
    assert not succeeds[owner[before]].any()
    assert (lengths[owner[before]] - step[before]).max() <= SMALL.last_steps
    own = owner[positive] == owner[anchor]
    assert 0.4 < own.mean() < 0.6
    apart = np.abs(step[positive] - step[anchor])[own]
    assert apart.max() <= SMALL.near_steps
    as_far = np.abs(progress[positive] - progress[anchor])[~own]
    assert as_far.max() <= 1 / 40
    away = np.abs(progress[elsewhere] - progress[anchor])
    assert np.minimum(away, 1 - away).min() >= ELSEWHERE[0] - 1 / 40


def test_the_same_seed_draws_the_same(samples):
    triplets = Triplets.of(samples, range(14, 26), SMALL)
    first, second = (triplets.draw(50, np.random.default_rng(4)) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", [FailureType.NONE, FailureType.DROP])
def test_some_of_both_are_needed(samples, kind):
    some = [n for n, one in enumerate(samples.records) if one.failure_type == kind]
    with pytest.raises(ConfigError, match="it takes some of both"):
        Triplets.of(samples, some, SMALL)
