"""Loading a SmolVLA checkpoint folder: LeRobot's own classes, safetensors only, no network."""

import sys
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from lerobot.processor import PolicyProcessorPipeline

from salus_ros.core.errors import PolicyError
from salus_ros.policies.smolvla.folder import (
    IMAGE_PREFIX,
    PIPELINES,
    check_files,
    find_backbone,
    policy_id,
)


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A SmolVLA with its normalisation.

    Attributes:
        policy: The policy, in evaluation mode.
        preprocess: Observation to normalised batch on the device.
        postprocess: Normalised actions (..., action_dim) to actions on the CPU.
        image_keys: Feature key of each camera, in the policy's order; an empty one that the
            configuration asks for is none.
        policy_id: Folder name and a hash of the weights.
    """

    policy: SmolVLAPolicy
    preprocess: PolicyProcessorPipeline[dict[str, Any], dict[str, Any]]
    postprocess: PolicyProcessorPipeline[Any, Any]
    image_keys: tuple[str, ...]
    policy_id: str

    @property
    def config(self) -> SmolVLAConfig:
        """The policy's configuration."""
        config: SmolVLAConfig = self.policy.config
        return config


def load_policy(folder: str | Path, device: str = "cpu") -> LoadedPolicy:
    """Load a SmolVLA checkpoint folder (the layout of `lerobot/smolvla_base`).

    Args:
        folder: Folder with `config.json`, `model.safetensors`, the two processor files and the
            backbone's, see `find_backbone`.
        device: Torch device.

    Raises:
        PolicyError: if the folder is not such a checkpoint; says what is missing.
    """
    folder = Path(folder)
    check_files(folder)
    config = _read_config(folder)
    backbone = find_backbone(folder, config.vlm_model_name)
    config.vlm_model_name = backbone
    config.load_vlm_weights = False  # the checkpoint holds them
    config.device = device
    config.compile_model = False
    try:
        with redirect_stdout(sys.stderr):  # LeRobot prints; stdout is for results
            policy = SmolVLAPolicy.from_pretrained(folder, config=config, strict=True)
    except Exception as error:
        raise PolicyError(
            f"cannot build the policy in '{folder}' with the backbone '{backbone}': "
            f"{_first_line(error)}. The backbone's configuration and tokenizer must be there, and "
            "model.safetensors must be whole"
        ) from error
    overrides: dict[str, Any] = {
        "device_processor": {"device": device},
        # A prefix of one length for every instruction, so that observations can be batched; the
        # padding is masked, and the network's answer the same but for rounding.
        "tokenizer_processor": {"tokenizer_name": backbone, "padding": "max_length"},
    }
    try:
        preprocess = PolicyProcessorPipeline.from_pretrained(
            folder, config_filename=PIPELINES[0], overrides=overrides
        )
        postprocess = PolicyProcessorPipeline.from_pretrained(
            folder,
            config_filename=PIPELINES[1],
            overrides={"device_processor": {"device": "cpu"}},
            to_transition=_action_to_transition,
            to_output=_transition_to_action,
        )
    except Exception as error:
        raise PolicyError(
            f"cannot load the normalisation in '{folder}' ({', '.join(PIPELINES)}): "
            f"{_first_line(error)}"
        ) from error
    policy.to(device).eval()
    if device == "cpu":
        policy.float()
    empty = {f"{IMAGE_PREFIX}empty_camera_{i}" for i in range(config.empty_cameras)}
    return LoadedPolicy(
        policy=policy,
        preprocess=preprocess,
        postprocess=postprocess,
        image_keys=tuple(key for key in config.image_features if key not in empty),
        policy_id=policy_id(folder),
    )


def _read_config(folder: Path) -> SmolVLAConfig:
    try:
        config = PreTrainedConfig.from_pretrained(folder)
    except Exception as error:
        raise PolicyError(f"cannot read '{folder}/config.json': {_first_line(error)}") from error
    assert isinstance(config, SmolVLAConfig)
    if not config.image_features or "action" not in config.output_features:
        raise PolicyError(f"'{folder}/config.json' names no camera or no action")
    return config


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _action_to_transition(action: torch.Tensor) -> Any:
    from lerobot.processor.converters import policy_action_to_transition

    return policy_action_to_transition(action)


def _transition_to_action(transition: Any) -> torch.Tensor:
    from lerobot.processor.converters import transition_to_policy_action

    action: torch.Tensor = transition_to_policy_action(transition)
    return action
