"""Programs that move the scene, each run by the Python of an environment of its own."""

import os
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from salus_ros.core.errors import SimulatorError

PACKAGE = Path(__file__).parents[2]
ROOT = PACKAGE.parent

PYTHON_VARIABLE = "SALUS_PHYSX_PYTHON"
"""Names a Python that has requirements/physx.txt installed, in place of the one in .venv-physx."""

SET_UP = (
    "ACCEPT_NVIDIA_LICENSE=yes make physx (PhysX comes under NVIDIA's Omniverse licence, which "
    "whoever uses it agrees to)"
)

KEPT = ("HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME")
"""What such a program is told of our environment: neither our packages nor our libraries."""


@dataclass(frozen=True, slots=True)
class Application:
    """A program that answers what the engine asks, see `serving`.

    Attributes:
        name: What messages call it.
        module: Of SALUS, run by its Python.
        python: Finds that Python; raises SimulatorError, saying what to do, where there is none.
        variables: What it is told of our environment beside `KEPT`.
        start_s: How long it may take to start, to load a scene and to draw the first images.
    """

    name: str
    module: str
    python: Callable[[], Path]
    variables: tuple[str, ...]
    start_s: float

    def run(
        self, arguments: Sequence[str], log: Path, fd: int | None = None, module: str = ""
    ) -> subprocess.Popen[bytes]:
        """Run a module there, which finds SALUS and none of the packages beside it.

        Args:
            arguments: Of the module.
            log: File for what it says, in a folder of its own.
            fd: File that it inherits.
            module: Another one than the application's.

        Raises:
            SimulatorError: if there is no such environment.
        """
        python = self.python()
        log.with_name(PACKAGE.name).symlink_to(PACKAGE, target_is_directory=True)
        told = {name: os.environ[name] for name in KEPT + self.variables if name in os.environ}
        with log.open("wb") as said:
            return subprocess.Popen(
                [python, "-P", "-m", module or self.module, *arguments],
                env={**told, "PYTHONPATH": str(log.parent)},
                pass_fds=() if fd is None else (fd,),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
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


PHYSX = Application("PhysX", "salus_ros.worlds.physx.server", physx_python, (), start_s=300.0)


def last_line(log: Path) -> str:
    """The last that a program said; empty if nothing."""
    lines = log.read_text(errors="replace").strip().splitlines() if log.is_file() else []
    return lines[-1] if lines else ""
