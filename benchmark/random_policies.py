"""Policies of LeRobot's own classes with random weights, saved as LeRobot saves them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lerobot.configs import FeatureType, PolicyFeature
from lerobot.policies.factory import get_policy_class, make_policy_config, make_pre_post_processors

from salus_ros.policies.tiny import shipped_policy
from salus_ros.worlds.physics import FIRST_ENV_ID

STATE_DIM, ACTION_DIM = 6, 5
SIZE = (48, 64)
VOCABULARY = 300


@dataclass(frozen=True, slots=True)
class PiSizes:
    """Sizes of a pi0 that its configuration does not know.

    Attributes:
        vlm: Width and width of the perceptrons of the language model.
        expert: The same of the action expert.
        vision: The same of the image encoder.
        depth: Layers of each of the first two.
        vision_depth: Layers of the third.
        heads: Heads of all three; one key for all in the first two.
        head_dim: Width of a head in the first two.
    """

    vlm: tuple[int, int] = (32, 48)
    expert: tuple[int, int] = (16, 24)
    vision: tuple[int, int] = (24, 32)
    depth: int = 3
    vision_depth: int = 1
    heads: int = 2
    head_dim: int = 8


def features(
    cameras: Sequence[str], state_dim: int, action_dim: int, size: tuple[int, int]
) -> dict[str, Any]:
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


def save(
    folder: Path,
    kind: str,
    cameras: Sequence[str],
    state_dim: int = STATE_DIM,
    action_dim: int = ACTION_DIM,
    size: tuple[int, int] = SIZE,
    **options: Any,
) -> Path:
    """Build a policy and write its folder; its normalisation is not the identity."""
    torch.manual_seed(0)
    given = features(cameras, state_dim, action_dim, size) | options
    if kind in ("act", "diffusion", "vqbet"):
        given["pretrained_backbone_weights"] = None
    config = make_policy_config(kind, **given)
    policy: Any = get_policy_class(kind)(config)
    if kind == "vqbet":
        policy.vqbet.action_head.vqvae_model.discretized.fill_(True)  # as after its training
    rng = np.random.default_rng(0)
    stats: dict[str, Any] = {}
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


def make_pi_small(
    put: Callable[[Any, str, Any], None], kind: str, sizes: PiSizes | None = None
) -> None:
    """From now on LeRobot builds `pi0` or `pi05` of these sizes, with the tiny SmolVLA's words.

    Its configuration knows two sizes, of 0.3 and 2 billion; the classes are the same.

    Args:
        put: `setattr`, or one that can be undone.
        kind: Type of the policy.
        sizes: A few thousand parameters by default.
    """
    of = sizes or PiSizes()
    module = import_module(f"lerobot.policies.{kind}.modeling_{kind}")
    vlm, expert = module.PaliGemmaForConditionalGenerationWithPiGemma, module.PiGemmaForCausalLM

    def small_vlm(config: Any) -> Any:
        config.text_config.vocab_size = config._vocab_size = VOCABULARY
        config.image_token_index = VOCABULARY - 1
        vision = config.vision_config
        vision.hidden_size, vision.intermediate_size = of.vision
        vision.num_hidden_layers, vision.num_attention_heads = of.vision_depth, of.heads
        vision.projection_dim = config.text_config.hidden_size
        return vlm(config=config)

    def small_expert(config: Any) -> Any:
        config.vocab_size = VOCABULARY
        return expert(config=config)

    def small(variant: str) -> Any:
        width, inner = {"gemma_2b": of.vlm, "gemma_300m": of.expert}[variant]
        return module.GemmaConfig(width, of.depth, inner, of.heads, 1, of.head_dim)

    put(module, "get_gemma_config", small)
    put(module, "PaliGemmaForConditionalGenerationWithPiGemma", small_vlm)
    put(module, "PiGemmaForCausalLM", small_expert)
    processors = import_module(f"lerobot.policies.{kind}.processor_{kind}")
    step = processors.TokenizerProcessorStep
    words = {"tokenizer_name": str(shipped_policy(FIRST_ENV_ID) / "vlm")}
    put(processors, "TokenizerProcessorStep", lambda **given: step(**given | words))
