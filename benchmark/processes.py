"""Processes that a benchmark starts and watches: their ends, CPU time and memory."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

END_TIMEOUT_S = 30.0


@contextmanager
def started(*command: str, stdout: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """A process that is told to end, and killed where it does not."""
    with subprocess.Popen([sys.executable, *command], stdout=stdout) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(END_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def cpu_s(pid: int) -> float:
    """CPU time of a process so far, in s."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mb(pid: int) -> float:
    """Largest memory of a process so far, in MB."""
    return _status_mb(pid, "VmHWM")


def resident_mb(pid: int) -> float:
    """Memory of a process now, in MB."""
    return _status_mb(pid, "VmRSS")


def _status_mb(pid: int, field: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
