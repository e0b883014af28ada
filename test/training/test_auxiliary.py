"""The second task of training: its targets, and that no predictor has it."""

from dataclasses import replace

import numpy as np
import pytest
from synthetic_episodes import make_episode

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore, StoreSpec
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.auxiliary import Auxiliary
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import fit_checkpoint

SPEC = StoreSpec(state_dim=2, action_dim=2, truth_names=("object.x", "surface_force_n"))
SPLIT = {"train": range(8), "validation": range(8, 10)}


@pytest.fixture
def samples(tmp_path):
    """The truth says what will happen; the force comes at step 20 of every episode."""
    with EpisodeStore.create(tmp_path / "s.zarr", SPEC) as store:
        for n in range(10):
            kind = (FailureType.NONE, FailureType.DROP)[n % 2]
            episode = make_episode(str(n), 40, kind, SPEC, n)
            episode.truth[:, 0] = np.arange(40)
            episode.truth[:, 1] = np.where(np.arange(40) == 20, np.e - 1, 0.0)
            store.append(episode)
    return load_samples([tmp_path / "s.zarr"])


def test_targets_are_the_truth_and_the_largest_force_up_to_the_longest_horizon(samples):
    second = Auxiliary.fit(samples)
    np.testing.assert_allclose(second.statistics.mean, [19.5, 1 / 40, 16 / 40], rtol=1e-5)
    targets = second.targets(samples)
    assert targets.shape == (400, 3)
    found = targets[:40] / second.statistics.inverse_std + second.statistics.mean
    np.testing.assert_allclose(found[:, 0], np.arange(40), atol=1e-4)
    ahead = (np.arange(40) >= 20 - 15) & (np.arange(40) <= 20)  # 0.5 s at 30 Hz
    np.testing.assert_allclose(found[:, 2], ahead, atol=1e-4)
    assert targets[20, 1] == 5.0  # a single step in 40: 6.2 deviations, cut off
    samples.truth[3] = np.nan
    assert np.isnan(second.targets(samples)[3]).all()


def test_the_model_that_is_kept_has_no_answer_to_the_second_task(samples):
    config = replace(PRESETS["tcn"], hidden=(8,) * 2, epochs=2, inputs=("signals",))
    with_it, _ = fit_checkpoint(samples, SPLIT, replace(config, auxiliary=0.5))
    without, _ = fit_checkpoint(samples, SPLIT, config)
    names = ("head.weight", "head.bias")
    for name in names:
        assert with_it.state_dict[name].shape == without.state_dict[name].shape
    encoders = [made.state_dict["encoder.weight"] for made in (with_it, without)]
    assert not np.allclose(*encoders)
    assert "truth" not in with_it.features.parts
    told = Predictor(with_it).predict(samples.signals[:40])
    assert np.isfinite(told.risk[samples.valid[:40].any(axis=1)]).all()


def test_missing_truth_teaches_nothing(samples):
    samples.truth[:] = np.nan
    config = replace(PRESETS["tcn"], hidden=(8,) * 2, epochs=1, inputs=("signals",))
    made = [fit_checkpoint(samples, SPLIT, replace(config, auxiliary=w))[0] for w in (0.5, 5.0)]
    for name, value in made[0].state_dict.items():
        np.testing.assert_array_equal(value, made[1].state_dict[name])


def test_episodes_without_truth_are_refused(samples):
    bare = replace(samples, truth=None, truth_names=())
    config = replace(PRESETS["tcn"], inputs=("signals",), auxiliary=0.5)
    with pytest.raises(ConfigError, match="the episodes have no truth"):
        fit_checkpoint(bare, SPLIT, config)
