"""Nodes as processes of their own, as a person runs them."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from salus_ros.core.closing import Closing

HERE = Path(__file__).parent
DEADLINE_S = 300.0


def environment() -> dict[str, str]:
    """The environment of this process, with the package and the test worlds on the path."""
    paths = [str(HERE.parents[1]), str(HERE), os.environ.get("PYTHONPATH", "")]
    # Unset, so that Python of the same environment finds its libraries by itself.
    return os.environ | {"PYTHONPATH": os.pathsep.join(p for p in paths if p)}


class NodeProcess(Closing):
    """A running node; a context manager that ends it."""

    def __init__(self, name: str, namespace: str, *extra: str, **parameters: Any) -> None:
        command = [sys.executable, "-m", f"salus_ros.nodes.{name}", "--ros-args"]
        command += ["-r", f"__ns:={namespace}", "-r", "/clock:=clock", *extra]
        for key, value in parameters.items():
            text = str(value).lower() if isinstance(value, bool) else str(value)
            command += ["-p", f"{key}:={text}"]
        self.process = subprocess.Popen(
            command, env=environment(), stderr=subprocess.PIPE, text=True, start_new_session=True
        )

    def ended(self) -> bool:
        """Whether the process has ended."""
        return self.process.poll() is not None

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        """Return the exit code once the process has ended."""
        self.said = self.process.communicate(timeout=DEADLINE_S)[1]
        return self.process.returncode

    def until_said(self, text: str) -> str:
        """Read its standard error until it says so."""
        assert self.process.stderr is not None
        said = ""
        end = time.monotonic() + DEADLINE_S
        while text not in said:
            assert time.monotonic() < end, said
            line = self.process.stderr.readline()
            assert line, f"it ended without saying '{text}': {said}"
            said += line
        return said

    def close(self) -> None:
        """Kill it, unless it has ended."""
        if not self.ended():
            self.process.kill()
            self.process.communicate()
