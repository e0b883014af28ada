"""Recording larger cameras without loss: what arrives, CPU and memory of the recorder node.

As `bench_recording.py`, with images of other sizes: shipped frames, enlarged, with the noise of a
camera (standard deviation 2). The reference of the CPU is a node with the same subscriptions that
does nothing. The source, the recorder and the listener share the machine's cores; the source
publishes with `salus_ros/assets/fastdds_cameras.xml`, as a camera's driver should.

    python benchmark/bench_recording_sizes.py [--minutes 5 1] [--codec jpeg] [--json]
"""

import argparse
import json
import os
import platform
import tempfile
from pathlib import Path
from typing import Any

import bench_recording
import numpy as np
from PIL import Image as Pillow

from salus_ros.episodes import Episode
from salus_ros.episodes.episode import EpisodeMeta
from salus_ros.episodes.spec import IMAGE_CODECS
from salus_ros.nodes.simulator import DDS_PROFILE, choose_transport

RATE_HZ = 30.0
NOISE = 2.0
FRAMES = 30
SIZES = ((480, 640), (720, 1280))


def enlarged(size: tuple[int, int]) -> Episode:
    """Some frames of a shipped episode in another size."""
    shown = bench_recording.shipped_frames()
    height, width = size
    rng = np.random.default_rng(0)
    images = {}
    for camera, frames in shown.images.items():
        large = [np.array(Pillow.fromarray(f).resize((width, height))) for f in frames[:FRAMES]]
        noisy = np.stack(large) + rng.normal(0, NOISE, (FRAMES, height, width, 1))
        images[camera] = np.clip(noisy, 0, 255).astype(np.uint8)
    arrays = {
        name: getattr(shown, name)[:FRAMES]
        for name in ("action", "state", "stamp_ns", "signals", "signals_valid", "signals_fresh")
    }
    embedding = None if shown.embedding is None else shown.embedding[:FRAMES]
    meta = EpisodeMeta("enlarged", "", shown.meta.outcome.UNKNOWN)
    return Episode(meta=meta, images=images, embedding=embedding, **arrays)


def measure(size: tuple[int, int], minutes: float, codec: str) -> dict[str, Any]:
    """Record one episode of some minutes, and listen to another one for half a minute."""
    made = enlarged(size)
    bench_recording.shipped_frames = lambda: made
    steps = round(60 * minutes * RATE_HZ)
    with tempfile.TemporaryDirectory(prefix="salus-bench-") as folder:
        store = Path(folder) / "a.zarr"
        figures = bench_recording.play([steps], RATE_HZ, store, codec)
        stored = sum(f.stat().st_size for f in store.rglob("*") if f.is_file())
    listening = bench_recording.play([round(30 * RATE_HZ)], RATE_HZ, None)
    raw = 3 * 3 * size[0] * size[1] * steps
    return {
        "size": f"{size[1]}x{size[0]}",
        "steps_published": steps,
        "steps_lost": steps - figures["steps"],
        "beyond_listening_cores": round(figures["cpu"] - listening["cpu"], 3),
        "ratio_to_listening": round(figures["cpu"] / max(listening["cpu"], 1e-3), 2),
        "raw_mb_per_s": round(raw / 60e6 / minutes, 1),
        "stored_share": round(stored / raw, 3),
        **figures,
    }


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--minutes", type=float, nargs=2, default=[5.0, 1.0], help="per size (5 1)"
    )
    parser.add_argument(
        "--codec", choices=IMAGE_CODECS, default=IMAGE_CODECS[0], help="of the images (lossless)"
    )
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    choose_transport(DDS_PROFILE.with_name("fastdds_cameras.xml"))
    sizes = zip(SIZES, given.minutes, strict=True)
    done = [measure(size, minutes, given.codec) for size, minutes in sizes]
    result = {
        "command": "python benchmark/bench_recording_sizes.py --minutes "
        + " ".join(f"{minutes:g}" for minutes in given.minutes)
        + f" --codec {given.codec}",
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "cameras": 3,
        "rate_hz": RATE_HZ,
        "sizes": done,
    }
    if given.json:
        print(json.dumps(result, indent=2))
        return
    for one in done:
        print(
            f"{one['size']}: {one['steps_lost']} of {one['steps_published']} steps lost, "
            f"{one['messages_dropped']} messages; {one['cpu']:.2f} of a core, "
            f"{one['ratio_to_listening']:.1f} x listening; peak {one['peak_mb']:.0f} MB; "
            f"{one['raw_mb_per_s']:.0f} MB/s raw, {one['stored_share']:.2f} of it stored"
        )


if __name__ == "__main__":
    main()
