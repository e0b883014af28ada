"""The environment that PhysX lives in, apart from ours because its packages need others."""

import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from salus_ros.core.errors import SimulatorError

FOLDER = Path(__file__).parent
ROOT = FOLDER.parents[2]

PYTHON_VARIABLE = "SALUS_PHYSX_PYTHON"
"""Names a Python that has requirements/physx.txt installed, in place of the one in .venv-physx."""

SET_UP = (
    "ACCEPT_NVIDIA_LICENSE=yes make physx (PhysX comes under NVIDIA's Omniverse licence, which "
    "whoever uses it agrees to)"
)


def physx_python() -> Path:
    """The Python of PhysX's environment.

    Raises:
        SimulatorError: if there is none; says how to make it.
    """
    named = os.environ.get(PYTHON_VARIABLE)
    python = Path(named) if named else ROOT / ".venv-physx" / "bin" / "python"
    if not python.is_file():
        whose = f"{PYTHON_VARIABLE} names {python}, which" if named else f"{python}"
        raise SimulatorError(f"PhysX is not set up: {whose} does not exist. Run: {SET_UP}")
    return python


def start(
    script: str, arguments: Sequence[str], log: Path, fd: int | None = None
) -> subprocess.Popen[bytes]:
    """Run one of this folder's scripts there.

    Args:
        script: Name of the file.
        arguments: Of the script.
        log: File for what it says.
        fd: File that it inherits.

    Raises:
        SimulatorError: if there is no such environment.
    """
    keep = ("HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME")  # neither our packages nor our libraries
    with log.open("wb") as said:
        return subprocess.Popen(
            [physx_python(), "-P", FOLDER / script, *arguments],
            env={name: os.environ[name] for name in keep if name in os.environ},
            pass_fds=() if fd is None else (fd,),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )


def last_line(log: Path) -> str:
    """The last that a script said; empty if nothing."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else ""
