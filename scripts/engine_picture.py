"""Make the picture of an episode's first images by MuJoCo and by Newton; say what three take.

python scripts/engine_picture.py --out docs/images/newton.png
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from salus_ros.worlds.mujoco import WORLDS
from salus_ros.worlds.mujoco.world import PickPlaceEnv
from salus_ros.worlds.panda import CAMERAS
from salus_ros.worlds.physics import ENV_ID, NEWTON_ENV_ID

LOOKS = 30


def main() -> None:
    """Draw, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the picture")
    parser.add_argument("--seed", type=int, default=3, help="of the episode")
    given = parser.parse_args()
    rows = []
    for env_id in (ENV_ID, NEWTON_ENV_ID):
        env = PickPlaceEnv(**WORLDS[env_id], render_every=0)
        env.reset(seed=given.seed)
        pixels = env.look()["pixels"]
        rows.append(np.concatenate([pixels[camera] for camera in CAMERAS], axis=1))
        taken = []
        for _ in range(LOOKS):
            began = time.perf_counter()
            env.look()
            taken.append(1e3 * (time.perf_counter() - began))
        env.close()
        sys.stdout.write(f"{env_id}: three images in {statistics.median(taken):.0f} ms (median)\n")
    Image.fromarray(np.concatenate(rows)).save(given.out, optimize=True)


if __name__ == "__main__":
    main()
