"""Benchmarks that measure the episodes, not the machine, on a few of them."""

import json
import runpy
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from synthetic_episodes import LOW_DIM, make_episode

from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.episodes import EpisodeStore
from salus_ros.episodes.reader import StoreReader
from salus_ros.policies.tiny import shipped_policy
from salus_ros.prediction.predictor import Predictor
from salus_ros.training.calibrate import calibrate
from salus_ros.training.dataset import samples_for
from salus_ros.worlds.physics import FIRST_ENV_ID

BENCHMARKS = Path(__file__).parent.parent / "benchmark"


@pytest.fixture
def knowable(monkeypatch, capsys, tmp_path):
    """Run the script with a log of its own; returns what it printed."""
    script = runpy.run_path(str(BENCHMARKS / "knowable.py"))

    def run(*given, store="shipped:pictures", **replaced):
        options = ("--branches", "1", "--workers", "1", "--log", str(tmp_path / "log.jsonl"))
        monkeypatch.setattr(sys, "argv", ["knowable.py", store, *options, *given])
        for name, value in replaced.items():
            monkeypatch.setitem(script["main"].__globals__, name, value)
        script["main"]()
        return capsys.readouterr().out

    return run


def interrupted(*_):
    raise KeyboardInterrupt


def test_what_is_knowable_of_a_few_episodes(knowable):
    sizes = ("--replays", "2", "--to-the-end", "1")
    found = json.loads(knowable("--states", "12", *sizes, "--json"))
    assert (found["replays"]["episodes"], found["replays"]["repeat"]) == (2, 2)
    assert (found["played"], found["not_reached"], found["interrupted"]) == (13, 0, False)
    assert sum(stratum["played"] for stratum in found["states"].values()) == 12
    assert found["to_the_end"]["step"] == 48
    for name in ("state", "state and plan"):
        about = found["observers"][name]
        assert 0.0 <= about["best_f1"]["f1"] <= 1.0
        of_types = about["by_horizon_and_type"]["0.5 s"]
        assert set(of_types) == {kind.label for kind in FAILURE_TYPES}
        # Without an early end the time limit is no secret.
        assert of_types["timeout"]["mean_before_failure"] in (None, 1.0)
    # Goes on from the log, and says what it has when it is stopped.
    told = knowable("--states", "20", *sizes, moment_pool=interrupted)
    assert "13 of 21 states played, 1 futures each" in told
    assert "knows the state and plan: best F1" in told


def test_the_end_can_be_looked_at_alone(knowable):
    told = knowable("--states", "0", "--replays", "1", "--branches", "1", "--to-the-end", "1")
    assert "1 of 1 states played" in told
    assert "to the end from step" in told
    assert "best F1" not in told


def test_stopped_at_once_there_is_nothing_to_tell(knowable):
    with pytest.raises(SystemExit, match=r"none of the .* is among the 0 that were sampled"):
        knowable("--replays", "1", moment_pool=interrupted)


def test_what_cannot_be_played_is_refused(knowable, tmp_path):
    another = tmp_path / "another"
    shutil.copytree(shipped_policy(FIRST_ENV_ID), another)
    with pytest.raises(SystemExit, match="in 'shipped:pictures' acted the policies tiny_smolvla"):
        knowable("--policy", str(another))
    with pytest.raises(SystemExit, match="--branches is 0; at least 1"):
        knowable("--branches", "0")
    with pytest.raises(SystemExit, match="--states and --to-the-end are 0"):
        knowable("--states", "0")
    with pytest.raises(SystemExit, match="no/such"):
        knowable(store="no/such")


def test_precursors_of_recorded_failures(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["precursors.py", "shipped:pictures", "--json"])
    runpy.run_path(str(BENCHMARKS / "precursors.py"), run_name="__main__")
    found = json.loads(capsys.readouterr().out)["stores"]["shipped:pictures"]
    table = StoreReader("shipped:pictures").table()
    assert found["successes"] == np.sum(table["outcome"] == Outcome.SUCCESS)
    physical = np.isin(table["failure_type"], (1, 2, 4)).sum()  # all but timeouts
    assert found["all physical"]["failures"] == physical > 0


def test_the_experts_of_metaworld_are_measured(monkeypatch, tmp_path):
    pytest.importorskip("metaworld", reason="MetaWorld is not installed (salus_ros[metaworld])")
    script = runpy.run_path(str(BENCHMARKS / "metaworld_experts.py"))
    monkeypatch.setitem(script["main"].__globals__, "NOISE_LEVELS", (0.0,))
    script["main"](1, tmp_path / "experts.json")
    found = json.loads((tmp_path / "experts.json").read_text())
    assert len(found["tasks"]) == 8
    rates = [one["0.0"]["success_rate"] for one in found["tasks"].values()]
    assert found["all"]["0.0"] == np.mean(rates) > 0.5
    assert all(sum(one["0.0"]["endings"].values()) == 1 for one in found["tasks"].values())


