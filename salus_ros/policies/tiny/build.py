"""SmolVLA of LeRobot's own classes in small: a few megabytes, milliseconds on a CPU.

The vision-language backbone, the action expert and the flow-matching head are the genuine
ones; only widths, depths and the image size are reduced, and the tokenizer knows the words of
the tasks. The 450M architecture with random weights comes from the same function, for
measuring speed without a download.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from lerobot.policies.smolvla.processor_smolvla import make_smolvla_pre_post_processors
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.normalizers import Lowercase
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    PreTrainedTokenizerFast,
    SmolVLMConfig,
    SmolVLMImageProcessor,
    SmolVLMProcessor,
    SmolVLMVideoProcessor,
)

VLM_FOLDER = "vlm"
"""Sub-folder of a policy that holds the backbone's configuration and tokenizer."""

WORDS = [  # of the built-in world, then of MetaWorld; new ones at the end keep the others' numbers
    "put",
    "place",
    "pick",
    "stack",
    "move",
    "push",
    "the",
    "a",
    "red",
    "blue",
    "green",
    "yellow",
    "cube",
    "block",
    "can",
    "bowl",
    "in",
    "on",
    "into",
    "onto",
    "bin",
    "box",
    "tray",
    "plate",
    "table",
    "up",
    "and",
    "with",
    "of",
    "to",
    "left",
    "right",
    "front",
    "back",
    "next",
    "from",
    "at",
    "lift",
    "carry",
    "puck",
    "goal",
    "insert",
    "peg",
    "sideways",
    "nut",
    "it",
    "grasp",
    "one",
    "another",
    "shelf",
    "hammer",
    "screw",
    "wall",
    "cover",
    "close",
]
SPECIAL_TOKENS = {
    "fake_image_token": "<fake_token_around_image>",
    "image_token": "<image>",
    "global_image_token": "<global-img>",
    "end_of_utterance_token": "<end_of_utterance>",
}


@dataclass(frozen=True, slots=True)
class Architecture:
    """Sizes of a SmolVLA and what it is given; see `TINY` and `SMOLVLA_450M`.

    Attributes:
        cameras: Names of the cameras; these and the next three are those of the built-in world.
        num_steps: Denoising steps of a chunk.
        camera_px: Height and width of their images.
        state_dim: Values of the state.
        action_dim: Values of an action.
        text_tokens: Length of an instruction with its end, in tokens; longer ones are cut off.
    """

    text_hidden: int
    text_intermediate: int
    text_layers: int
    vlm_layers_used: int
    text_heads: int
    text_kv_heads: int
    head_dim: int
    vocabulary: int
    vision_hidden: int
    vision_intermediate: int
    vision_layers: int
    vision_heads: int
    image_px: int
    patch_px: int
    scale_factor: int
    chunk_size: int
    n_action_steps: int
    max_dim: int
    expert_width: float
    freeze_backbone: bool
    num_steps: int = 10
    cameras: tuple[str, ...] = ("front", "side", "wrist")
    camera_px: int = 256
    state_dim: int = 7
    action_dim: int = 7
    text_tokens: int = 12


TINY = Architecture(
    text_hidden=128,
    text_intermediate=384,
    text_layers=4,
    vlm_layers_used=4,
    text_heads=4,
    text_kv_heads=2,
    head_dim=32,
    vocabulary=64,
    vision_hidden=96,
    vision_intermediate=256,
    vision_layers=3,
    vision_heads=4,
    image_px=64,
    patch_px=8,
    scale_factor=2,
    chunk_size=16,
    n_action_steps=6,
    max_dim=8,
    expert_width=1.0,
    freeze_backbone=False,
    num_steps=5,
)

SMOLVLA_450M = Architecture(
    text_hidden=960,
    text_intermediate=2560,
    text_layers=32,
    vlm_layers_used=16,
    text_heads=15,
    text_kv_heads=5,
    head_dim=64,
    vocabulary=49_280,
    vision_hidden=768,
    vision_intermediate=3072,
    vision_layers=12,
    vision_heads=12,
    image_px=512,
    patch_px=16,
    scale_factor=4,
    chunk_size=50,
    n_action_steps=50,
    max_dim=32,
    expert_width=0.75,
    freeze_backbone=True,
    text_tokens=48,
)


