"""What must lie in a LeRobot checkpoint folder, and what the policy is called; without torch."""

import hashlib
import json
import math
from pathlib import Path
from typing import Any

from salus_ros.core.errors import PolicyError

IMAGE_PREFIX = "observation.images."
"""Of the feature key of a camera."""

PIPELINES = ("policy_preprocessor.json", "policy_postprocessor.json")
"""LeRobot's files of the normalisation."""

PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")
"""Files of weights that run code when they are read."""

SAMPLING = "sampling.json"
"""How a policy is to be sampled, where its folder says so; LeRobot has no such file."""


def policy_id(folder: str | Path, noise_memory: float | None = None) -> str:
    """Name of the policy in a folder: the folder's own and a hash of the weights.

    The hash is also of `SAMPLING`, where there is one: it changes what the policy does. So does
    another noise memory than the policy's own, which is named.

    Args:
        folder: The policy's.
        noise_memory: What it is run with; None: its own, see `own_noise_memory`.

    Raises:
        PolicyError: if the folder is not a checkpoint; says what is missing.
    """
    folder = Path(folder)
    check_files(folder)
    with (folder / "model.safetensors").open("rb") as weights:
        digest = hashlib.file_digest(weights, "sha256")
    if (folder / SAMPLING).is_file():
        digest.update((folder / SAMPLING).read_bytes())
    name = f"{folder.resolve().name}-{digest.hexdigest()[:8]}"
    own = noise_memory is None or noise_memory == own_noise_memory(folder)
    return name if own else f"{name}+noise{noise_memory:g}"


def check_files(folder: Path) -> str:
    """Refuse a folder that lacks a file, or wants to run code.

    Returns:
        The `type` of the policy, which says whose classes read it.

    Raises:
        PolicyError: saying what is missing.
    """
    if not folder.is_dir():
        raise PolicyError(
            f"no policy folder '{folder}'; give the folder of a LeRobot checkpoint "
            "(config.json, model.safetensors), downloaded or trained"
        )
    needed = ("config.json", "model.safetensors")
    missing = [name for name in needed if not (folder / name).is_file()]
    if missing:
        pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
        raise PolicyError(
            f"'{folder}' is not a LeRobot checkpoint: it lacks {' and '.join(missing)}"
            + (
                f"; {', '.join(pickles)} is a pickle, which can run code and is never read; save "
                "the weights with save_pretrained of LeRobot (safetensors)"
                if pickles
                else ""
            )
        )
    kind = read_json(folder / "config.json").get("type")
    if not isinstance(kind, str) or not kind:
        raise PolicyError(
            f"'{folder}/config.json' has no 'type', which says what policy it is; give a "
            "checkpoint that LeRobot saved"
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
    return kind


def own_noise_memory(folder: Path) -> float:
    """The `noise_memory` that a policy is to be run with, see `PolicyRunner`; 0 if not said.

    Raises:
        PolicyError: if the file that says so does not hold a number of at least 0, or "inf".
    """
    path = folder / SAMPLING
    if not path.exists():
        return 0.0
    given = read_json(path).get("noise_memory")
    if given == "inf":
        return math.inf
    if isinstance(given, bool) or not isinstance(given, int | float) or not given >= 0.0:
        raise PolicyError(
            f"'{path}' says that noise_memory is {given!r}; it must be a number of steps, at "
            'least 0, or "inf", or the file be absent'
        )
    return float(given)


def save_noise_memory(folder: Path, noise_memory: float) -> None:
    """Write what `own_noise_memory` reads."""
    content = {"noise_memory": noise_memory_json(noise_memory)}
    (folder / SAMPLING).write_text(json.dumps(content, allow_nan=False) + "\n")


def noise_memory_json(noise_memory: float) -> float | str:
    """The number, or "inf", for which JSON has none."""
    return "inf" if math.isinf(noise_memory) else noise_memory


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
