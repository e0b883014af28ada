"""Loading a SmolVLA checkpoint folder: its backbone is found, and nothing is downloaded."""

from pathlib import Path

from salus_ros.policies.loading import LoadedPolicy, load_lerobot, read_config
from salus_ros.policies.smolvla.backbone import find_backbone


def load_policy(folder: str | Path, device: str = "cpu") -> LoadedPolicy:
    """Load a SmolVLA checkpoint folder (the layout of `lerobot/smolvla_base`).

    Args:
        folder: Folder as `load_lerobot` takes it, with the backbone's, see `find_backbone`.
        device: Torch device.

    Raises:
        PolicyError: if the folder is not such a checkpoint; says what is missing.
    """
    folder = Path(folder)
    config = read_config(folder)
    backbone = find_backbone(folder, config.vlm_model_name)
    config.vlm_model_name = backbone
    config.load_vlm_weights = False  # the checkpoint holds them
    # A prefix of one length for every instruction, so that observations can be batched; the
    # padding is masked, and the network's answer the same but for rounding.
    tokenizer = {"tokenizer_name": backbone, "padding": "max_length"}
    return load_lerobot(folder, device, config, {"tokenizer_processor": tokenizer})
