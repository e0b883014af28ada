"""`salus check policy`: what is sound passes, and each fault is found."""

import json
from dataclasses import replace

import pytest
import torch
from other_policies import save_act
from safetensors.torch import save_file
from typer.testing import CliRunner

from salus_ros.cli import app
from salus_ros.policies import registry
from salus_ros.policies.act.tap import ACTTap
from salus_ros.policies.act.tap import load as load_act
from salus_ros.policies.conformance import check_policy


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_act(tmp_path_factory.mktemp("act") / "act")


def failed(findings):
    return {one.check: one.detail for one in findings if one.passed is False}


def test_a_sound_policy_passes(folder):
    findings = check_policy(folder, num_samples=2)
    assert failed(findings) == {}
    checks = [one.check for one in findings]
    assert {"determinism", "causality", "equal to LeRobot's own call", "cost"} <= set(checks)
    said = CliRunner().invoke(app, ["check", "policy", str(folder), "--json", "--num-samples=2"])
    assert said.exit_code == 0
    assert [one["check"] for one in json.loads(said.stdout)["checks"]] == checks


def test_a_policy_without_its_statistics_is_found(folder):
    path = next(folder.glob("policy_preprocessor_step_*_normalizer_processor.safetensors"))
    kept = path.read_bytes()
    try:
        save_file({"observation.else.mean": torch.zeros(1)}, path)
        found = failed(check_policy(folder, num_samples=2))
        assert list(found) == ["normalisation (state, visual)"]
        assert "no statistics of" in found["normalisation (state, visual)"]
        assert "observation.state" in found["normalisation (state, visual)"]
    finally:
        path.write_bytes(kept)


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("drifts", "determinism"),
        ("drifts", "causality"),
        ("alters", "equal to LeRobot's own call"),
        ("loses", "sizes and signals are as said"),
    ],
)
def test_a_tap_that_breaks_the_contract_is_found(folder, monkeypatch, fault, check):
    class Faulty(ACTTap):
        calls = 0

        def sample(self, histories, noise, seeds, num_samples):
            self.calls += 1
            change = {"drifts": 0.01 * self.calls, "alters": 0.1, "loses": torch.nan}[fault]
            return [
                replace(sample, chunks=sample.chunks + change)
                for sample in super().sample(histories, noise, seeds, num_samples)
            ]

    def load(folder, device):
        return Faulty(load_act(folder, device)._loaded)

    module = type("module", (), {"load": staticmethod(load)})
    monkeypatch.setattr(registry, "import_module", lambda _name: module)
    assert check in failed(check_policy(folder, num_samples=2))


def test_what_cannot_be_loaded_is_one_finding_and_the_exit_code_says_so(tmp_path):
    (found,) = check_policy(tmp_path)
    assert (found.check, found.passed) == ("loads", False)
    said = CliRunner().invoke(app, ["check", "policy", str(tmp_path)])
    assert said.exit_code == 1
    assert "lacks config.json and model.safetensors" in said.stdout