@pytest.fixture(scope="module")
def engines_apart(trained, tmp_path_factory):
    """A calibrated model, episodes of its engine, and of the same seeds under another."""
    folder, none = tmp_path_factory.mktemp("engines"), FailureType.NONE
    model = Path(shutil.copytree(trained[0], folder / "model"))

    def record(name, world, kinds, first_seed):
        path = folder / name
        with EpisodeStore.create(path, LOW_DIM) as store:
            for n, kind in enumerate(kinds):
                length = 40 + 7 * n % 50
                made = make_episode(str(n), length, kind, seed=first_seed + n)
                about = replace(made.meta, world=world, seed=n)
                store.append(replace(made, meta=about))
        return str(path)

    kinds = [none, FailureType.DROP, none, FailureType.COLLISION] * 10
    more = record("more", "salus/PickPlace-v1", kinds, 5000)
    predictor = Predictor.load(model)
    calibrate(predictor, samples_for(predictor, [more])).save(model)
    here = record("here", "salus/PickPlace-v1", kinds, 6000)
    swapped = [kinds[1], kinds[0], *kinds[2:38], FailureType.DROP]  # one gained, two lost
    return model, here, record("there", "salus/PickPlace-physx", swapped, 7000)


def test_a_predictor_in_another_engine(engines_apart, monkeypatch, capsys):
    model, here, there = engines_apart
    monkeypatch.setattr(sys, "argv", ["sim_to_sim.py", str(model), here, there])
    monkeypatch.syspath_prepend(BENCHMARKS)
    runpy.run_path(str(BENCHMARKS / "sim_to_sim.py"), run_name="__main__")
    found = json.loads(capsys.readouterr().out)["stores"]
    assert found["here"]["with_faults"]["success"]["count"] == 20
    assert "against_the_first" not in found["here"]
    apart = found["there"]["against_the_first"]
    assert (apart["pairs"], apart["only_here"], apart["only_there"]) == (39, 1, 2)
    assert apart["difference"] == pytest.approx(-1 / 39)
    assert found["there"]["world"] == "salus/PickPlace-physx"
    anew, rate = found["there"]["calibrated_here"], found["there"]["with_faults"]
    assert anew["calibrated_on"] == [20, 19]
    assert rate["episodes"] == 39
    for about in (anew, found["there"]["predictor"]["alarm"]):
        low, high = about["false_alarm_interval"]
        assert low <= about["false_alarm_share"] <= high
        assert 0.0 <= about["detection_rate"] <= 1.0


def test_a_learning_curve_tests_on_the_same_episodes(monkeypatch, capsys, tmp_path):
    kinds = [FailureType.NONE, FailureType.DROP, FailureType.NONE, FailureType.COLLISION]
    stores = {}
    for name, first_seed, some in (("home", 6000, kinds * 10), ("more", 9000, kinds[1:] * 4)):
        stores[name] = str(tmp_path / name)
        with EpisodeStore.create(stores[name], LOW_DIM) as store:
            for n, kind in enumerate(some):
                store.append(make_episode(f"{name} {n}", 40 + n, kind, seed=first_seed + n))

    def run(more, *further):
        given = [more, "--store", stores["home"], "--detector", "task_prior"]
        given += ["--workers", "1", "--out", str(tmp_path / "kept"), "--further", *further]
        monkeypatch.setattr(sys, "argv", ["learning_curve.py", *given])
        runpy.run_path(str(BENCHMARKS / "learning_curve.py"), run_name="__main__")
        return json.loads(capsys.readouterr().out)["points"]

    points = run(stores["more"], "0", "12")
    learnt = [one["episodes_to_learn_from"] for one in points]
    drops = [one["failures_to_learn_from"]["drop"] for one in points]
    assert learnt[1] - learnt[0] == 12.0
    assert drops[1] - drops[0] == 4.0
    # One task: what it was taught by makes no difference to whom it ranks first.
    at_a_quarter = [one["detectors"]["task_prior"]["at_a_quarter"] for one in points]
    assert at_a_quarter[0] == at_a_quarter[1]
    assert at_a_quarter[0]["auroc_within_task"] == 0.5
    with pytest.raises(SystemExit, match="more: 12 episodes"):
        run(stores["more"], "13")
    with pytest.raises(SystemExit, match=r"40 of .*home are episodes that are tested on"):
        run(stores["home"], "1")


def test_an_alarm_that_was_never_calibrated_cannot_be_carried_over(trained, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["sim_to_sim.py", str(trained[0]), "no/such"])
    monkeypatch.syspath_prepend(BENCHMARKS)
    with pytest.raises(SystemExit, match="is not calibrated"):
        runpy.run_path(str(BENCHMARKS / "sim_to_sim.py"), run_name="__main__")
