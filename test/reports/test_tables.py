"""Terminal tables say what is so, and no more."""

from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console
from synthetic_episodes import LOW_DIM, WITH_IMAGES, make_episode, make_store

from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes import EpisodeStore
from salus_ros.episodes.reader import StoreReader
from salus_ros.reports.numbers.missing import missing_data
from salus_ros.reports.numbers.recordings import load_recordings
from salus_ros.reports.numbers.store import store_summary
from salus_ros.reports.tables.demo import live_result, on_unseen_episodes, recovered_result
from salus_ros.reports.tables.store import store_tables
from salus_ros.reports.tables.training import training_tables

STREAMS = (*LOW_DIM.streams, "prediction")


def text(tables, width=100):
    console = Console(width=width)
    with console.capture() as captured:
        for table in tables:
            console.print(table)
    return captured.get()


def row(said, name):
    """Cells of the row of a table that begins with `name`."""
    (line,) = [line for line in said.splitlines() if line.startswith(f"│ {name}")]
    return [cell.strip() for cell in line.strip("│").split("│")]


@pytest.fixture
def write(tmp_path):
    """Writes a store with a stream of predictions: which episodes a predictor followed."""

    def write(*followed):
        with EpisodeStore.create(tmp_path / "a.zarr", replace(LOW_DIM, streams=STREAMS)) as store:
            for number, live in enumerate(followed):
                age = np.full((30, len(STREAMS)), 5.0)
                age[:, -1] = 5.0 if live else np.nan
                age[:3, -1] = np.nan  # a predictor begins late
                risk = np.full(30, 0.5) if live else None
                episode = replace(make_episode(str(number), 30), age_ms=age, risk=risk)
                store.append(episode)
        return tmp_path / "a.zarr"

    return write


def test_gaps_of_a_predictor_are_counted_where_one_ran(write):
    path = write(False, False, True)
    said = text(store_tables(store_summary(StoreReader(path))))
    assert row(said, "prediction")[-2:] == ["3", "10.0%"]
    assert "no predictor ran in 2 of 3 episodes" in " ".join(said.split())
    found = missing_data(load_recordings([path]))
    assert found["predicted"] == {"episodes": 1, "of": 3, "steps": 30}
    missing = {part["name"]: part["missing"] for part in (*found["streams"], *found["arrays"])}
    assert missing["prediction"] == {"count": 3, "share": 0.1}
    assert missing["risk"] == {"count": 0, "share": 0.0}
    assert missing["state"]["count"] == 0


def test_a_store_without_any_predictor_says_so_and_no_gap(write):
    path = write(False, False)
    said = text(store_tables(store_summary(StoreReader(path))))
    assert row(said, "prediction")[-2:] == ["no predictor ran", "-"]
    assert row(said, "predicted live")[-1] == "no predictor ran"


def test_the_columns_of_the_policy_and_of_the_joints_are_named_with_their_sizes(tmp_path):
    path = make_store(tmp_path / "a.zarr", [FailureType.NONE], WITH_IMAGES)
    said = " ".join(text(store_tables(store_summary(StoreReader(path)))).split())
    assert "4 actions of 7 values, 2 samples of it" in said
    assert "3 values for each of front, wrist" in said
    assert "expert embedding │ 6 values" in said
    assert "position, effort of arm, finger" in said
    bare = make_store(tmp_path / "b.zarr", [FailureType.NONE])
    said = text(store_tables(store_summary(StoreReader(bare))))
    titles = {line.strip("│ ").split("  ")[0] for line in said.splitlines()}
    assert "embedding" in titles
    assert not {"plan", "visual embedding", "expert embedding", "joints"} & titles


def results(**test):
    """Training results of which the test part is given."""
    part = {
        "loss": 0.04, "accuracy": 0.99, "precision": None, "recall": 0.0, "f1": 0.0,
        "predicted": 0, "positives": 9, "average_precision": 0.3,
        "at_threshold": {"threshold": 0.2, "precision": 0.5, "recall": 0.25, "f1": 0.333},
        "undefined": {"precision": "nothing was predicted positive"},
    }  # fmt: skip
    epoch = {"epoch": 1, "train_loss": 0.08, "validation_loss": 0.0893}
    split = {"episodes": 3, "steps": 90, "endings": {"drop": 3}, "without_positive_labels": []}
    return {
        "failure_types": ["collision", "drop"],
        "model_id": "abc", "best_epoch": 1, "epochs_run": 2, "history": [epoch],
        "selected_by": "validation loss", "seconds": 1.0, "threshold": 0.144,
        "splits": {"train": split}, "unlabelled_episodes": 0,
        "validation": part | {"predicted": 4, "precision": 0.75, "recall": 0.3, "f1": 0.43},
        "test": part | test,
    }  # fmt: skip


