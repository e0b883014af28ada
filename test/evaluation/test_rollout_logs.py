import gzip
import json

import numpy as np
import pytest

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FailureType
from salus_ros.evaluation.detectors.catalogue import catalogue
from salus_ros.evaluation.rollout_logs import is_actprobe, load_actprobe


def rollout(number, success, length=6, **changed):
    steps = [
        {"t": t, "action_norm": 1 + t, "chunk_mse": 0.1 * t, "chunk_mse_mmd": 0.2 * t, "speed": 3}
        for t in range(length)
    ]
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


def test_a_step_is_a_replan_and_its_values_are_signals(tmp_path):
    write(tmp_path, rollout(0, True), rollout(1, False, 9))
    folder = write(tmp_path, rollout(2, True, 4), name="task_1.jsonl.gz")
    assert is_actprobe(folder)
    samples = load_actprobe(folder)
    assert samples.signal_names == ("action_norm", "chunk_mse", "chunk_mse_mmd", "speed")
    assert [record.length for record in samples.records] == [6, 9, 4]
    assert samples.signals.shape == (19, 4)
    assert samples.signals[7].tolist() == pytest.approx([2, 0.1, 0.2, 3])
    assert samples.fresh.all()
    assert samples.time_limit == 9
    assert np.array_equal(np.flatnonzero(~samples.valid[:, 1]), [0, 6, 15])  # no chunk before
    assert samples.valid[:, 0].all()


def test_failures_are_timeouts_at_the_end(tmp_path):
    samples = load_actprobe(write(tmp_path, rollout(0, True), rollout(1, False, 9)))
    good, bad = (record.meta for record in samples.records)
    assert (good.ending, good.failure_step) == ("success", -1)
    assert (bad.ending, bad.failure_step, bad.task) == ("timeout", 9, "task 1")
    assert not samples.labels[:6].any()
    places = np.flatnonzero(
        samples.labels[:, -1, samples.failure_types.index(FailureType.TIMEOUT)]
    )
    assert np.array_equal(places, [13, 14])  # 0.5 s are two replans
    assert samples.usable.all()


def test_the_published_detectors_find_what_they_read(tmp_path):
    samples = load_actprobe(write(tmp_path, rollout(0, True)))
    made = catalogue(samples.signal_names)
    for name in ("clock", "stac", "stac_single", "actprobe", "signal:speed", "salus_tcn_signals"):
        assert made[name]().missing(samples) == ""
    for name in ("safe_lstm", "knn", "ace", "salus_tcn"):
        assert made[name]().missing(samples)


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", r"task_0.jsonl' line 2 is no rollout \(JSONDecodeError"),
        (json.dumps(rollout(1, True, steps=[])), "line 2 is no rollout"),
        (json.dumps(rollout(1, "yes")), "success is 'yes'"),
        (json.dumps(rollout(1, True, steps=[{"t": 0}, {"a": 0}])), "different values"),
        (json.dumps(rollout(1, True, steps=[{"t": 0, "other": 0}])), "other values than the"),
        (json.dumps(rollout(1, True) | {"steps": [rollout(1, 1)["steps"][0] | {"speed": "x"}]}),
         "no numbers"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_rollout_is_named(tmp_path, line, said):
    folder = write(tmp_path / "a", rollout(0, True))
    with (folder / "task_0.jsonl").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(ConfigError, match=said):
        load_actprobe(folder)


def test_a_truncated_file_and_an_empty_folder_are_named(tmp_path):
    folder = write(tmp_path / "a", *[rollout(n, True) for n in range(50)], name="t.jsonl.gz")
    file = folder / "t.jsonl.gz"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ConfigError, match=r"t.jsonl.gz' cannot be read"):
        load_actprobe(folder)
    assert not is_actprobe(tmp_path)
    with pytest.raises(ConfigError, match=r"has no \*.jsonl"):
        load_actprobe(tmp_path)
