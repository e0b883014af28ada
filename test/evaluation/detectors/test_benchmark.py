import json
from dataclasses import replace

import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.evaluation.detectors.benchmark import Benchmark
from salus_ros.evaluation.detectors.comparison import FIGURES, rank_all
from salus_ros.evaluation.detectors.detector import failed
from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.episode_metrics import draw_episodes
from salus_ros.evaluation.folds import make_folds

NAMES = ("clock", "task_prior", "signal:sample_spread_growth", "mahalanobis")


@pytest.fixture(scope="module")
def folds(planted):
    return make_folds(planted, number=3)


@pytest.fixture(scope="module")
def finished(planted, folds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("scores")
    run = Benchmark(planted, folds, NAMES, planted.subset(range(20)), folder)
    run.run()
    return run, folder


def test_every_episode_is_tested_once_and_no_part_shares_one(planted, folds):
    assert sorted(place for fold in folds for place in fold.test) == list(range(80))
    for fold in folds:
        parts = [set(fold.train), set(fold.validation), set(fold.calibration), set(fold.test)]
        assert set.union(*parts) == set(range(80))
        assert sum(map(len, parts)) == 80
        share = failed(planted)[list(fold.test)].mean()
        assert share == pytest.approx(0.5, abs=0.1)
    assert len({fold.seed for fold in folds}) == 3


def test_repeats_of_an_episode_stay_together(planted):
    twice = planted.subset([*range(80), *range(80)])
    for fold in make_folds(twice, number=4):
        for part in (fold.train, fold.validation, fold.calibration, fold.test):
            assert {place % 80 for place in part if place >= 80} == {p for p in part if p < 80}


def test_shares_of_every_task_or_tasks_that_are_new(planted):
    for fold in make_folds(planted, "seen", 2):
        assert (len(fold.train), len(fold.test)) == (56, 12)
        assert (len(fold.validation), len(fold.calibration)) == (6, 6)
    with pytest.raises(ConfigError, match="2 tasks; protocol unseen holds 3 out"):
        make_folds(planted, "unseen", 2)
    with pytest.raises(ConfigError, match="protocol 'all'; allowed is one of folds, seen"):
        make_folds(planted, "all")
    with pytest.raises(ConfigError, match="at least 10 of each are needed"):
        make_folds(planted.subset(range(8)), "seen")


def test_figures_of_a_clock_and_of_a_signal_that_knows(finished):
    results = finished[0].results()
    json.dumps(results, allow_nan=False)
    clock = results["detectors"]["clock"]["test"]["shortest"]
    assert clock["auroc_within_task"] == 0.5
    assert clock["auroc_within_task_interval"] == [0.5, 0.5]
    signal = results["detectors"]["signal:sample_spread_growth"]
    assert signal["test"]["shortest"]["auroc_within_task"] > 0.9
    low, high = signal["test"]["shortest"]["auroc_within_task_interval"]
    assert 0.8 < low <= signal["test"]["shortest"]["auroc_within_task"] <= high <= 1
    for part in ("test", "held_out"):
        alarm = signal[part]["alarms"]["0.2"]
        assert alarm["detection_rate"] > 0.5
        assert 0 <= alarm["false_alarm_share"] <= 0.5
    assert results["detectors"]["clock"]["steps"] is None
    assert results["reference"] is None


def test_shuffled_outcomes_are_not_told(planted, folds):
    """A control: with outcomes that mean nothing, what learns from them is at chance."""
    rng = np.random.default_rng(1)
    records = list(planted.records)
    order = rng.permutation(len(records))
    swapped = [records[place] for place in order]
    mixed = replace(
        planted,
        records=tuple(
            replace(
                record,
                meta=record.meta.judged(
                    other.meta.outcome,
                    other.meta.failure_type,
                    record.length if other.meta.failure_step >= 0 else -1,
                ),
            )
            for record, other in zip(records, swapped, strict=True)
        ),
    )
    run = Benchmark(mixed, make_folds(mixed, number=3), ("knn", "signal:sample_spread_growth"))
    run.run()
    for found in run.results()["detectors"].values():
        assert 0.2 < found["test"]["shortest"]["auroc_within_task"] < 0.8


def test_scores_are_kept_and_a_damaged_file_is_made_again(planted, folds, finished):
    _, folder = finished
    files = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    assert len(files) == len(NAMES) * len(folds)
    damaged = folder / "clock-fold1.npz"
    damaged.write_bytes(damaged.read_bytes()[:40])
    again = Benchmark(planted, folds, NAMES, planted.subset(range(20)), folder)
    done = []
    again.run(on_done=lambda number, name: done.append((number, name)))
    assert done == [(again.total, "clock")]
    assert again.results()["detectors"].keys() == finished[0].results()["detectors"].keys()
    other = Benchmark(planted.subset(range(60)), make_folds(planted.subset(range(60)), number=3),
                      ("clock",), None, folder)  # fmt: skip
    other.run(on_done=lambda number, name: done.append((number, name)))
    assert len(done) == 4  # of other episodes: nothing of what is kept


def test_processes_give_what_one_gives(planted, folds, finished):
    apart = Benchmark(planted, folds[:2], NAMES[:3], planted.subset(range(20)))
    apart.run(workers=2)
    alone = Benchmark(planted, folds[:2], NAMES[:3], planted.subset(range(20)))
    alone.run()
    for one, other in zip(
        apart.results()["detectors"].values(), alone.results()["detectors"].values(), strict=True
    ):
        assert one["test"] == other["test"]
        assert one["held_out"] == other["held_out"]


def test_what_is_compared_in_pairs_with_the_reference(planted, folds):
    part = planted.subset(folds[0].test)
    bad = failed(part)[part.episode]
    rng = np.random.default_rng(0)
    good = bad + rng.normal(size=len(bad))
    worse = 0.2 * bad + rng.normal(size=len(bad))
    episodes = episodes_of(part)
    drawn = [draw_episodes(episodes.failed)]
    found = rank_all({"good": [good], "worse": [worse]}, [episodes], drawn, "good")
    for cut in ("shortest", "full"):
        for figure in FIGURES:
            difference = found["worse"][cut][f"{figure}_below_reference"]
            assert difference == pytest.approx(
                found["good"][cut][figure] - found["worse"][cut][figure]
            )
        low, high = found["worse"]["full"]["auroc_within_task_below_reference_interval"]
        assert low < found["worse"]["full"]["auroc_within_task_below_reference"] < high
        assert "auroc_within_task_below_reference" not in found["good"][cut]


def test_a_detector_without_its_inputs_is_named_and_not_run(planted, folds):
    bare = replace(planted, extras={})
    run = Benchmark(bare, folds, ("clock", "knn"))
    run.run()
    results = run.results()
    assert list(results["detectors"]) == ["clock"]
    assert "no embedding" in results["missing"]["knn"]


def test_without_hidden_states_the_default_is_what_the_others_are_compared_with(planted):
    """Chosen by the failures of training alone: of 12, 8 are in training, which is too few."""
    bare = replace(planted, extras={})
    few = bare.subset([*range(0, 80, 2), *range(1, 24, 2)])
    for samples, name in ((bare, "blend"), (few, "stac_single")):
        run = Benchmark(samples, make_folds(samples, "seen", 2), ("stac_single", "blend"))
        run.run()
        results = run.results()
        assert results["reference"] == name
        assert results["failures_by_type"] == {"drop": results["failures"]}
