"""Loading a LeRobot checkpoint folder: LeRobot's own classes, safetensors only."""

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from lerobot.configs import PreTrainedConfig
from lerobot.processor import PolicyProcessorPipeline, RelativeActionsProcessorStep

from salus_ros.core.errors import PolicyError
from salus_ros.policies.checkpoint import IMAGE_PREFIX, PIPELINES, check_files
from salus_ros.policies.tap import Observation


@dataclass(frozen=True, slots=True)
class LoadedPolicy:
    """A policy of LeRobot's with its normalisation.

    Attributes:
        policy: The policy, in evaluation mode.
        preprocess: Observation to normalised batch on the device.
        postprocess: Normalised actions (..., action_dim) to actions on the CPU.
        image_keys: Feature key of each camera, in the policy's order; an empty one that the
            configuration asks for is none.
    """

    policy: Any
    preprocess: PolicyProcessorPipeline[dict[str, Any], dict[str, Any]]
    postprocess: PolicyProcessorPipeline[Any, Any]
    image_keys: tuple[str, ...]

    @property
    def config(self) -> Any:
        """The policy's configuration."""
        return self.policy.config

    @property
    def sizes(self) -> dict[str, Any]:
        """What `TapSpec` takes from the configuration: cameras, state and action."""
        return {
            "cameras": tuple(key.removeprefix(IMAGE_PREFIX) for key in self.image_keys),
            "state_dim": int(getattr(self.config.robot_state_feature, "shape", (0,))[0]),
            "action_dim": int(self.config.action_feature.shape[0]),
        }

    @property
    def image_sizes(self) -> dict[str, tuple[int, int]]:
        """Height and width of each camera's images in training."""
        shapes = {key: self.config.image_features[key].shape for key in self.image_keys}
        return {key.removeprefix(IMAGE_PREFIX): tuple(shape[1:]) for key, shape in shapes.items()}

    def batch(self, observations: Sequence[Observation]) -> dict[str, Any]:
        """One observation of each of B episodes, normalised, on the device."""
        cameras = [key.removeprefix(IMAGE_PREFIX) for key in self.image_keys]
        states = [np.asarray(given.state, dtype=np.float32) for given in observations]
        return self.preprocess(
            {
                "observation.state": torch.from_numpy(np.stack(states)),
                "task": [given.task for given in observations],
                **{
                    key: _unit_range(np.stack([given.images[name] for given in observations]))
                    for key, name in zip(self.image_keys, cameras, strict=True)
                },
            }
        )

    def actions(self, chunks: torch.Tensor) -> npt.NDArray[np.float32]:
        """Normalised chunks (..., T, A) in the robot's units."""
        # LeRobot's steps know one axis of batches.
        done = self.postprocess(chunks.reshape(-1, *chunks.shape[-2:])).float().cpu().numpy()
        actions: npt.NDArray[np.float32] = done.reshape(*chunks.shape[:-1], -1)
        return actions


def read_config(folder: Path) -> Any:
    """Read a checkpoint's configuration; a policy that a plug-in of LeRobot's brings is known too.

    Raises:
        PolicyError: if it cannot be read, its classes are not installed, or it names no camera,
            no state or no action.
    """
    from lerobot.utils.import_utils import register_third_party_plugins

    kind = check_files(folder)
    import lerobot.policies  # noqa: F401  # registers LeRobot's own

    if kind not in PreTrainedConfig.get_known_choices():
        register_third_party_plugins()
    if kind not in PreTrainedConfig.get_known_choices():
        raise PolicyError(
            f"'{folder}' holds a policy of type '{kind}', whose classes are not installed; known "
            f"are {', '.join(sorted(PreTrainedConfig.get_known_choices()))}. Install the package "
            "that brings it: a plug-in of LeRobot's (lerobot_policy_...), or a tap (entry-point "
            "group salus.policies)"
        )
    try:
        config = PreTrainedConfig.from_pretrained(folder)
    except Exception as error:
        raise PolicyError(f"cannot read '{folder}/config.json': {first_line(error)}") from error
    if not config.image_features or "action" not in config.output_features:
        raise PolicyError(f"'{folder}/config.json' names no camera or no action")
    if config.env_state_feature is not None:
        raise PolicyError(
            f"'{folder}' takes observation.environment_state, which only a simulator knows; SALUS "
            "gives policies images, the robot's state and the instruction"
        )
    if config.robot_state_feature is None:
        raise PolicyError(
            f"'{folder}/config.json' names no observation.state; SALUS gives every policy the "
            "robot's state"
        )
    return config


