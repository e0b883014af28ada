"""Whether this Python can run Isaac Sim, found out before any of it is imported.

Standard library only: it is run by whatever Python was named.
"""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

WANTED = "6.2"
"""The interface changes with each minor version."""

LICENCE_VARIABLE = "OMNI_KIT_ACCEPT_EULA"

GPU_S = 30


def check() -> None:
    """Refuse what cannot work.

    Raises:
        RuntimeError: if Isaac Sim, its version, its licence's acceptance or a GPU is missing; says
            which, and what to do.
    """
    version = installed_version()
    if not version.startswith(f"{WANTED}."):
        raise RuntimeError(
            f"Isaac Sim {version} is installed for {sys.executable}; SALUS drives {WANTED}. "
            "Install that, or name another Python by ISAAC_SIM_PYTHON"
        )
    if os.environ.get(LICENCE_VARIABLE, "").lower() not in ("yes", "y", "1"):
        raise RuntimeError(
            "NVIDIA's Omniverse licence is not accepted, under which Isaac Sim comes: read it, "
            f"and if you agree set {LICENCE_VARIABLE}=YES"
        )
    if not gpus():
        raise RuntimeError(
            "no NVIDIA GPU is found (nvidia-smi -L); Isaac Sim's RTX cameras need one with "
            "ray-tracing cores and its driver. salus/PickPlace-physx-newton needs none"
        )


def installed_version() -> str:
    """Version of the Isaac Sim that this Python imports, as its file VERSION has it.

    Raises:
        RuntimeError: if there is none, or it does not say.
    """
    found = importlib.util.find_spec("isaacsim")
    folders = [Path(place) for place in (found.submodule_search_locations or ())] if found else []
    if not folders:
        raise RuntimeError(
            f"{sys.executable} has no Isaac Sim (module isaacsim); name the Python of one by "
            "ISAAC_SIM_PYTHON (docs/isaac.md)"
        )
    files = [folder / "VERSION" for folder in folders]
    files += [Path(root) / "VERSION" for root in [os.environ.get("ISAAC_PATH")] if root]
    for file in files:
        if file.is_file():
            return file.read_text().strip()
    raise RuntimeError(f"Isaac Sim at {folders[0]} does not say its version (no file VERSION)")


def gpus() -> list[str]:
    """The NVIDIA GPUs of this machine, a line each."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return []
    try:
        said = subprocess.run([program, "-L"], capture_output=True, text=True, timeout=GPU_S)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return said.stdout.splitlines() if said.returncode == 0 else []