def test_measures_at_a_threshold_that_nothing_reaches_are_no_zeros():
    said = text(training_tables(results()))
    assert row(said, "F1 at 0.5")[1:] == ["0.4300", "-"]
    assert row(said, "recall at 0.5")[1:] == ["0.3000", "-"]
    assert row(said, "F1 at 0.200, chosen")[1:] == ["0.3330", "0.3330"]
    assert "test: no probability reaches 0.5" in " ".join(said.split())
    said = text(training_tables(results(predicted=5, precision=0.2, recall=0.1, f1=0.13)))
    assert row(said, "F1 at 0.5")[1:] == ["0.4300", "0.1300"]
    assert "reaches" not in said


def test_failures_that_no_type_foresees_are_counted():
    said = " ".join(text(training_tables(results())).split())
    assert "failures told apart: collision, drop chosen by" in said
    others = results() | {"failure_types": ["collision"]}
    said = " ".join(text(training_tables(others)).split())
    assert "3 episodes failed otherwise (drop 3), which no output by type foresees" in said


def test_info_counts_by_the_types_of_the_store(tmp_path):
    types = (FailureType.MISPLACED_RELEASE, FailureType.DROP, FailureType.COLLISION)
    for name, spec in (("a", LOW_DIM), ("b", replace(LOW_DIM, failure_types=types))):
        with EpisodeStore.create(tmp_path / name, spec) as store:
            for cause in ("drop", "misplaced release"):
                store.append(make_episode(cause, 30, FailureType.DROP, failure_cause=cause))
            store.append(make_episode("t", 30, FailureType.TIMEOUT, failure_cause=""))
    four, three = (store_summary(StoreReader(tmp_path / name)) for name in "ab")
    assert four["failure_types"] == {"drop": 2, "collision": 0, "timeout": 1, "other": 0}
    assert list(three["failure_types"].items()) == [
        ("misplaced_release", 1), ("drop", 1), ("collision", 0), ("timeout", 1),
    ]  # fmt: skip
    assert three["failure_causes"] == four["failure_causes"]


def test_the_losses_have_the_names_of_the_progress_bar():
    said = text(training_tables(results()))
    assert row(said, "validation loss, as trained")[1:] == ["0.0893", "-"]
    assert row(said, "loss of the horizon outputs alone")[1:] == ["0.0400", "0.0400"]


def test_the_threshold_of_a_training_is_said_to_promise_nothing():
    said = " ".join(text(training_tables(results())).split())
    assert "alarms when the risk exceeds 0.144, which promises nothing yet" in said
    without = " ".join(text(training_tables(results() | {"threshold": None})).split())
    assert "no alarm: there was no failure" in without


def live(kind, failure_step=-1, alarms=()):
    episode = make_episode("live", 60, kind, failure_step=failure_step, fault="slip")
    alarm = np.zeros(60, dtype=np.int8)
    alarm[list(alarms)] = 1
    return replace(episode, risk=np.zeros(60), alarm=alarm)


@pytest.mark.parametrize(
    ("episode", "said"),
    [
        (live(FailureType.NONE), "success (fault: slip); no alarm: right"),
        (live(FailureType.NONE, alarms=[3, 4]), "2 steps with an alarm: a false one"),
        (live(FailureType.DROP, 50), "drop (fault: slip); no alarm: the failure was missed"),
        (live(FailureType.DROP, 50, [20, 40]), "first alarm 1.0 s before the failure: right"),
        (live(FailureType.DROP, 50, [55]), "came only with the failure: missed"),
    ],
)
def test_the_live_episode_is_judged_as_it_went(episode, said):
    assert said in live_result(episode)


def test_an_episode_of_unknown_outcome_is_not_judged():
    meta = make_episode("u", 60).meta
    unknown = meta.judged(Outcome.UNKNOWN, FailureType.NONE, -1)
    said = live_result(replace(live(FailureType.NONE), meta=unknown))
    assert "right" not in said
    assert "unknown" in said


def test_an_episode_with_recovery_says_what_took_the_arm_and_what_came_of_it():
    acted = replace(make_episode("r", 60).meta, interventions="31-57 policy@alarm collision")
    assert recovered_result(acted) == "success; steps 31-57 policy@alarm collision: saved"
    lost = acted.judged(Outcome.FAILURE, FailureType.TIMEOUT, 59)
    assert recovered_result(lost).endswith("collision: not saved")
    assert "nothing took the arm" in recovered_result(replace(lost, interventions=""))


def test_unseen_episodes_say_what_the_alarm_is_worth():
    alarm = {"detection_rate": 0.61, "false_alarm_share": 0.04, "lead_s": {"median": 0.83}}
    said = on_unseen_episodes({"episodes": 150, "failures": 50, "alarm": alarm})
    assert said == (
        "61% of 50 failures were announced, 0.8 s before them (median); 4% of 100 successes had a "
        "false alarm"
    )
    assert "no alarm is possible" in on_unseen_episodes(
        {"episodes": 2, "failures": 1, "alarm": None}
    )
