"""Loading a SmolVLA checkpoint folder: LeRobot's own classes, safetensors only, no network."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lerobot.configs import PreTrainedConfig
from lerobot.policies.smolvla.configuration_smolvla import SmolVLAConfig
from lerobot.policies.smolvla.modeling_smolvla import SmolVLAPolicy
from lerobot.processor import PolicyProcessorPipeline

from salus_ros.core.errors import PolicyError

BACKBONE_FOLDER = "vlm"
"""Sub-folder with the backbone's configuration and tokenizer; else the hub's name is used."""

IMAGE_PREFIX = "observation.images."
_PIPELINES = ("policy_preprocessor.json", "policy_postprocessor.json")


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A SmolVLA with its normalisation.

    Attributes:
        policy: The policy, in evaluation mode.
        preprocess: Observation to normalised batch on the device.
        postprocess: Normalised actions (..., action_dim) to actions on the CPU.
        image_keys: Feature key of each camera, in the policy's order.
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
        folder: Folder with `config.json`, `model.safetensors`, the two processor files and,
            unless the backbone's files are in the Hugging Face cache, a folder `vlm`.
        device: Torch device.

    Raises:
        PolicyError: if the folder is not such a checkpoint; says what is missing.
    """
    folder = Path(folder)
    _check_files(folder)
    config = _read_config(folder)
    backbone = folder / BACKBONE_FOLDER
    name = str(backbone) if backbone.is_dir() else config.vlm_model_name
    config.vlm_model_name = name
    config.load_vlm_weights = False  # the checkpoint holds them
    config.device = device
    config.compile_model = False
    try:
        policy = SmolVLAPolicy.from_pretrained(folder, config=config, strict=True)
    except Exception as error:
        raise PolicyError(
            f"cannot build the policy in '{folder}' with the backbone '{name}': "
            f"{_first_line(error)}. The backbone's configuration and tokenizer must lie in "
            f"'{backbone}' or in the Hugging Face cache, and model.safetensors must be whole"
        ) from error
    overrides: dict[str, Any] = {
        "device_processor": {"device": device},
        # A prefix of one length for every instruction, so that observations can be batched; the
        # padding is masked, and the network's answer the same but for rounding.
        "tokenizer_processor": {"tokenizer_name": name, "padding": "max_length"},
    }
    try:
        preprocess = PolicyProcessorPipeline.from_pretrained(
            folder, config_filename=_PIPELINES[0], overrides=overrides
        )
        postprocess = PolicyProcessorPipeline.from_pretrained(
            folder,
            config_filename=_PIPELINES[1],
            overrides={"device_processor": {"device": "cpu"}},
            to_transition=_action_to_transition,
            to_output=_transition_to_action,
        )
    except Exception as error:
        raise PolicyError(
            f"cannot load the normalisation in '{folder}' ({', '.join(_PIPELINES)}): "
            f"{_first_line(error)}"
        ) from error
    policy.to(device).eval()
    if device == "cpu":
        policy.float()
    digest = _digest(folder / "model.safetensors")
    return LoadedPolicy(
        policy=policy,
        preprocess=preprocess,
        postprocess=postprocess,
        image_keys=tuple(config.image_features),
        policy_id=f"{folder.resolve().name}-{digest}",
    )


def _check_files(folder: Path) -> None:
    if not folder.is_dir():
        raise PolicyError(
            f"no policy folder '{folder}'; give the folder of a SmolVLA checkpoint "
            "(config.json, model.safetensors), downloaded or trained"
        )
    needed = ("config.json", "model.safetensors")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        raise PolicyError(
            f"'{folder}' is not a SmolVLA checkpoint: it lacks {' and '.join(missing)}"
        )
    missing = [name for name in _PIPELINES if not (folder / name).is_file()]
    if missing:
        raise PolicyError(
            f"'{folder}' lacks {' and '.join(missing)}: a checkpoint from before LeRobot 0.4 "
            "keeps its normalisation in the weights; convert it once with LeRobot's "
            "migrate_policy_normalization.py"
        )
    for name in _PIPELINES:
        steps = _read_json(folder / name).get("steps", [])
        foreign = [s.get("class") for s in steps if not s.get("registry_name")]
        if foreign:
            raise PolicyError(
                f"'{folder / name}' wants to import {foreign}: only LeRobot's registered "
                "processor steps are loaded, never code named by a checkpoint"
            )


def _read_config(folder: Path) -> SmolVLAConfig:
    kind = _read_json(folder / "config.json").get("type")
    if kind != "smolvla":
        raise PolicyError(
            f"'{folder}' holds a policy of type {kind!r}; SALUS reads the signals of 'smolvla'"
        )
    try:
        config = PreTrainedConfig.from_pretrained(folder)
    except Exception as error:
        raise PolicyError(f"cannot read '{folder}/config.json': {_first_line(error)}") from error
    assert isinstance(config, SmolVLAConfig)
    if not config.image_features or "action" not in config.output_features:
        raise PolicyError(f"'{folder}/config.json' names no camera or no action")
    return config


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PolicyError(f"cannot read '{path}': {error}") from error
    if not isinstance(content, dict):
        raise PolicyError(f"'{path}' does not hold a JSON object")
    return content


def _digest(path: Path) -> str:
    with path.open("rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()[:8]


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
