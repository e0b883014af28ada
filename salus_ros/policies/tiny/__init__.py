"""The shipped policies: tiny SmolVLAs, learnt from the scripted expert."""

from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "assets" / "policy"

SHIPPED = _FOLDER / "tiny_smolvla_v1"
"""Folder of the policy that is run where none is named; it learnt in salus/PickPlace-v1."""


def shipped_policy(env_id: str) -> Path:
    """Folder of the policy that learnt in a built-in world; `SHIPPED` where none did."""
    return _FOLDER / "tiny_smolvla" if env_id == "salus/PickPlace-v0" else SHIPPED


def shipped_recovery(env_id: str) -> Path | None:
    """Folder of the policy that learnt to take over at alarms in a built-in world, if one did."""
    return _FOLDER / "tiny_smolvla_v1_recovery" if env_id == "salus/PickPlace-v1" else None
