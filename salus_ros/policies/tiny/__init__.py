"""The shipped policy: a tiny SmolVLA, learnt from the scripted expert."""

from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "assets" / "policy" / "tiny_smolvla"
"""Folder of the policy that comes with the package."""