def load_lerobot(
    folder: str | Path,
    device: str = "cpu",
    config: Any = None,
    overrides: Mapping[str, Any] | None = None,
) -> LoadedPolicy:
    """Load any policy that LeRobot, or a plug-in of it, has classes for.

    Files that a policy looks up on the Hugging Face hub by itself, such as a tokenizer, have to
    be in its cache, or it asks the network; HF_HUB_OFFLINE=1 forbids that.

    Args:
        folder: Folder with `config.json`, `model.safetensors` and the two processor files.
        device: Torch device.
        config: The policy's configuration, where it was read and altered.
        overrides: Of the steps of the preprocessor, by name, beside the device.

    Raises:
        PolicyError: if the folder is not such a checkpoint; says what is missing.
    """
    from lerobot.policies.factory import get_policy_class

    folder = Path(folder)
    if config is None:
        config = read_config(folder)
    config.device = device
    if hasattr(config, "compile_model"):
        config.compile_model = False
    if hasattr(config, "pretrained_backbone_weights"):
        config.pretrained_backbone_weights = None  # the checkpoint holds them
    if getattr(config, "temporal_ensemble_coeff", None) is not None:
        raise PolicyError(
            f"'{folder}' averages its chunks (temporal_ensemble_coeff "
            f"{config.temporal_ensemble_coeff}), SALUS executes them as they are; set it to null "
            "in config.json, and n_action_steps to the most steps of a chunk to be executed"
        )
    try:
        with redirect_stdout(sys.stderr):  # LeRobot prints; stdout is for results
            policy = get_policy_class(config.type).from_pretrained(
                folder, config=config, strict=True
            )
    except ImportError as error:
        raise PolicyError(
            f"'{folder}' holds a policy of type '{config.type}', and a package that it needs is "
            f"not installed: {first_line(error)}"
        ) from error
    except Exception as error:
        raise PolicyError(
            f"cannot build the policy in '{folder}': {first_line(error)}. config.json must be "
            "that of the weights, and model.safetensors must be whole"
        ) from error
    policy.to(device).eval()
    if device == "cpu":
        policy.float()
    preprocess, postprocess = _pipelines(folder, device, config, overrides or {})
    return LoadedPolicy(policy, preprocess, postprocess, camera_keys(config))


def camera_keys(config: Any) -> tuple[str, ...]:
    """Feature keys of a policy's cameras, in its order, without the empty ones."""
    empties = getattr(config, "empty_cameras", 0)
    empty = {f"{IMAGE_PREFIX}empty_camera_{i}" for i in range(empties)}
    return tuple(key for key in config.image_features if key not in empty)


def _pipelines(
    folder: Path, device: str, config: Any, overrides: Mapping[str, Any]
) -> tuple[PolicyProcessorPipeline[Any, Any], PolicyProcessorPipeline[Any, Any]]:
    from lerobot.policies.factory import make_pre_post_processors

    try:
        before, after = make_pre_post_processors(
            config,
            pretrained_path=str(folder),
            preprocessor_overrides={"device_processor": {"device": device}, **overrides},
            postprocessor_overrides={"device_processor": {"device": "cpu"}},
        )
    except Exception as error:
        raise PolicyError(
            f"cannot load the normalisation in '{folder}' ({', '.join(PIPELINES)}): "
            f"{first_line(error)}"
        ) from error
    relative = [s for s in before.steps if isinstance(s, RelativeActionsProcessorStep)]
    if any(step.enabled for step in relative):
        raise PolicyError(
            f"'{folder}' gives actions relative to the state (relative_actions_processor), which "
            "SALUS does not run yet; train it with absolute actions"
        )
    return before, after


def first_line(error: Exception) -> str:
    """An error of a library's in one line."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"


def _unit_range(images: npt.NDArray[np.uint8]) -> torch.Tensor:
    """Images (B, H, W, 3) as float32 (B, 3, H, W) in [0, 1]."""
    # numpy turns bytes into floats ten times as fast as torch does on a CPU.
    return torch.from_numpy(images.astype(np.float32)).permute(0, 3, 1, 2).div_(255.0)
