"""Memory of the whole graph while it runs for long: simulator, policy, predictor, recorder, view.

Real processes in lockstep, so that more steps pass than in the same time on an arm; the recorder
writes episodes with images, and a clip at each alarm; a page is open all the time. Of each process
the resident memory is read every few seconds, and a line fitted to what comes after the first
quarter, in which caches fill.

    python benchmark/memory.py FOLDER --model MODEL [--minutes 60] > benchmark/results/memory.json

FOLDER gets the recording, images and all; it must not exist.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from bench_view import PORT
from processes import resident_mb, started

from salus_ros.cli.node_processes import episodes_in, node_command
from salus_ros.episodes.reader import StoreReader

PERIOD_S = 5.0
WARM = 0.25
"""Part of the time that the fit leaves out."""


def run(folder: Path, model: Path, minutes: float) -> dict[str, Any]:
    """Run the graph for a while and read the memory of its processes."""
    folder.mkdir(parents=True)
    store = folder / "episodes.zarr"
    namespace = f"/memory_{time.time_ns()}"
    shared = {"use_sim_time": True, "reliable_sensors": True}
    given = {
        "recorder": shared | {"store_path": store, "clips": folder / "clips", "max_age_ms": 0.0},
        "predictor": shared | {"model_path": model, "wait_for": "recorder"},
        "vla": shared | {"wait_for": "predictor,recorder"},
        "view": {"port": PORT},
        "simulator": {"wait_for": "vla,predictor,recorder"},
    }
    with ExitStack() as stack:
        processes = {
            node: stack.enter_context(started(*node_command(node, namespace, parameters)))
            for node, parameters in given.items()
        }
        while not episodes_in(store):
            alive(processes)
            time.sleep(1.0)
        seconds = 60.0 * minutes
        page = Path(__file__).with_name("bench_view.py")
        command = (str(page), "--pages", "1", "--seconds", str(seconds + 60.0))
        stack.enter_context(started(*command, stdout=subprocess.DEVNULL))  # ours is the figures'
        times, sizes = [], []
        begun_s = time.monotonic()
        while (passed_s := time.monotonic() - begun_s) < seconds:
            alive(processes)
            times.append(passed_s / 3600.0)
            sizes.append([resident_mb(process.pid) for process in processes.values()])
            sys.stderr.write(f"\r{passed_s / 60:.1f} of {minutes:g} minutes")
            time.sleep(PERIOD_S)
    hours, memory = np.array(times), np.array(sizes)
    late = hours >= WARM * hours[-1]
    reader = StoreReader(store)
    return {
        "minutes": minutes,
        "episodes": len(reader),
        "steps": int(np.sum(reader.table()["length"])),
        "clips": len(list((folder / "clips").glob("*.zarr.zip"))),
        "processes": {
            name: {
                "mb_after_a_quarter": round(float(memory[late][0, i]), 1),
                "mb_at_the_end": round(float(memory[-1, i]), 1),
                "largest_mb": round(float(memory[:, i].max()), 1),
                "mb_an_hour": round(float(np.polyfit(hours[late], memory[late, i], 1)[0]), 1),
            }
            for i, name in enumerate(processes)
        },
    }


def alive(processes: dict[str, subprocess.Popen[bytes]]) -> None:
    """End where a node has ended."""
    for name, process in processes.items():
        if process.poll() is not None:
            raise SystemExit(f"{name} ended with {process.returncode}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--model", type=Path, required=True, help="folder of a predictor")
    parser.add_argument("--minutes", type=float, default=60.0)
    given = parser.parse_args()
    command = f"python benchmark/memory.py FOLDER --model MODEL --minutes {given.minutes:g}"
    figures = {
        "command": command,
        "hardware": f"{os.cpu_count()} CPU cores ({platform.machine()})",
    }
    figures |= run(given.folder, given.model, given.minutes)
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
