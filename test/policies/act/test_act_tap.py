"""ACT: its decoder's attention, its hidden state, the chunks of other latents."""

import numpy as np
import pytest
import torch
from other_policies import lerobot_chunk, observations, play, save_act

from salus_ros.core.errors import ObservationError, PolicyError
from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.act.tap import load
from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.tap import Observation

CAMERAS = ("top", "gripper")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_act(tmp_path_factory.mktemp("act") / "act")


@pytest.fixture(scope="module")
def given():
    return observations(CAMERAS)


@pytest.fixture(scope="module")
def tap(folder):
    return load(folder, "cpu")


@pytest.fixture
def sample(tap, given):
    latents = torch.randn((1, 3, 8), generator=torch.Generator().manual_seed(0))
    observation = Observation(*given[0], "tidy", 0)
    return tap.sample([[observation]], latents, [0], 3)[0]


def test_what_is_executed_is_lerobots_own_chunk(folder, given):
    steps = play(PolicyRunner(folder, num_samples=4, replan_every=4), given)
    own = lerobot_chunk(folder, given[:1])
    np.testing.assert_allclose(steps[0].plans[0], own, atol=1e-4)
    np.testing.assert_allclose(steps[3].action, own[3], atol=1e-4)
    assert steps[0].plans.shape == (4, 10, 5)


def test_the_other_chunks_are_those_of_other_latents(tap, given, sample):
    model = tap._loaded.policy.model
    latents = torch.randn((1, 3, 8), generator=torch.Generator().manual_seed(0))
    handle = model.encoder_latent_input_proj.register_forward_pre_hook(
        lambda *_: (latents[0, 2:],)
    )
    own = tap.own_chunk([Observation(*given[0], "tidy", 0)], None, 0)
    handle.remove()
    torch.testing.assert_close(sample.chunks[2], own, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(sample.chunks[1], sample.chunks[2], atol=1e-3)


def test_attention_is_that_of_the_decoder_and_the_image_tokens_are_the_cameras(tap, sample):
    assert float(sample.attention.sum()) == pytest.approx(1.0, abs=1e-5)
    tokens = 2 * 2  # of a picture of 48 x 64, a 32nd of it
    assert sample.attention.shape == (2 + 2 * tokens,)  # latent and state before them
    assert [(s.start, s.stop) for s in sample.image_tokens] == [(2, 6), (6, 10)]
    assert sample.visual.shape == (2, 32)
    assert sample.hidden.shape == (3, 32)


def test_hidden_state_is_what_the_head_projects(tap, given):
    tap._executed = 10
    latents = torch.zeros((1, 1, 8))
    sample = tap.sample([[Observation(*given[0], "tidy", 0)]], latents, [0], 1)[0]
    tap._executed = 4
    with torch.no_grad():
        projected = tap._loaded.policy.model.action_head(sample.hidden)
    torch.testing.assert_close(projected[0], sample.chunks[0].mean(dim=0), atol=1e-4, rtol=1e-4)


def test_the_policy_is_as_before_afterwards(tap, given):
    observation = Observation(*given[0], "tidy", 0)
    before = tap.own_chunk([observation], None, 0)
    tap.sample([[observation]], torch.ones((1, 3, 8)), [0], 3)
    assert torch.equal(before, tap.own_chunk([observation], None, 0))


def test_every_signal_but_those_that_it_names_exists(folder, given):
    runner = PolicyRunner(folder, num_samples=3, replan_every=2)
    assert set(runner.unavailable) == {"flow_curvature", "latent_ood"}
    last = play(runner, given)[-1]
    assert {n for n, v in zip(SIGNAL_NAMES, last.valid, strict=True) if not v} == set(
        runner.unavailable
    )
    assert last.embedding.shape == (32,)
    assert last.visual_embedding.shape == (2, 32)
    assert last.expert_embedding.shape == (0,)


def test_without_the_cvae_there_is_one_chunk(tmp_path, given):
    runner = PolicyRunner(save_act(tmp_path / "plain", use_vae=False), num_samples=4)
    assert runner.num_samples == 1
    assert "one chunk" in runner.unavailable["sample_variance"]
    last = play(runner, given)[-1]
    assert last.plans.shape == (1, 10, 5)
    assert last.valid[SIGNAL_NAMES.index("chunk_inconsistency")]
    assert not last.valid[SIGNAL_NAMES.index("sample_variance")]


def test_chunks_that_lerobot_would_average_are_refused(tmp_path):
    folder = save_act(tmp_path / "averaged", temporal_ensemble_coeff=0.01, n_action_steps=1)
    with pytest.raises(PolicyError, match=r"temporal_ensemble_coeff 0\.01"):
        PolicyRunner(folder, replan_every=1)


def test_images_of_another_size_than_it_was_trained_with_are_refused(folder, given):
    images, state = given[0]
    wide = images | {"gripper": np.zeros((48, 96, 3), np.uint8)}
    with pytest.raises(ObservationError, match=r"'gripper' is 48 x 96 pixels.*with 48 x 64"):
        PolicyRunner(folder).step(wide, state, "tidy", 0)


def test_lerobots_default_of_the_whole_chunk_executed_has_every_signal(tmp_path, given):
    folder = save_act(tmp_path / "default", n_action_steps=10)
    runner = PolicyRunner(folder, num_samples=2, replan_every=3)
    assert set(runner.unavailable) == {"flow_curvature", "latent_ood"}
    assert play(runner, given)[-1].valid[SIGNAL_NAMES.index("sample_spread_growth")]
