import json

import pytest
from synthetic_episodes import make_store

from salus_ros.core.failures import FailureType

KINDS = (FailureType.NONE, FailureType.DROP)
FEW = ("--detector", "clock", "--detector", "signal:flow_curvature", "--splits", "2")


@pytest.fixture(scope="module")
def stores(tmp_path_factory):
    folder = tmp_path_factory.mktemp("stores")
    return [make_store(folder / f"{n}.zarr", KINDS * 10, seed=n) for n in range(2)]


def test_compares_and_writes_what_it_prints(salus, stores, tmp_path):
    given = (stores[0], "--held-out", stores[1], *FEW, "--workers", 1, "--out", tmp_path)
    code, out, _ = salus("benchmark", *given, "--json")
    results = json.loads(out)
    assert code == 0
    assert results == json.loads((tmp_path / "benchmark.json").read_text())
    assert set(results["detectors"]) == {"clock", "signal:flow_curvature"}
    assert results["episodes"] == results["held_out"]["episodes"] == 20
    clock = results["detectors"]["clock"]["test"]
    assert clock["quarter"]["auroc_within_task"] is not None
    assert clock["operator"]["running"]["failure"]["25%"]["auroc_within_task"] in (0.5, None)
    assert "limits" not in results
    assert set(clock["band"]) == {"shortest", "quarter", "full", "alarms"}
    code, out, _ = salus("benchmark", *given)
    assert code == 0
    assert "signal:flow_curvature" in out
    assert "other conditions: 20, 10 failed" in out


def test_several_logs_of_others_are_compared_and_what_they_lack_is_said(salus, tmp_path):
    for log in range(2):
        rollouts = [
            {"success": n % 2 == 0, "task_id": log, "steps": [{"error": n + log}] * (4 + 3 * log)}
            for n in range(20)
        ]
        text = "\n".join(map(json.dumps, rollouts))
        (tmp_path / f"{log}.jsonl").write_text(text)
    logs = [tmp_path / f"{log}.jsonl" for log in range(2)]
    given = (*logs, "--detector", "clock", "--splits", 2, "--workers", 1, "--out", tmp_path)
    code, out, _ = salus("benchmark", *given, "--at-step", 1, "--json")
    results = json.loads(out)
    assert code == 0
    assert (results["episodes"], results["failures_by_type"]) == (40, {"timeout": 20})
    assert any("40 rollouts have no rate_hz" in note for note in results["notes"])
    running = results["detectors"]["clock"]["test"]["operator"]["running"]["failure"]
    assert running["50%"]["step"] is None  # 2 of 4 steps, 4 of 7
    assert running["step 1"]["step"] == 1
    code, out, _ = salus("benchmark", *given)
    assert (code, "40 rollouts have no rate_hz" in out) == (0, True)


def test_what_cannot_be_compared_is_refused(salus, stores, tmp_path):
    code, _, err = salus("benchmark", stores[0], "--detector", "stick", "--out", tmp_path)
    assert (code, "there is no detector 'stick'; there are clock" in err) == (2, True)
    code, _, err = salus("benchmark", stores[0], "--protocol", "all", "--out", tmp_path)
    assert (code, "allowed is one of folds, seen, unseen" in err) == (2, True)
    code, _, err = salus("benchmark", stores[0], "--splits", 9, "--out", tmp_path)
    assert (code, "at least 18 of each are needed for 9 splits" in err) == (2, True)
