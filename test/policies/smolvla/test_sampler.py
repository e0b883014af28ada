"""The tap samples what LeRobot's own sampler would, and sees what is there."""

import json
import shutil

import numpy as np
import pytest
import torch

from salus_ros.policies.runner import PolicyRunner
from salus_ros.policies.smolvla.loading import load_policy
from salus_ros.policies.smolvla.sampler import SmolVLASampler


@pytest.fixture(scope="module")
def loaded(policy_folder):
    return load_policy(policy_folder)


@pytest.fixture
def batch(loaded, observation):
    images, state = observation
    given = {
        f"observation.images.{name}": torch.from_numpy(image).permute(2, 0, 1).float() / 255
        for name, image in images.items()
    }
    given |= {"observation.state": torch.from_numpy(state), "task": "put the red cube in the bin"}
    return loaded.preprocess(given)


@pytest.fixture
def noise(loaded):
    shape = (4, loaded.config.chunk_size, loaded.config.max_action_dim)
    return torch.randn(shape, generator=torch.Generator().manual_seed(0))


def test_every_sample_equals_the_stock_sampler_for_the_same_noise(loaded, batch, noise):
    sample = SmolVLASampler(loaded.policy, 6).sample(batch, noise[None])[0]
    for k in range(4):
        stock = loaded.policy.predict_action_chunk(dict(batch), noise=noise[k : k + 1])
        torch.testing.assert_close(sample.chunks[k], stock[0], atol=1e-4, rtol=1e-4)


def test_every_observation_of_a_batch_equals_the_stock_sampler(loaded, observation, noise):
    images, state = observation
    given = {
        f"observation.images.{name}": torch.stack(
            [torch.from_numpy(np.roll(image, 40 * b, 1)).permute(2, 0, 1) for b in range(3)]
        ).float()
        / 255
        for name, image in images.items()
    }
    given["observation.state"] = torch.from_numpy(np.stack([state, -state, state + 1]))
    given["task"] = ["put the red cube in the bin", "lift", "stack the red cube on the blue cube"]
    batch = loaded.preprocess(given)
    assert not batch["observation.language.attention_mask"].all()  # of different length, padded
    shape = (3, 2, *noise.shape[1:])
    noise = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    samples = SmolVLASampler(loaded.policy, 6).sample(batch, noise)
    for k in range(2):
        stock = loaded.policy.predict_action_chunk(dict(batch), noise=noise[:, k])
        chunks = torch.stack([sample.chunks[k] for sample in samples])
        torch.testing.assert_close(chunks, stock, atol=1e-4, rtol=1e-4)


def test_the_policy_is_as_before_afterwards(loaded, batch, noise):
    before = loaded.policy.predict_action_chunk(dict(batch), noise=noise[:1])
    SmolVLASampler(loaded.policy, 6).sample(batch, noise[None])[0]
    after = loaded.policy.predict_action_chunk(dict(batch), noise=noise[:1])
    torch.testing.assert_close(before, after, atol=0.0, rtol=0.0)
    left = vars(loaded.policy.model.vlm_with_expert)
    assert not {"get_attention_interface", "embed_image"} & set(left)


def test_another_observation_is_not_answered_from_the_last_ones_memory(loaded, batch, noise):
    tap = SmolVLASampler(loaded.policy, 6)
    tap.sample(batch, noise[None])[0]
    other = dict(batch) | {"observation.state": batch["observation.state"] + 1.0}
    stock = loaded.policy.predict_action_chunk(dict(other), noise=noise[:1])
    torch.testing.assert_close(
        tap.sample(other, noise[None])[0].chunks[:1], stock, atol=1e-4, rtol=1e-4
    )


def test_attention_is_a_distribution_over_the_prefix(loaded, batch, noise):
    sample = SmolVLASampler(loaded.policy, 6).sample(batch, noise[None])[0]
    assert sample.attention is not None
    assert float(sample.attention.sum()) == pytest.approx(1.0, abs=1e-5)
    assert [(s.start, s.stop) for s in sample.image_tokens] == [(0, 16), (16, 32), (32, 48)]
    language = batch["observation.language.tokens"].shape[1]
    assert sample.attention.shape == (48 + language + 1,)


