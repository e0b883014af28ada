"""Where the backbone's configuration and tokenizer of a SmolVLA checkpoint lie; without torch."""

import json
import re
import shutil
from pathlib import Path

from salus_ros.core.errors import PolicyError
from salus_ros.policies.checkpoint import PIPELINES, check_files, read_json

BACKBONE_FOLDER = "vlm"
"""Sub-folder with the backbone's configuration and tokenizer."""


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


def copy_to_train(folder: Path, out: Path) -> None:
    """Copy a checkpoint so that `lerobot-train --policy.path=OUT` finds its backbone anywhere.

    LeRobot looks for a relative name where it was started. In the copy the backbone has the
    absolute name of the copy's, which the checkpoints of the training take over; they load
    wherever that folder is still there.

    Args:
        folder: A SmolVLA checkpoint with its backbone in it.
        out: Folder to write.

    Raises:
        PolicyError: if the folder is no SmolVLA checkpoint, has no backbone, or `out` is there.
    """
    if (kind := check_files(folder)) != "smolvla":
        raise PolicyError(
            f"'{folder}' is of type '{kind}', which has no backbone to be found; give it to "
            "lerobot-train as it is"
        )
    if out.exists():
        raise PolicyError(f"'{out}' is there already; give a folder that is not")
    config = read_json(folder / "config.json")
    backbone = find_backbone(folder, config.get("vlm_model_name", ""))
    out = out.absolute()
    shutil.copytree(folder, out)
    shutil.copytree(backbone, out / BACKBONE_FOLDER, dirs_exist_ok=True)
    name = str(out / BACKBONE_FOLDER)
    before = read_json(out / PIPELINES[0])
    for step in before.get("steps", []):
        if step.get("registry_name") == "tokenizer_processor":
            step["config"]["tokenizer_name"] = name
    named = {"config.json": config | {"vlm_model_name": name}, PIPELINES[0]: before}
    for file, content in named.items():
        (out / file).write_text(json.dumps(content, indent=4) + "\n")
