"""Small policies of LeRobot's own classes with random weights."""

import numpy as np
import torch
from lerobot.policies.factory import get_policy_class, make_pre_post_processors

from benchmark.random_policies import SIZE, STATE_DIM, save


def save_act(folder, cameras=("top", "gripper"), **options):
    """ACT of a few thousand parameters beside its ResNet."""
    given = {
        "chunk_size": 10,
        "n_action_steps": 4,
        "dim_model": 32,
        "n_heads": 2,
        "dim_feedforward": 64,
        "n_encoder_layers": 1,
        "n_decoder_layers": 2,
        "n_vae_encoder_layers": 1,
        "latent_dim": 8,
    }
    return save(folder, "act", cameras, **given | options)


def save_diffusion(folder, cameras=("top", "gripper"), **options):
    """Diffusion Policy that is given two observations."""
    given = {
        "n_obs_steps": 2,
        "horizon": 8,
        "n_action_steps": 3,
        "down_dims": (16, 32),
        "kernel_size": 3,
        "n_groups": 4,
        "diffusion_step_embed_dim": 16,
        "spatial_softmax_num_keypoints": 4,
        "num_train_timesteps": 6,
    }
    return save(folder, "diffusion", cameras, **given | options)


def save_vqbet(folder):
    """VQ-BeT, which samples from a codebook and is given three observations."""
    return save(
        folder,
        "vqbet",
        ("top",),
        n_obs_steps=3,
        n_action_pred_token=2,
        action_chunk_size=4,
        crop_shape=None,
        spatial_softmax_num_keypoints=4,
        vqvae_n_embed=8,
        vqvae_embedding_dim=16,
        vqvae_enc_hidden_dim=16,
        gpt_input_dim=32,
        gpt_output_dim=32,
        gpt_n_layer=1,
        gpt_n_head=2,
        gpt_hidden_dim=32,
        bet_softmax_temperature=10.0,  # of random weights: it is not always the same code
    )


def observations(cameras, number=8, size=SIZE):
    """Pictures and states of successive steps."""
    rng = np.random.default_rng(1)
    return [
        (
            {name: rng.integers(0, 256, (*size, 3), dtype=np.uint8) for name in cameras},
            rng.standard_normal(STATE_DIM).astype(np.float32),
        )
        for _ in range(number)
    ]


def play(runner, given, seed=0):
    """An episode."""
    runner.reset(seed)
    return [runner.step(images, state, "tidy", t) for t, (images, state) in enumerate(given)]


def lerobot_chunk(folder, given, seed=0, **options):
    """What a user of LeRobot gets for successive observations, in the robot's units.

    Nothing of SALUS is in it: the policy and its two pipelines are loaded as LeRobot does.
    """
    from lerobot.configs import PreTrainedConfig

    config = PreTrainedConfig.from_pretrained(folder)
    policy = get_policy_class(config.type).from_pretrained(folder, config=config)
    before, after = make_pre_post_processors(config, pretrained_path=str(folder))
    policy.reset()
    for images, state in given:
        batch = {"observation.state": torch.from_numpy(state), "task": "tidy"}
        for name, image in images.items():
            pixels = torch.from_numpy(image).permute(2, 0, 1).float() / 255
            batch[f"observation.images.{name}"] = pixels
        batch = before(batch)
        batch.pop("action")  # as select_action does, and:
        if (queues := getattr(policy, "_queues", None)) is not None:
            from lerobot.policies.utils import populate_queues

            pictures = [batch[key] for key in config.image_features]
            batch["observation.images"] = torch.stack(pictures, dim=-4)
            policy._queues = populate_queues(queues, batch)
    torch.manual_seed(seed)
    chunk = policy.predict_action_chunk(batch, **options)
    return after(chunk)[0].numpy()


def save_pi(folder, kind, cameras=("top", "gripper"), **options):
    """pi0 or pi0.5, once `make_pi_small` has been called."""
    given = {
        "chunk_size": 10,
        "n_action_steps": 4,
        "max_state_dim": 8,
        "max_action_dim": 8,
        "num_inference_steps": 3,
        "image_resolution": (56, 56),
        "tokenizer_max_length": 32,
    }
    return save(folder, kind, cameras, **given | options)