def test_attention_equals_the_probabilities_of_lerobots_eager_attention(
    loaded, batch, noise, monkeypatch
):
    """Recompute from LeRobot's own function, called with what the layers pass to it."""
    vlm = loaded.policy.model.vlm_with_expert
    calls = []
    stock = vlm.eager_attention_forward

    def spy(mask, size, dim, q, k, v):
        calls.append((mask, q, k))
        return stock(mask, size, dim, q, k, v)

    monkeypatch.setattr(vlm, "eager_attention_forward", spy)
    loaded.policy.predict_action_chunk(dict(batch), noise=noise[:1])
    chunk = loaded.config.chunk_size
    cross = [c for c in calls if c[1].shape[1] == chunk and c[2].shape[1] != c[0].shape[2] + chunk]
    cross = [c for c in cross if c[2].shape[1] == calls[0][2].shape[1]][-2:]  # last step, 2 layers
    expected = []
    for mask, q, k in cross:
        groups = q.shape[2] // k.shape[2]
        keys = k.repeat_interleave(groups, dim=2).transpose(1, 2)
        logits = q.transpose(1, 2) @ keys.transpose(2, 3) * q.shape[-1] ** -0.5
        logits = logits.masked_fill(~mask[:, None], -torch.inf)
        expected.append(logits.softmax(-1)[:, :, :6].mean(dim=(0, 1, 2)))
    monkeypatch.undo()
    sample = SmolVLASampler(loaded.policy, 6).sample(batch, noise[None, :1])[0]
    torch.testing.assert_close(
        sample.attention, torch.stack(expected).mean(0), atol=1e-5, rtol=1e-4
    )


def test_hidden_state_is_what_the_head_projects(loaded, batch, noise):
    """The mean over all tokens of a linear head's input gives the mean of its output."""
    chunk = loaded.config.chunk_size
    sample = SmolVLASampler(loaded.policy, chunk).sample(batch, noise[None])[0]
    seen = []
    handle = loaded.policy.model.action_out_proj.register_forward_hook(
        lambda _m, _i, output: seen.append(output)
    )
    loaded.policy.predict_action_chunk(dict(batch), noise=noise[:1])
    handle.remove()
    with torch.no_grad():
        projected = loaded.policy.model.action_out_proj(sample.hidden[:1].clone())
    torch.testing.assert_close(projected, seen[-1].mean(dim=1), atol=1e-4, rtol=1e-4)


def test_curvature_is_not_negative_and_finite(loaded, batch, noise):
    curvature = float(SmolVLASampler(loaded.policy, 6).sample(batch, noise[None])[0].curvature)
    assert np.isfinite(curvature)
    assert curvature > 0


def test_visual_is_the_mean_of_lerobots_image_tokens(loaded, batch, noise):
    sample = SmolVLASampler(loaded.policy, 6).sample(batch, noise[None])[0]
    images, _ = loaded.policy.prepare_images(batch)
    embed = loaded.policy.model.vlm_with_expert.embed_image
    with torch.no_grad():
        expected = torch.cat([embed(image).mean(dim=1) for image in images])
    assert sample.visual.shape == (3, 128)
    torch.testing.assert_close(sample.visual, expected, atol=1e-5, rtol=1e-5)
    assert not torch.allclose(sample.visual[0], sample.visual[1])


def test_middle_is_what_the_first_half_of_lerobots_expert_layers_gives(loaded, batch, noise):
    """The output of a layer is its second residual plus what its network adds."""
    second = loaded.policy.model.vlm_with_expert.lm_expert.layers[1]  # of four
    residual, added = [], []
    handles = [
        second.post_attention_layernorm.register_forward_pre_hook(
            lambda _m, inputs: residual.append(inputs[0].clone())
        ),
        second.mlp.register_forward_hook(lambda _m, _i, output: added.append(output.clone())),
    ]
    loaded.policy.predict_action_chunk(dict(batch), noise=noise[:1])
    for handle in handles:
        handle.remove()
    expected = (residual[-1] + added[-1])[:, :6].mean(dim=1)  # last denoising step
    sample = SmolVLASampler(loaded.policy, 6).sample(batch, noise[None, :1])[0]
    torch.testing.assert_close(sample.middle, expected, atol=1e-4, rtol=1e-4)


def test_an_empty_camera_is_not_seen(policy_folder, tmp_path, observation):
    """Of LeRobot's own configuration: a third camera that this robot lacks."""
    folder = tmp_path / "empty"
    shutil.copytree(policy_folder, folder)
    config = json.loads((folder / "config.json").read_text())
    del config["input_features"]["observation.images.wrist"]
    (folder / "config.json").write_text(json.dumps(config | {"empty_cameras": 1}))
    images, state = observation
    answer = PolicyRunner(folder, num_samples=2).step(images, state, "lift", 0)
    whole = PolicyRunner(policy_folder, num_samples=2).step(images, state, "lift", 0)
    assert answer.visual_embedding.shape == (2, 128)
    np.testing.assert_array_equal(answer.visual_embedding, whole.visual_embedding[:2])
