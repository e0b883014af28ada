"""Random windows read per second from an episode store, as training on images reads them.

A window is 16 steps of one episode: the frames of every camera, the states and the actions. They
are read through `StoreReader` from a store as it is recorded, lossless and as JPEG, and from the
packed file that ships; and directly from plain zarr arrays as they are usually made, with zarr's
defaults and one chunk, hence one file, a frame. All hold the same episodes and are asked for the
same windows in turn; the best of the rounds counts, and the files are in the page cache.

    python benchmark/bench_store.py [--windows 64] [--steps 16] [--json]
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from salus_ros.episodes import EpisodeStore, StoreReader, StoreSpec
from salus_ros.episodes.layout import image_array

SOURCE = "shipped:pictures"
LOW_DIM = ("state", "action")
ROUNDS = 3
SEED = 0

Window = tuple[int, int]
"""Episode and first step."""
Arrays = dict[str, NDArray[Any]]


def write_store(source: StoreReader, path: Path, image_codec: str) -> StoreReader:
    """Append the episodes to a new store, compressed as one is by default or by option."""
    sizes = source.spec.to_attributes() | {"image_codec": image_codec}
    with EpisodeStore.create(path, StoreSpec.from_attributes(sizes)) as store:
        for index in range(len(source)):
            store.append(source.episode(index))
    return StoreReader(path)


def write_plain(source: StoreReader, path: Path) -> zarr.Group:
    """Write the same frames, states and actions into arrays of zarr's default form."""
    group = zarr.create_group(path)
    low_dim = source.to_numpy(LOW_DIM)
    for name in LOW_DIM:
        group.create_array(name, data=low_dim[name])
    shape = (*source.spec.image_size, 3)
    for camera in source.spec.cameras:
        array = group.create_array(
            image_array(camera), shape=(source.steps, *shape), chunks=(1, *shape), dtype=np.uint8
        )
        for index in range(len(source)):
            array[source.rows(index)] = source.frames(camera, index)
    return group


def from_store(reader: StoreReader, window: Window, steps: int) -> Arrays:
    """Read a window as a user of the store does."""
    index, first = window
    start = reader.rows(index).start + first
    found = reader.to_numpy(LOW_DIM, slice(start, start + steps))
    for camera in reader.spec.cameras:
        frames = reader.frames(camera, index, slice(first, first + steps))
        found[image_array(camera)] = frames
    return found


def from_plain(arrays: dict[str, Any], start: int, steps: int) -> Arrays:
    """Read a window from opened zarr arrays, by its first row."""
    return {name: np.asarray(array[start : start + steps]) for name, array in arrays.items()}


def draw_windows(reader: StoreReader, count: int, steps: int) -> list[Window]:
    """Draw windows evenly from all that lie within an episode."""
    lengths = np.diff(reader.episode_ends, prepend=0)
    starts = [(i, first) for i, n in enumerate(lengths) for first in range(n - steps + 1)]
    if not starts:
        raise SystemExit(f"no episode has {steps} steps; the longest has {max(lengths)}")
    chosen = np.random.default_rng(SEED).integers(len(starts), size=count)
    return [starts[index] for index in chosen]


def on_disk(path: Path) -> dict[str, Any]:
    """Size and number of the files."""
    files = [path] if path.is_file() else [f for f in path.rglob("*") if f.is_file()]
    return {"mb": round(sum(f.stat().st_size for f in files) / 1e6, 1), "files": len(files)}


def measure(folder: Path, count: int, steps: int) -> dict[str, dict[str, Any]]:
    """Write every form, then read the same windows from each in turn."""
    source = StoreReader(SOURCE)
    windows = draw_windows(source, count, steps)
    places = {
        "store": folder / "store.zarr",
        "store, packed": source.path,
        "store, jpeg": folder / "jpeg.zarr",
        "plain zarr": folder / "plain.zarr",
    }
    store = write_store(source, places["store"], "lossless")
    lossy = write_store(source, places["store, jpeg"], "jpeg")
    plain: dict[str, Any] = dict(write_plain(source, places["plain zarr"]).arrays())

    def of_plain(window: Window) -> Arrays:
        return from_plain(plain, source.rows(window[0]).start + window[1], steps)

    ways: dict[str, Callable[[Window], Arrays]] = {
        "store": lambda window: from_store(store, window, steps),
        "store, packed": lambda window: from_store(source, window, steps),
        "store, jpeg": lambda window: from_store(lossy, window, steps),
        "plain zarr": of_plain,
    }
    expected = of_plain(windows[0])
    for name in ("store", "store, packed"):
        found = ways[name](windows[0])
        if any(not np.array_equal(found[key], expected[key]) for key in expected):
            raise SystemExit(f"{name} does not hold what the plain arrays hold")
    best: dict[str, float] = {}
    for _ in range(ROUNDS):
        for name, read in ways.items():
            started = time.perf_counter()
            for window in windows:
                read(window)
            seconds = time.perf_counter() - started
            best[name] = min(seconds, best.get(name, seconds))
    return {
        name: {
            "windows_per_s": round(count / seconds, 1),
            "ratio": round(best["plain zarr"] / seconds, 2),
            **on_disk(places[name]),
        }
        for name, seconds in best.items()
    }


def main() -> None:
    """Measure, and print windows per second and their ratios to the plain arrays'."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        table = measure(Path(folder), arguments.windows, arguments.steps)
    if arguments.json:
        result = {
            "benchmark": "store",
            "episodes": SOURCE,
            "windows": arguments.windows,
            "steps": arguments.steps,
            "cores": os.cpu_count(),
            "forms": table,
        }
        print(json.dumps(result))
        return
    print(f"{arguments.windows} windows of {arguments.steps} steps of {SOURCE} "
          f"({os.cpu_count()} cores)")  # fmt: skip
    for name, f in table.items():
        print(f"  {name:14s} {f['windows_per_s']:7.1f} windows/s  {f['ratio']:5.2f} x  "
              f"{f['mb']:7.1f} MB in {f['files']} files")  # fmt: skip


if __name__ == "__main__":
    main()
