"""Demonstrations that begin where a predictor alarms."""

import shutil
from dataclasses import replace

import numpy as np
import pytest
from recordings import write

from salus_ros.collection.trials.corrections import Alarmed, alarmed_in, record_corrections
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import Outcome
from salus_ros.episodes.reader import StoreReader
from salus_ros.prediction.predictor import Predictor
from salus_ros.recovery.guards import SPEED
from salus_ros.training.dataset import samples_for

BEGUN = 12


@pytest.fixture(scope="module")
def recorded(reference, tmp_path_factory):
    """Path of a store with the episodes of `reference`."""
    path = tmp_path_factory.mktemp("corrections") / "episodes.zarr"
    return write(path, list(reference.values()))


@pytest.fixture(scope="module")
def limited(model, tmp_path_factory):
    """Makes a copy of the predictor whose alarm has certain thresholds."""

    def make(soon, ever=np.inf):
        folder = tmp_path_factory.mktemp("limited") / "model"
        shutil.copytree(model, folder)
        fitted = Predictor.load(folder).calibration
        limits = {
            "thresholds": dict.fromkeys(fitted.thresholds, soon),
            "episode_thresholds": dict.fromkeys(fitted.thresholds, ever),
        }
        replace(fitted, **limits).save(folder)
        return folder

    return make


def test_an_episode_is_begun_at_its_first_alarm(recorded, model, limited):
    predictor = Predictor.load(model)
    samples = samples_for(predictor, [recorded])
    risk = predictor.predict_episodes(*samples.inputs).risk
    limit = float(np.nanquantile(risk, 0.7))
    expected = {
        record.meta.seed: int(np.argmax(risk[rows] > limit))
        for record, rows in zip(samples.records, samples.slices, strict=True)
        if (risk[rows] > limit).any()
    }
    assert max(expected.values()) > 0
    found = alarmed_in(recorded, limited(limit), 0.2)
    assert {one.meta.seed: len(one.actions) for one in found} == expected
    actions = StoreReader(recorded).to_numpy(["action"])["action"]
    first = found[0].actions
    np.testing.assert_array_equal(first, actions[: len(first)])


def test_a_store_without_an_alarm_is_refused(recorded, limited):
    with pytest.raises(StoreError, match="alarms in none of the 5 episodes"):
        alarmed_in(recorded, limited(2.0), 0.2)


def test_the_expert_goes_on_from_there_no_faster_than_a_recovery_may(reference):
    good = [one for one in reference.values() if one.meta.outcome is Outcome.SUCCESS]
    alarmed = [Alarmed(one.meta, one.action[:BEGUN]) for one in good[:2]]
    demos = record_corrections(alarmed, 2, seed=0, size_px=64)
    assert demos.ends.tolist()[-1] == len(demos.action)
    assert np.abs(demos.action[:, :6]).max() <= SPEED + 1e-6
    starts = [one.state[BEGUN] for one in good[:2]]
    for first in (0, *demos.ends[:-1]):
        assert min(np.abs(demos.state[first] - state).max() for state in starts) < 1e-5
    again = record_corrections(alarmed, 1, seed=0, size_px=64)
    np.testing.assert_array_equal(again.action, demos.action[: demos.ends[0]])


def test_episodes_of_a_world_that_cannot_be_run_again_are_refused(reference):
    meta = replace(reference[0].meta, world="another/World-v0")
    with pytest.raises(ConfigError, match="can be run again"):
        record_corrections([Alarmed(meta, reference[0].action[:1])], 1, 0, 64)
