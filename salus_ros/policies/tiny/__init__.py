"""The shipped policies: tiny SmolVLAs, learnt from the scripted expert."""

from pathlib import Path

_FOLDER = Path(__file__).parents[2] / "assets" / "policy"

SHIPPED = _FOLDER / "tiny_smolvla_v1"
"""Folder of the policy that is run where none is named; it learnt in salus/PickPlace-v1."""


_LEARNT_IN = {
    "salus/PickPlace-v0": "tiny_smolvla",
    "salus/MetaWorldSmall-v3": "tiny_smolvla_metaworld",
}


def shipped_policy(env_id: str) -> Path:
    """Folder of the policy that learnt in a world; `SHIPPED` where none did."""
    return _FOLDER / _LEARNT_IN[env_id] if env_id in _LEARNT_IN else SHIPPED


def shipped_recovery(env_id: str) -> Path | None:
    """Folder of the policy that learnt to take over at alarms in a built-in world, if one did."""
    return _FOLDER / "tiny_smolvla_v1_recovery" if env_id == "salus/PickPlace-v1" else None
