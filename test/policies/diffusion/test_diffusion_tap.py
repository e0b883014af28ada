"""Diffusion Policy: its denoising path, its chunks, the observations that it is given."""

import numpy as np
import pytest
import torch
from other_policies import lerobot_chunk, observations, play, save_diffusion

from salus_ros.core.schema import SIGNAL_NAMES
from salus_ros.policies.diffusion.tap import load
from salus_ros.policies.runner import PolicyRunner, step_together
from salus_ros.policies.tap import Observation

pytest.importorskip("diffusers", reason="LeRobot's diffusion needs lerobot[diffusion]")
CAMERAS = ("top", "gripper")


@pytest.fixture(scope="module", params=["DDPM", "DDIM"])
def folder(tmp_path_factory, request):
    folder = tmp_path_factory.mktemp("diffusion") / request.param
    separate = request.param == "DDPM"
    return save_diffusion(
        folder,
        noise_scheduler_type=request.param,
        use_separate_rgb_encoder_per_camera=separate,
        use_group_norm=separate,
    )


@pytest.fixture(scope="module")
def given():
    return observations(CAMERAS)


def test_what_is_executed_is_lerobots_own_chunk(folder, given):
    runner = PolicyRunner(folder, num_samples=3, replan_every=3)
    steps = play(runner, given, seed=7)
    for t, past in ((0, [given[0]]), (3, given[2:4])):  # the oldest is repeated at first
        noise = torch.from_numpy(runner._noise(t)[:1])
        own = lerobot_chunk(folder, past, seed=runner._drawn(t), noise=noise)
        np.testing.assert_allclose(steps[t].plans[0, :3], own, atol=1e-4)
    assert steps[0].plans.shape == (3, 7, 5)  # to the end of the horizon


def test_every_sample_is_that_of_its_own_noise(folder, given):
    tap = load(folder, "cpu")
    history = [Observation(*given[t], "tidy", t) for t in range(2)]
    noise = torch.randn((1, 3, 8, 5), generator=torch.Generator().manual_seed(0))
    sample = tap.sample([history], noise, [11], 3)[0]
    for k in range(3):
        own = tap.own_chunk(history, noise[0, k:], 11 + k)
        torch.testing.assert_close(sample.chunks[k, :3], own, atol=1e-4, rtol=1e-4)
    assert "conditional_sample" not in vars(tap._loaded.policy.diffusion)
    assert sample.visual.shape == (2, tap.spec.visual_dim)
    alone = tap.sample([[history[1]] * 2], noise, [11], 3)[0]
    torch.testing.assert_close(alone.visual, sample.visual)  # that of the newest pictures
    assert not torch.allclose(alone.chunks, sample.chunks)  # but it is given both


def test_hidden_state_is_what_the_last_layer_projects(folder, given):
    tap = load(folder, "cpu")
    unet, seen = tap._loaded.policy.diffusion.unet, []
    handle = unet.final_conv.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    history = [Observation(*given[t], "tidy", t) for t in range(2)]
    noise = torch.randn((1, 1, 8, 5), generator=torch.Generator().manual_seed(0))
    tap.own_chunk(history, noise[0], 5)
    handle.remove()
    sample = tap.sample([history], noise, [5], 1)[0]
    torch.testing.assert_close(
        sample.hidden[0], seen[-1][0, :, 1:4].mean(dim=1), atol=1e-4, rtol=1e-4
    )
    assert len(seen) == 6
    assert sample.middle.shape == (1, 32)


def test_a_path_along_one_noise_is_straight(folder, given):
    tap = load(folder, "cpu")
    history = [Observation(*given[t], "tidy", t) for t in range(2)]
    noise = torch.randn((1, 2, 8, 5), generator=torch.Generator().manual_seed(0))
    assert float(tap.sample([history], noise, [5], 2)[0].curvature) > 0
    with torch.no_grad():  # the last layer gives its bias: the same in each step
        last = tap._loaded.policy.diffusion.unet.final_conv[1]
        last.weight.zero_()
    assert float(tap.sample([history], noise, [5], 2)[0].curvature) == 0.0


def test_an_episode_does_not_depend_on_those_beside_it(folder, given):
    runner = PolicyRunner(folder, num_samples=2, replan_every=2)
    beside = [runner.sibling(), runner.sibling()]
    for seed, one in enumerate(beside):
        one.reset(seed)
    alone = play(runner, given[:4], seed=1)
    for t in range(4):
        pair = [
            Observation(*given[5 - t], "tidy", t),
            Observation(*given[t], "tidy", t),
        ]
        together = step_together(beside, pair)[1]
        np.testing.assert_array_equal(together.plans, alone[t].plans)
        np.testing.assert_array_equal(together.signals, alone[t].signals)


def test_every_signal_but_those_that_it_names_exists(folder, given):
    runner = PolicyRunner(folder, num_samples=3, replan_every=2)
    assert runner.looks(1)  # the pictures of every step, for the plans to come
    steps = play(runner, given)
    expected = {n for n in SIGNAL_NAMES if n.startswith("attention")} | {"latent_ood"}
    assert set(runner.unavailable) == expected
    last = steps[-1]
    assert {n for n, v in zip(SIGNAL_NAMES, last.valid, strict=True) if not v} == expected
    again = play(runner, given)
    for a, b in zip(steps, again, strict=True):
        np.testing.assert_array_equal(a.plans, b.plans)
        np.testing.assert_array_equal(a.signals, b.signals)
