import dataclasses
import json

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_store

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.episodes import EpisodeStore, StoreReader
from salus_ros.evaluation.metrics import Decisions
from salus_ros.evaluation.predictor_evaluation import evaluate, evaluate_stores
from salus_ros.prediction.predictor import Predictor


@pytest.fixture(scope="module")
def predictor(trained):
    return Predictor.load(trained[0])


def test_figures_are_those_of_the_predictions(predictor, samples):
    figures = evaluate(predictor, samples, samples.usable)
    probability = predictor.predict_episodes(*samples.inputs).probability[samples.usable]
    labels = samples.labels[samples.usable]
    counts = Decisions.of(probability > 0.5, labels)
    assert (figures["precision"], figures["recall"]) == (counts.precision, counts.recall)
    assert figures["by_type"]["drop"]["positives"] == int(labels[:, :, 0].sum())
    assert figures["without_timeout"]["positives"] == int(labels[:, :, [0, 1, 3]].sum())
    assert figures["by_horizon"]["0.5 s"]["positives"] == int(labels[:, 3].sum())
    assert figures["by_type"]["other"]["recall"] is None
    assert figures["steps"] == int(samples.usable.sum())
    json.dumps(figures, allow_nan=False)


def test_chosen_thresholds_have_the_best_f1_on_validation(predictor, samples, trained):
    keys = set(trained[1]["splits"]["validation"]["episode_keys"])
    rows = samples.rows([n for n, r in enumerate(samples.records) if r.key in keys])
    figures = evaluate(predictor, samples, rows)
    assert figures["at_threshold"]["f1"] >= figures["f1"]
    assert figures["at_threshold"]["threshold"] == predictor.output_threshold
    alarms = predictor.predict_episodes(*samples.inputs).risk[rows]
    soon = samples.labels[rows].any(axis=(1, 2))
    for other in np.linspace(0, 1, 50):
        assert (Decisions.of(alarms > other, soon).f1 or 0) <= figures["risk"]["f1"] + 1e-9


def test_what_was_trained_on_is_left_out_and_counted(predictor, store):
    results = evaluate_stores(predictor, [store])
    assert results["episodes"] == 4  # the test part
    assert results["left_out"]["seen_in_training"] == 24
    assert "24 of 32" in results["left_out"]["note"]
    everything = evaluate_stores(predictor, [store], include_seen=True)
    assert everything["episodes"] == 32
    assert everything["left_out"]["seen_in_training"] == 0


def test_figures_of_the_test_part_are_those_of_the_training(predictor, store, trained):
    results = evaluate_stores(predictor, [store])
    for name in ("loss", "accuracy", "precision", "recall", "f1"):
        assert results[name] == pytest.approx(trained[1]["test"][name], rel=1e-5)


def test_a_store_with_nothing_new_is_refused(predictor, samples, tmp_path, store, trained):
    keys = set(trained[1]["splits"]["train"]["episode_keys"])
    record = next(r for r in samples.records if r.key in keys)
    with EpisodeStore.create(tmp_path / "seen.zarr", LOW_DIM) as copy:
        copy.append(StoreReader(store).episode(record.index))
    with pytest.raises(ConfigError, match="used in training"):
        evaluate_stores(predictor, [tmp_path / "seen.zarr"])


def test_a_store_without_failures_defines_no_recall(predictor, tmp_path):
    path = make_store(tmp_path / "b.zarr", [FailureType.NONE] * 2, seed=77)
    results = evaluate_stores(predictor, [path])
    assert results["recall"] is None
    assert "no failure" in results["undefined"]["recall"]
    assert results["risk"]["auroc"] is None
    json.dumps(results, allow_nan=False)


def test_other_signals_are_refused(predictor, tmp_path):
    spec = dataclasses.replace(LOW_DIM, signals=tuple(f"s{n}" for n in range(12)))
    path = make_store(tmp_path / "b.zarr", [FailureType.NONE], spec)
    with pytest.raises(ConfigError, match="the predictor takes"):
        evaluate_stores(predictor, [path])
