"""Taps that other packages bring: found by the type of the checkpoint, held to the contract."""

import json
from dataclasses import replace
from importlib.metadata import EntryPoint

import numpy as np
import pytest
import torch

from salus_ros.core.errors import ConfigError, PolicyError
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies import registry
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tap import PolicySample, TapSpec


class ConstantTap:
    """A policy that always says the same, and one signal of its own making."""

    spec = TapSpec(
        cameras=("eye",),
        state_dim=2,
        action_dim=3,
        plan_length=5,
        executed=4,
        stochastic=False,
        unavailable={name: "constant" for name in SIGNAL_NAMES if name.startswith("attention")},
    )
    named = {"flow_curvature": 0.25}  # noqa: RUF012

    def sample(self, histories, noise, seeds, num_samples):
        assert noise is None
        assert num_samples == 1
        assert all(len(history) == 1 for history in histories)
        return [PolicySample(torch.ones(1, 5, 3), named=self.named) for _ in histories]

    def own_chunk(self, history, noise, seed):
        return torch.ones(5, 3)

    def actions(self, chunks):
        return chunks.numpy() * 2


class FurtherTap(ConstantTap):
    spec = replace(ConstantTap.spec, further=("wisdom", "doubt"))
    named = {"wisdom": 1.5}  # noqa: RUF012  # of doubt there is nothing to say


class UnknownSignalTap(ConstantTap):
    named = {"wisdom": 1.0}  # noqa: RUF012


def load(folder, device):
    return ConstantTap()


def load_further(folder, device):
    return FurtherTap()


def load_unknown(folder, device):
    return UnknownSignalTap()


@pytest.fixture
def folder(tmp_path):
    """As much of a checkpoint as every policy has."""
    (tmp_path / "config.json").write_text(json.dumps({"type": "constant"}))
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        (tmp_path / name).write_text('{"steps": []}')
    return tmp_path


@pytest.fixture
def installed(monkeypatch):
    """Installs a tap for the type 'constant'."""

    def install(value):
        found = EntryPoint("constant", value, registry.GROUP)
        monkeypatch.setattr(
            registry,
            "entry_points",
            lambda group, name: [found] if (group, name) == (registry.GROUP, "constant") else [],
        )

    return install


def test_a_tap_of_another_package_is_found_by_the_type(folder, installed):
    installed(f"{__name__}:load")
    runner = PolicyRunner(folder, num_samples=4, replan_every=2)
    images = {"eye": np.zeros((4, 4, 3), np.uint8)}
    first, _, third = (runner.step(images, np.zeros(2), "", t) for t in range(3))
    np.testing.assert_array_equal(first.action, [2, 2, 2])
    assert first.signals[SIGNAL_NAMES.index("flow_curvature")] == 0.25
    valid = {n for n, v in zip(SIGNAL_NAMES, third.valid, strict=True) if v}
    assert valid == {"flow_curvature", "chunk_inconsistency"}
    assert valid == set(SIGNAL_NAMES) - set(runner.unavailable)


def test_signals_beyond_the_twelve_come_by_name_and_are_held(folder, installed):
    installed(f"{__name__}:load_further")
    runner = PolicyRunner(folder, num_samples=4, replan_every=2)
    images = {"eye": np.zeros((4, 4, 3), np.uint8)}
    steps = [runner.step(images, np.zeros(2), "", t) for t in range(3)]
    assert runner.further_signals == ("wisdom", "doubt")
    for step in steps:
        np.testing.assert_array_equal(step.further, np.float32([1.5, np.nan]))
    with pytest.raises(PolicyError, match="none of them one of the twelve"):
        replace(ConstantTap.spec, further=("latent_ood",))


def test_a_signal_that_there_is_not_is_refused(folder, installed):
    installed(f"{__name__}:load_unknown")
    images = {"eye": np.zeros((4, 4, 3), np.uint8)}
    with pytest.raises(PolicyError, match="gives the signals wisdom; there are attention_entropy"):
        PolicyRunner(folder).step(images, np.zeros(2), "", 0)


def test_a_tap_that_cannot_be_imported_is_named(folder, installed):
    installed("no_such_module:load")
    with pytest.raises(PolicyError, match="no_such_module:load reads, and that cannot be"):
        PolicyRunner(folder)


def test_noise_that_a_policy_does_not_take_has_no_memory(folder, installed):
    installed(f"{__name__}:load")
    with pytest.raises(ConfigError, match="takes no noise, only 0 is allowed"):
        PolicyRunner(folder, noise_memory=3.0)
