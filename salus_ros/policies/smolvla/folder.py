"""What must lie in a SmolVLA checkpoint folder, and what the policy is called; without torch."""

import hashlib
import json
from pathlib import Path
from typing import Any

from salus_ros.core.errors import PolicyError

PIPELINES = ("policy_preprocessor.json", "policy_postprocessor.json")
"""LeRobot's files of the normalisation."""


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