def write_backbone(folder: Path, arch: Architecture) -> None:
    """Write the backbone's configuration and tokenizer to `folder`, without weights."""
    words = ["<unk>", "<pad>", "<bos>", "<eos>", "\n", *SPECIAL_TOKENS.values(), *WORDS]
    if len(words) > arch.vocabulary:
        raise ValueError(f"{len(words)} words do not fit a vocabulary of {arch.vocabulary}")
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate(words)}, unk_token="<unk>"))
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        unk_token="<unk>",
        pad_token="<pad>",
        bos_token="<bos>",
        eos_token="<eos>",
        extra_special_tokens=SPECIAL_TOKENS,
    )
    config = SmolVLMConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": arch.text_hidden,
            "intermediate_size": arch.text_intermediate,
            "num_hidden_layers": arch.text_layers,
            "num_attention_heads": arch.text_heads,
            "num_key_value_heads": arch.text_kv_heads,
            "head_dim": arch.head_dim,
            "vocab_size": arch.vocabulary,
            "max_position_embeddings": 8192,
            "pad_token_id": 1,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        vision_config={
            "hidden_size": arch.vision_hidden,
            "intermediate_size": arch.vision_intermediate,
            "num_hidden_layers": arch.vision_layers,
            "num_attention_heads": arch.vision_heads,
            "image_size": arch.image_px,
            "patch_size": arch.patch_px,
        },
        scale_factor=arch.scale_factor,
        image_token_id=6,
        pad_token_id=1,
    )
    tokens = (arch.image_px // arch.patch_px // arch.scale_factor) ** 2
    processor = SmolVLMProcessor(
        SmolVLMImageProcessor(), fast, SmolVLMVideoProcessor(), image_seq_len=tokens
    )
    config.save_pretrained(folder)
    processor.save_pretrained(folder)


def build_policy(folder: Path, arch: Architecture, device: str = "cpu") -> SmolVLAPolicy:
    """A SmolVLA with random weights; its backbone's files are written to `folder`/vlm.

    Args:
        folder: Where `save_policy` will put the rest.
        arch: Sizes.
        device: Torch device.
    """
    backbone = folder / VLM_FOLDER
    write_backbone(backbone, arch)
    config = SmolVLAConfig(
        input_features={
            "observation.state": PolicyFeature(FeatureType.STATE, (arch.state_dim,)),
            **{
                f"observation.images.{name}": PolicyFeature(
                    FeatureType.VISUAL, (3, arch.camera_px, arch.camera_px)
                )
                for name in arch.cameras
            },
        },
        output_features={"action": PolicyFeature(FeatureType.ACTION, (arch.action_dim,))},
        chunk_size=arch.chunk_size,
        n_action_steps=arch.n_action_steps,
        num_steps=arch.num_steps,
        max_state_dim=arch.max_dim,
        max_action_dim=arch.max_dim,
        resize_imgs_with_padding=(arch.image_px, arch.image_px),
        tokenizer_max_length=arch.text_tokens,
        pad_language_to="max_length",  # one prefix length for all tasks: episodes can be batched
        freeze_vision_encoder=arch.freeze_backbone,
        train_expert_only=arch.freeze_backbone,
        vlm_model_name=str(backbone),
        load_vlm_weights=False,
        num_vlm_layers=arch.vlm_layers_used,
        expert_width_multiplier=arch.expert_width,
        device=device,
        push_to_hub=False,
    )
    return SmolVLAPolicy(config).to(device).float()


def save_policy(
    policy: SmolVLAPolicy, folder: Path, stats: dict[str, dict[str, Any]] | None
) -> None:
    """Write weights, configuration and normalisation as LeRobot does (safetensors only).

    Args:
        policy: The policy; its backbone must lie in `folder`/vlm.
        folder: Where to.
        stats: `{"observation.state": {"mean", "std"}, "action": {...}}`, or None for identity.
    """
    if stats is None:
        features = {
            "observation.state": policy.config.robot_state_feature,
            "action": policy.config.action_feature,
        }
        stats = {
            key: {"mean": np.zeros(feature.shape, np.float32), "std": np.ones(feature.shape, "f4")}
            for key, feature in features.items()
        }
    name, device = policy.config.vlm_model_name, policy.config.device
    before, after = make_smolvla_pre_post_processors(policy.config, dataset_stats=stats)
    policy.config.vlm_model_name, policy.config.device = VLM_FOLDER, "cpu"
    try:
        policy.save_pretrained(folder)
        for step in before.steps:  # the tokenizer is found beside the weights, wherever they lie
            if hasattr(step, "tokenizer_name"):
                step.tokenizer_name = VLM_FOLDER
        before.save_pretrained(folder)
        after.save_pretrained(folder)
    finally:
        policy.config.vlm_model_name, policy.config.device = name, device


def count_parameters(policy: torch.nn.Module) -> int:
    """Number of parameters, trained or not."""
    return sum(p.numel() for p in policy.parameters())
