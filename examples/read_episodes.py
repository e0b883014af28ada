"""Read an episode store: how its episodes ended, arrays of all steps, one episode with images.

python examples/read_episodes.py [STORE]
"""

import argparse

import numpy as np

from salus_ros.episodes.reader import StoreReader


def main(store: str) -> None:
    """Print what a store holds."""
    reader = StoreReader(store)
    print(f"{len(reader)} episodes, {reader.steps} steps, cameras {reader.spec.cameras}")
    for meta in reader.episodes():
        print(f"  {meta.id}: {meta.ending}, '{meta.task}', fault {meta.fault}")

    arrays = reader.to_numpy(["signals", "signals_valid"])  # (N, 12) each, all episodes in a row
    for column, name in enumerate(reader.spec.signals):
        values = arrays["signals"][arrays["signals_valid"][:, column], column]
        median = np.median(values) if values.size else np.nan  # what is not valid is no number
        print(f"  {name}: {values.size} values, median {median:.4g}")

    episode = reader.episode(0)
    for camera, frames in episode.images.items():
        print(f"  {camera}: {frames.dtype} {frames.shape}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Read an episode store.")
    parser.add_argument("store", nargs="?", default="shipped:pictures")
    main(parser.parse_args().store)
