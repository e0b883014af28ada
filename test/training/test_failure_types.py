"""Failures as they are stored, and as trainings with other lists of types count them."""

import dataclasses
import json

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode

from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.episodes import EpisodeStore
from salus_ros.evaluation.predictor_evaluation import evaluate, evaluate_held_out
from salus_ros.prediction.config import PRESETS
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.calibrate import calibrate
from salus_ros.training.dataset import load_samples
from salus_ros.training.train import train_predictor
from salus_ros.worlds.causes import FailureCause

DROP, COLLISION, TIMEOUT, OTHER = FAILURE_TYPES
MISPLACED = FailureType.MISPLACED_RELEASE
FIVE = (DROP, MISPLACED, COLLISION, TIMEOUT, OTHER)
THREE = (DROP, COLLISION, OTHER)
CAUSES = tuple(FailureCause)
EACH = 8
SMALL = dataclasses.replace(
    PRESETS["tcn"],
    inputs=("signals",),
    hidden=(8,) * 3,
    epochs=15,
    batch_size=200,
    learning_rate=1e-2,
)

TWO_TIMEOUTS = ("timeout", "timeout")  # a missed grasp, and no progress
COUNTS = {
    FIVE: ("success", "drop", "misplaced_release", "collision", *["other"] * 3, *TWO_TIMEOUTS),
    THREE: ("success", "drop", "drop", "collision", *["other"] * 3, *TWO_TIMEOUTS),
    FAILURE_TYPES: ("success", "drop", "drop", "collision", *["other"] * 3, *TWO_TIMEOUTS),
}
"""What an episode of each cause counts as."""


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """Episodes of every cause, as a world gives them: its published type, and its words."""
    place = tmp_path_factory.mktemp("causes") / "a.zarr"
    with EpisodeStore.create(place, LOW_DIM) as store:
        for number in range(EACH * len(CAUSES)):
            cause = CAUSES[number % len(CAUSES)]
            words = "" if cause is FailureCause.NONE else cause.value
            episode = make_episode(
                str(number), 40, cause.failure_type, seed=number, failure_cause=words
            )
            episode.signals[:, 8] += 3 * (cause is FailureCause.MISPLACED_RELEASE)
            episode.signals[:, 9] += 3 * (cause.failure_type is TIMEOUT)
            store.append(episode)
    return place


@pytest.mark.parametrize("types", COUNTS)
def test_episodes_count_by_the_list_that_is_asked_for(path, types):
    samples = load_samples([path], failure_types=types)
    assert tuple(record.stratum for record in samples.records)[: len(CAUSES)] == COUNTS[types]
    positive = samples.labels[:, -1].any(axis=1)
    for record, rows in zip(samples.records, samples.slices, strict=True):
        covered = record.stratum in [kind.label for kind in types]
        assert positive[rows].sum() == (15 if covered else 0)
    endings = samples.endings[: len(CAUSES)]
    assert endings[:, 0].tolist() == [cause is not FailureCause.NONE for cause in CAUSES]
    assert endings[:, 1].tolist() == [c.failure_type is TIMEOUT for c in CAUSES]


def test_trainings_with_other_types_are_of_other_data(path):
    hashes = {load_samples([path], failure_types=types).data_hash() for types in COUNTS}
    assert len(hashes) == 3
    reordered = load_samples([path], failure_types=THREE[::-1]).data_hash()
    assert reordered not in hashes


def test_a_type_given_by_a_person_counts_where_it_is_told_apart(path, tmp_path):
    with EpisodeStore.create(tmp_path / "b.zarr", LOW_DIM) as store:
        store.append(make_episode("a", 40, MISPLACED))
    for types, expected in ((FIVE, MISPLACED), (FAILURE_TYPES, DROP)):
        (record,) = load_samples([tmp_path / "b.zarr"], failure_types=types).records
        assert record.failure_type == expected


@pytest.mark.parametrize("types", [FIVE, THREE])
def test_a_model_keeps_its_types_and_everything_follows_them(path, tmp_path, types):
    samples = load_samples([path], failure_types=types)
    results = train_predictor(samples, tmp_path, evaluate, SMALL)
    labels = [kind.label for kind in types]
    assert results["failure_types"] == labels
    assert results["episode_outputs"] == ["episode_failure", "no_progress"]
    endings = results["splits"]["train"]["endings"]
    assert set(endings) == set(COUNTS[types])
    predictor = Predictor.load(tmp_path)
    assert predictor.failure_types == types
    calibration = calibrate(predictor, samples, 0.2)
    assert np.shape(calibration.slope) == (4, len(types))
    calibration.save(tmp_path)
    predictor = Predictor.load(tmp_path)
    assert predictor.calibration == calibration
    found = evaluate_held_out(predictor, samples)
    json.dumps(found, allow_nan=False)
    assert list(found["by_type"]) == labels
    by_type = found["episode_level"]["alarm"]["failures_by_type"]
    assert by_type["timeout"] == 2 * EACH  # also where it has no output
    assert by_type["misplaced_release"] == EACH  # also where it counts as a drop
    if MISPLACED in types:
        assert found["by_type"]["misplaced_release"]["average_precision"] > 0.3
        chance = found["by_type"]["misplaced_release"]["positives"] / found["steps"] / 4
        assert chance < 0.1
    stuck = found["episode_outputs"]["no_progress"]
    assert stuck["episodes"] == 2 * EACH
    operator = found["operator"]["detectors"]["predictor"]
    running = operator["running"]["no_progress"]["50%"]
    assert (running["positives"], running["running"]) == (2 * EACH, len(samples.records))
    assert running["auroc_within_task"] > 0.9
    own = operator["events"]["by_own_output"]
    assert set(own) == {"drop", "misplaced_release", "collision", "other"}
    assert operator["events"]["events"]["misplaced_release"] == EACH
    assert found["events"]["positives"] == found["without_timeout"]["positives"]
    assert found["episode_outputs"]["episode_failure"]["episodes"] == 8 * EACH


def test_timeout_may_be_the_only_type(path, tmp_path):
    samples = load_samples([path], failure_types=(TIMEOUT,))
    config = dataclasses.replace(SMALL, epochs=1, eventual=False)
    results = train_predictor(samples, tmp_path, evaluate, config)
    assert results["test"]["without_timeout"] is None
    assert results["episode_outputs"] == []
