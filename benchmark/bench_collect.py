"""Episodes per hour of `salus collect` with two workers, against one; and their memory.

python benchmark/bench_collect.py [--json] [--episodes 64] [--workers 2] [--envs 8]

The clock runs from the call to its return, start of the workers included; more episodes make that
smaller. A shorter window flatters many workers: it counts steps done before it began.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from salus_ros.collection.collect import collect
from salus_ros.collection.config import CollectionConfig
from salus_ros.policies.tiny import SHIPPED


@dataclass(frozen=True, slots=True)
class Speed:
    """What a collection reached, from its call to its return."""

    steps_per_s: float
    episodes_per_h: float
    first_peak_mb: float
    last_peak_mb: float


def measure(episodes: int, workers: int, envs: int) -> Speed:
    """Collect `episodes` episodes into a store that is thrown away."""
    with tempfile.TemporaryDirectory() as folder:
        config = CollectionConfig(policy=SHIPPED, envs=envs)
        out = Path(folder) / "a.zarr"
        started = time.perf_counter()
        result = collect(config, out, episodes, 0, workers)
        seconds = time.perf_counter() - started
    return Speed(
        steps_per_s=result.steps / seconds,
        episodes_per_h=episodes / seconds * 3600,
        first_peak_mb=result.peak_mb[0],
        last_peak_mb=max(result.peak_mb),
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--episodes", type=int, default=64)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--envs", type=int, default=8)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    one = measure(given.episodes, 1, given.envs)
    many = measure(given.episodes, given.workers, given.envs)
    ratio = many.steps_per_s / one.steps_per_s
    result = {
        "cpus": os.cpu_count(),
        "episodes": given.episodes,
        "envs": given.envs,
        "workers": given.workers,
        "steps_per_s": {"one": round(one.steps_per_s, 1), "many": round(many.steps_per_s, 1)},
        "episodes_per_h": {"one": round(one.episodes_per_h), "many": round(many.episodes_per_h)},
        "worker_peak_mb": {"first": round(one.first_peak_mb), "last": round(one.last_peak_mb)},
        "ratio": round(ratio, 2),
    }
    if given.json:
        sys.stdout.write(json.dumps(result) + "\n")
        return
    sys.stdout.write(
        f"{given.workers} workers: {many.steps_per_s:.0f} steps/s, {many.episodes_per_h:.0f} "
        f"episodes/h; one: {one.steps_per_s:.0f} steps/s; {ratio:.2f} x. A worker's memory: "
        f"{one.first_peak_mb:.0f} MB after its first episode, {one.last_peak_mb:.0f} at the end\n"
    )


if __name__ == "__main__":
    main()
