import gzip
import json
import pickle

import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.evaluation.detectors.catalogue import catalogue
from salus_ros.evaluation.detectors.detector import early_auroc
from salus_ros.evaluation.episode_evaluation import episodes_of
from salus_ros.evaluation.rollout_files import LONGEST_LIST, holds_logs
from salus_ros.evaluation.rollout_logs import load_actprobe


def rollout(number, success, length=6, **changed):
    steps = [
        {"t": t, "action_norm": 1 + t + number / 100, "chunk_mse": 0.1 * t,
         "chunk_mse_mmd": 0.2 * t, "speed": 3}
        for t in range(length)
    ]  # fmt: skip
    return {
        "episode_id": number,
        "task_id": number % 2,
        "task_description": f"task {number % 2}",
        "success": success,
        "length": length,
        "steps": steps,
    } | changed


def write(folder, *rollouts, name="task_0.jsonl"):
    folder.mkdir(exist_ok=True)
    text = "".join(json.dumps(one) + "\n" for one in rollouts).encode()
    (folder / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
    return folder


def without(one, *names):
    return {name: value for name, value in one.items() if name not in names}


def test_a_step_is_a_replan_and_its_values_are_signals(tmp_path):
    write(tmp_path, rollout(0, True), rollout(1, False, 9))
    folder = write(tmp_path, rollout(2, True, 4), name="task_1.jsonl.gz")
    assert holds_logs(folder)
    samples = load_actprobe(folder).samples
    assert samples.signal_names == ("action_norm", "chunk_mse", "chunk_mse_mmd", "speed")
    assert [record.length for record in samples.records] == [6, 9, 4]
    assert samples.signals.shape == (19, 4)
    assert samples.signals[7].tolist() == pytest.approx([2.01, 0.1, 0.2, 3])
    assert samples.fresh.all()
    assert np.array_equal(np.flatnonzero(~samples.valid[:, 1]), [0, 6, 15])  # no chunk before
    assert np.isnan(samples.signals[[0, 6, 15], 1]).all()
    assert samples.valid[:, 0].all()


def test_a_log_is_read_alone_or_several_together(tmp_path):
    folder = write(tmp_path, rollout(0, True))
    write(folder, rollout(1, True, 7), name="b.jsonl.gz")
    alone = load_actprobe(folder / "b.jsonl.gz").samples
    assert holds_logs(folder / "task_0.jsonl")
    assert [record.length for record in alone.records] == [7]
    both = load_actprobe(folder / "task_0.jsonl", folder / "b.jsonl.gz", folder).samples
    assert [record.length for record in both.records] == [6, 7]


def test_failures_that_end_at_a_limit_that_two_show_are_timeouts_and_no_others(tmp_path):
    """Tasks 0 and 1 show 9; task 2 ends before; the failure of task 3 is its longest alone."""
    lengths = {0: [(0, True, 6), (2, False, 9), (4, False, 5)], 1: [(1, False, 9)]}
    lengths |= {2: [(6, True, 8), (8, False, 7)], 3: [(3, True, 4), (5, False, 5)]}
    ones = [
        rollout(number, success, length, task_description=f"task {task}")
        for task, several in lengths.items()
        for number, success, length in several
    ]
    samples = load_actprobe(write(tmp_path, *ones)).samples
    endings = {int(r.meta.id.split("/")[1]): r.meta for r in samples.records}
    assert {number for number, meta in endings.items() if meta.ending == "timeout"} == {1, 2}
    assert {number for number, meta in endings.items() if meta.ending == "other"} == {4, 5, 8}
    assert endings[4].failure_step == 5
    assert endings[0].failure_step == -1
    assert set(samples.time_limits) == {9}  # the only one that shows
    late = np.flatnonzero(samples.labels[:, -1, samples.failure_types.index(FailureType.TIMEOUT)])
    assert samples.step[late].tolist() == [7, 8, 7, 8]  # 0.5 s are two replans
    assert samples.usable.all()


def test_each_task_has_its_limit_and_its_quarter(tmp_path):
    ones = [rollout(n, False, 40 if n % 2 else 8) for n in range(4)]
    ones.append(rollout(8, True, 12, task_description="of neither"))
    samples = load_actprobe(write(tmp_path, *ones)).samples
    assert samples.time_limits.tolist() == [8, 40, 8, 40, 12]  # two show, so none is common
    assert samples.subset([1, 0]).time_limits.tolist() == [40, 8]
    assert episodes_of(samples).share_of_limit(0.25).tolist() == [2, 10, 2, 10, 3]
    assert [record.meta.ending for record in samples.records[:4]] == ["timeout"] * 4


def test_a_cut_at_a_quarter_hides_what_comes_after_the_quarter_of_the_task(tmp_path):
    ones = [rollout(n, n < 4, 40 if n % 2 else 8) for n in range(8)]
    samples = load_actprobe(write(tmp_path, *ones)).samples
    bad = np.array([record.meta.ending != "success" for record in samples.records])
    late = (samples.step >= 2) & (samples.step < 10)
    told = bad[samples.episode] & late & (samples.time_limits == 8)[samples.episode]
    assert early_auroc(told.astype(float), samples) == 0.5
    assert early_auroc((bad[samples.episode] & late).astype(float), samples) == 0.75


def test_steps_with_different_values_leave_gaps_that_are_named(tmp_path):
    one, other = rollout(0, True), rollout(1, True, 4)
    for step in one["steps"][:2]:
        del step["chunk_mse"]
    for step in other["steps"]:
        del step["speed"]
    other["steps"][3]["jerk"] = 5
    other["steps"][2]["chunk_mse"] = None
    logs = load_actprobe(write(tmp_path, one, other))
    samples = logs.samples
    assert samples.signal_names[-1] == "jerk"
    columns = dict(zip(samples.signal_names, samples.signals.T, strict=True))
    assert np.flatnonzero(np.isnan(columns["chunk_mse"])).tolist() == [0, 1, 6, 8]
    assert np.flatnonzero(np.isfinite(columns["speed"])).tolist() == list(range(6))
    assert columns["jerk"][9] == 5
    assert np.isnan(columns["jerk"][:9]).all()
    assert np.array_equal(samples.valid, np.isfinite(samples.signals))
    assert "chunk_mse is absent in 2 of 10 steps and missing there" in logs.notes
    assert "speed is absent in 4 of 10 steps and missing there" in logs.notes
    assert "jerk is absent in 9 of 10 steps and missing there" in logs.notes


def test_a_task_without_a_name_is_called_as_its_file(tmp_path):
    unnamed = [without(rollout(n, True), "task_id", "task_description") for n in range(2)]
    write(tmp_path, unnamed[0], name="OpenDrawer.jsonl")
    write(tmp_path, without(unnamed[1], "episode_id"), name="Press.jsonl.gz")
    write(tmp_path, without(rollout(4, True), "task_description"), name="z.jsonl")
    metas = [record.meta for record in load_actprobe(tmp_path).samples.records]
    assert {meta.task: meta.id for meta in metas} == {
        "OpenDrawer": "OpenDrawer/0",
        "Press": "Press/1",
        "task 0": "0/4",
    }


def test_nested_values_get_dotted_names_and_what_is_no_number_is_named(tmp_path):
    one = rollout(0, True, 3)
    for t, step in enumerate(one["steps"]):
        step["physics"] = {"state.eef": [t, 2, 3], "mode": "grasp", "gone": {}}
        step["hidden"] = [0.5] * (LONGEST_LIST + 1)
        step["held"] = t > 0
    one["steps"][1]["speed"] = "fast"
    logs = load_actprobe(write(tmp_path, one))
    names = logs.samples.signal_names
    assert names[4:] == ("physics.state.eef.0", "physics.state.eef.1", "physics.state.eef.2",
                         "held")  # fmt: skip
    columns = dict(zip(names, logs.samples.signals.T, strict=True))
    assert columns["physics.state.eef.0"].tolist() == [0, 1, 2]
    assert columns["held"].tolist() == [0, 1, 1]
    assert np.isnan(columns["speed"]).tolist() == [False, True, False]
    said = "\n".join(logs.notes)
    assert "physics.mode is no number in 3 of 3 steps ('grasp' in" in said
    assert "task_0.jsonl' line 1, step 0) and left out" in said
    assert "hidden is no number in 3 of 3 steps" in said
    assert "speed is no number in 1 of 3 steps ('fast' in" in said
    assert "step 1) and missing there" in said


@pytest.mark.parametrize(
    "text", ["NaN", "Infinity", "-Infinity", "1e999", "1e39", "1" + "0" * 400]
)
def test_a_number_that_is_none_is_missing(tmp_path, text):
    line = json.dumps(rollout(0, True)).replace('"speed": 3', f'"speed": {text}')
    (tmp_path / "a.jsonl").write_text(line)
    samples = load_actprobe(tmp_path).samples
    speed = samples.signal_names.index("speed")
    assert np.isnan(samples.signals[:, speed]).all()
    assert not samples.valid[:, speed].any()


def test_a_step_at_which_nothing_was_planned_is_not_fresh(tmp_path):
    one = rollout(0, True, 4)
    for t, step in enumerate(one["steps"]):
        step["is_replan"] = t % 2 == 0
    samples = load_actprobe(write(tmp_path, one)).samples
    assert samples.fresh.tolist() == [True, False, True, False]
    assert "is_replan" not in samples.signal_names


def test_a_rate_is_taken_from_the_log_or_its_absence_is_said(tmp_path):
    silent = load_actprobe(write(tmp_path / "a", rollout(0, True)))
    assert silent.samples.records[0].meta.rate_hz == 4
    assert any("1 rollouts have no rate_hz: 4 steps a second" in note for note in silent.notes)
    given = load_actprobe(write(tmp_path / "b", rollout(0, True, rate_hz=2.5)))
    assert given.samples.records[0].meta.rate_hz == 2.5
    assert not given.notes


def test_a_rollout_without_an_outcome_is_counted_and_left_out(tmp_path):
    ones = [rollout(0, True), rollout(1, None), without(rollout(2, True), "success")]
    samples = load_actprobe(write(tmp_path / "a", *ones, rollout(3, 0))).samples
    assert samples.unlabelled == 2
    assert [record.meta.ending for record in samples.records] == ["success", "other"]
    with pytest.raises(ConfigError, match="no rollout with an outcome, 1 without; give success"):
        load_actprobe(write(tmp_path / "b", rollout(1, None)))


def test_a_rollout_that_is_there_twice_counts_once(tmp_path):
    write(tmp_path, rollout(0, True), rollout(2, True))
    again = dict(reversed(rollout(0, True).items()))
    logs = load_actprobe(write(tmp_path, again, rollout(1, True), name="copy.jsonl.gz"))
    assert len(logs.samples.records) == 3
    assert any("repeats rollouts of" in note and note.endswith("out: 1") for note in logs.notes)
    with pytest.raises(ConfigError, match=r"line 1 has the steps of .* and another outcome"):
        load_actprobe(write(tmp_path, rollout(0, False), name="z.jsonl"))


def test_what_a_stopped_writer_left_is_named_and_the_rest_is_read(tmp_path):
    write(tmp_path, rollout(0, True), rollout(1, True, steps=[]))
    with (tmp_path / "task_0.jsonl").open("a") as file:
        file.write("\n" + json.dumps(rollout(2, True))[:200])
    write(tmp_path, name="none.jsonl")
    logs = load_actprobe(tmp_path)
    assert len(logs.samples.records) == 1
    said = "\n".join(logs.notes)
    assert "task_0.jsonl' line 4 breaks off and is left out" in said
    assert "task_0.jsonl' line 2 has no step and is left out" in said
    assert "none.jsonl' holds no rollout" in said


def test_the_published_detectors_find_what_they_read(tmp_path):
    samples = load_actprobe(write(tmp_path, rollout(0, True))).samples
    made = catalogue(samples.signal_names)
    for name in ("clock", "stac", "stac_single", "actprobe", "signal:speed", "salus_tcn_signals"):
        assert made[name]().missing(samples) == ""
    for name in ("safe_lstm", "knn", "ace", "salus_tcn"):
        assert made[name]().missing(samples)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"task_0.jsonl' line 2 is no rollout \(JSONDecodeError"),
        ("3", "line 2 is no rollout .*it is no object"),
        (json.dumps(without(rollout(1, True), "steps")), "KeyError: 'steps'"),
        (json.dumps(rollout(1, True, steps={"0": {}})), "steps is no list of objects"),
        (json.dumps(rollout(1, True, steps=[3])), "steps is no list of objects"),
        (json.dumps(rollout(1, "yes")), "success is 'yes'"),
        (json.dumps(rollout(1, True, rate_hz=0)), "rate_hz is 0"),
        (json.dumps(rollout(1, True, rate_hz=[4])), "line 2 is no rollout"),
        (json.dumps(rollout(1, True, steps=[{"t": 1}, {"t": 0}])), "not in the order of their t"),
        (json.dumps(rollout(1, True, steps=[{"t": 0}, {"t": "a"}])), "line 2 is no rollout"),
    ],
)
def test_a_line_that_is_no_rollout_is_named(tmp_path, line, said):
    folder = write(tmp_path / "a", rollout(0, True))
    with (folder / "task_0.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigError, match=said):
        load_actprobe(folder)


@pytest.mark.parametrize("damage", [lambda b: b[:100], lambda b: b[:60] + b"x" * 20 + b[80:]])
def test_a_damaged_archive_is_named(tmp_path, damage):
    folder = write(tmp_path, *[rollout(n, True) for n in range(50)], name="t.jsonl.gz")
    file = folder / "t.jsonl.gz"
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ConfigError, match=r"t.jsonl.gz' cannot be read"):
        load_actprobe(folder)


def test_a_folder_without_a_log_and_logs_without_a_rollout_are_named(tmp_path):
    assert not holds_logs(tmp_path)
    assert not holds_logs(tmp_path / "none.jsonl")
    with pytest.raises(ConfigError, match=r"has no \*.jsonl"):
        load_actprobe(tmp_path)
    with pytest.raises(ConfigError, match=r"hold no rollout .*holds no rollout"):
        load_actprobe(write(tmp_path))


class Bomb:
    """Says that it was unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was read",))


def test_a_pickle_is_refused_by_name_and_never_read(tmp_path):
    file = tmp_path / "CloseDrawer.pkl"
    file.write_bytes(pickle.dumps(Bomb()))
    for given in (tmp_path, file):
        assert holds_logs(given)
        with pytest.raises(ConfigError, match=r"CloseDrawer.pkl' is a pickle.* write it as JSON"):
            load_actprobe(given)
    beside = load_actprobe(write(tmp_path, rollout(0, True, rate_hz=4)))
    assert len(beside.samples.records) == 1
    assert beside.notes == (f"1 pickles as '{file}' are not read",)
