"""What must lie in a SmolVLA checkpoint folder, and what the policy is called; without torch."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from salus_ros.core.errors import PolicyError

BACKBONE_FOLDER = "vlm"
"""Sub-folder with the backbone's configuration and tokenizer."""

IMAGE_PREFIX = "observation.images."
"""Of the feature key of a camera."""

PIPELINES = ("policy_preprocessor.json", "policy_postprocessor.json")
"""LeRobot's files of the normalisation."""


SAMPLING = "sampling.json"
"""How a policy is to be sampled, where its folder says so; LeRobot has no such file."""


def policy_id(folder: str | Path) -> str:
    """Name of the policy in a folder: the folder's own and a hash of the weights.

    Raises:
        PolicyError: if the folder is not a SmolVLA checkpoint; says what is missing.
    """
    folder = Path(folder)
    check_files(folder)
    with (folder / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256").hexdigest()[:8]
    return f"{folder.resolve().name}-{digest}"


def check_files(folder: Path) -> None:
    """Refuse a folder that lacks a file, holds another kind of policy or wants to run code.

    Raises:
        PolicyError: saying what is missing.
    """
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
    missing = [name for name in PIPELINES if not (folder / name).is_file()]
    if missing:
        raise PolicyError(
            f"'{folder}' lacks {' and '.join(missing)}: a checkpoint from before LeRobot 0.4 "
            "keeps its normalisation in the weights; convert it once with LeRobot's "
            "migrate_policy_normalization.py"
        )
    for name in PIPELINES:
        steps = read_json(folder / name).get("steps", [])
        foreign = [s.get("class") for s in steps if not s.get("registry_name")]
        if foreign:
            raise PolicyError(
                f"'{folder / name}' wants to import {foreign}: only LeRobot's registered "
                "processor steps are loaded, never code named by a checkpoint"
            )
    kind = read_json(folder / "config.json").get("type")
    if kind != "smolvla":
        raise PolicyError(
            f"'{folder}' holds a policy of type {kind!r}; SALUS reads the signals of 'smolvla'"
        )


def find_backbone(folder: Path, name: str) -> str:
    """Find the backbone's configuration and tokenizer; nothing is downloaded.

    They lie in the checkpoint's own sub-folder `vlm` or the one it names, wherever the checkpoint
    lies, or in the Hugging Face cache.

    Args:
        folder: The checkpoint.
        name: Its `vlm_model_name`: a folder, relative to the checkpoint's, or a name on the hub.

    Raises:
        PolicyError: if they are nowhere; says what to copy or to download.
    """
    for place in (folder / BACKBONE_FOLDER, folder / name):  # an absolute name stays itself
        if name and place.is_dir():
            return str(place.resolve())
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", name):
        raise PolicyError(
            f"'{folder}' lacks the folder '{BACKBONE_FOLDER}' with the backbone's configuration "
            f"and tokenizer (vlm_model_name is '{name}'), which LeRobot does not save along; copy "
            f"it from the policy that this one was trained from: cp -r POLICY/{BACKBONE_FOLDER} "
            f"{folder}/"
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError

    try:
        return snapshot_download(name, local_files_only=True)
    except LocalEntryNotFoundError as error:
        raise PolicyError(
            f"the backbone '{name}' of '{folder}' is not in the Hugging Face cache, and nothing "
            f"is downloaded while a policy loads; do it once: hf download {name} --include "
            f"'*.json' --include '*.txt' (its weights are not needed), or copy its files to "
            f"'{folder / BACKBONE_FOLDER}'"
        ) from error


def own_noise_memory(folder: Path) -> float:
    """The `noise_memory` that a policy is to be run with, see `SmolVLARunner`; 0 if not said.

    Raises:
        PolicyError: if the file that says so does not hold a number of at least 0.
    """
    path = folder / SAMPLING
    if not path.exists():
        return 0.0
    given = read_json(path).get("noise_memory")
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0.0:
        raise PolicyError(
            f"'{path}' says that noise_memory is {given!r}; it must be a number of steps, at "
            "least 0, or the file be absent"
        )
    return float(given)


def save_noise_memory(folder: Path, noise_memory: float) -> None:
    """Write what `own_noise_memory` reads."""
    (folder / SAMPLING).write_text(json.dumps({"noise_memory": noise_memory}) + "\n")


def policy_cameras(folder: Path) -> tuple[str, ...]:
    """Names of the cameras that the policy in a folder takes, in its order.

    Raises:
        PolicyError: if its configuration cannot be read.
    """
    config = read_json(folder / "config.json")
    features = config.get("input_features") or {}
    empty = {f"empty_camera_{i}" for i in range(int(config.get("empty_cameras", 0)))}
    names = [
        key.removeprefix(IMAGE_PREFIX)
        for key, feature in features.items()
        if feature.get("type") == "VISUAL"
    ]
    return tuple(name for name in names if name not in empty)


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        PolicyError: if it is not there, or not one.
    """
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise PolicyError(f"cannot read '{path}': {error}") from error
    if not isinstance(content, dict):
        raise PolicyError(f"'{path}' does not hold a JSON object")
    return content
