"""Small policies of LeRobot's own classes with random weights, saved as LeRobot saves them."""

import numpy as np
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors

from salus_ros.policies.tiny import shipped_policy
from salus_ros.worlds.physics import FIRST_ENV_ID

STATE_DIM, ACTION_DIM = 6, 5
SIZE = (48, 64)


def features(cameras, state_dim, action_dim, size):
    """What LeRobot's configurations call input and output."""
    images = {
        f"observation.images.{name}": PolicyFeature(FeatureType.VISUAL, (3, *size))
        for name in cameras
    }
    return {
        "input_features": images
        | {"observation.state": PolicyFeature(FeatureType.STATE, (state_dim,))},
        "output_features": {"action": PolicyFeature(FeatureType.ACTION, (action_dim,))},
        "device": "cpu",
        "push_to_hub": False,
    }


def save(folder, kind, cameras, state_dim=STATE_DIM, action_dim=ACTION_DIM, size=SIZE, **options):
    """Build a policy and write its folder; its normalisation is not the identity."""
    torch.manual_seed(0)
    given = features(cameras, state_dim, action_dim, size) | options
    if kind in ("act", "diffusion", "vqbet"):
        given["pretrained_backbone_weights"] = None
    config = make_policy_config(kind, **given)
    policy = get_policy_class(kind)(config)
    if kind == "vqbet":
        policy.vqbet.action_head.vqvae_model.discretized.fill_(True)  # as after its training
    rng = np.random.default_rng(0)
    stats = {}
    for key, dim in (("observation.state", state_dim), ("action", action_dim)):
        low = rng.uniform(-2, -1, dim).astype(np.float32)
        high = rng.uniform(1, 3, dim).astype(np.float32)
        stats[key] = {"mean": (low + high) / 2, "std": (high - low) / 4, "min": low, "max": high}
        stats[key] |= {"q01": low, "q99": high}
    for name in cameras:
        half = np.full((3, 1, 1), 0.5, np.float32)
        low, high = np.zeros_like(half), np.ones_like(half)
        stats[f"observation.images.{name}"] = {"mean": half, "std": half, "min": low, "max": high}
    policy.save_pretrained(folder)
    for part in make_pre_post_processors(config, dataset_stats=stats):
        part.save_pretrained(folder)
    return folder


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


def make_pi_small(monkeypatch, kind):
    """From now on LeRobot builds `pi0` or `pi05` of a few thousand parameters.

    Its configuration knows two sizes, of 0.3 and 2 billion; the classes are the same.
    """
    from importlib import import_module

    module = import_module(f"lerobot.policies.{kind}.modeling_{kind}")
    vlm, expert = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM
    vocabulary = 300

    def small_vlm(config):
        config.text_config.vocab_size = config._vocab_size = vocabulary
        config.image_token_index = vocabulary - 1
        vision = config.vision_config
        vision.hidden_size, vision.intermediate_size = 24, 32
        vision.num_hidden_layers, vision.num_attention_heads = 1, 2
        vision.projection_dim = config.text_config.hidden_size
        return vlm(config=config)

    def small_expert(config):
        config.vocab_size = vocabulary
        return expert(config=config)

    sizes = {"gemma_2b": (32, 48), "gemma_300m": (16, 24)}
    monkeypatch.setattr(
        module,
        "get_gemma_config",
        lambda name: module.GemmaConfig(sizes[name][0], 3, sizes[name][1], 2, 1, 8),
    )
    monkeypatch.setattr(module, "PaliGemmaForConditionalGenerationWithPiGemma", small_vlm)
    monkeypatch.setattr(module, "PiGemmaForCausalLM", small_expert)
    processors = import_module(f"lerobot.policies.{kind}.processor_{kind}")
    step = processors.TokenizerProcessorStep
    words = str(shipped_policy(FIRST_ENV_ID) / "vlm")
    monkeypatch.setattr(
        processors,
        "TokenizerProcessorStep",
        lambda **given: step(**given | {"tokenizer_name": words}),
    )


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
