"""How images are best compressed in a store: size, CPU to write and to read, loss.

Every codec stores the same frames in the store's own layout, through zarr: as many frames a file
as a store has of that size (200 at 256x256), each frame a chunk. Ratios are against the default
of an episode store, in the same run; of three rounds the best figures count. Files are in the
page cache.

    python benchmark/bench_codec.py [--images BAG_OR_FOLDER] [--frames 300] [--json]

Without --images: rendered frames of the episodes that ship. A real camera's noise compresses
worse; give a rosbag2 with raw images, or a folder of pictures. Fewer than --frames are repeated,
which no codec gains from: each frame is compressed by itself.
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from imagecodecs.zarr import Jpeg, Jpegxl, Png, Qoi, Webp, register_codecs
from numpy.typing import NDArray
from PIL import Image
from zarr.codecs import BloscCodec, Crc32cCodec

from salus_ros.episodes import StoreReader, StoreSpec
from salus_ros.episodes.files import PIPELINE, STRICT
from salus_ros.messages.images import image_to_array

READS = 300
ROUNDS = 3
NAMED = ("jpeg", "jpegxl", "png", "qoi", "webp")
DEFAULT = "blosc zstd 1"


def blosc(name: str, level: int, shuffle: str = "noshuffle") -> dict[str, Any]:
    """Bytes as they are, then Blosc, as the store does."""
    return {"compressors": (BloscCodec(cname=name, clevel=level, shuffle=shuffle), Crc32cCodec())}


def picture(codec: Any) -> dict[str, Any]:
    """A picture format of imagecodecs."""
    return {"serializer": codec, "compressors": Crc32cCodec()}


CODECS: dict[str, Callable[[], dict[str, Any]]] = {
    DEFAULT: lambda: blosc("zstd", 1),
    "blosc zstd 3": lambda: blosc("zstd", 3),
    "blosc zstd 5": lambda: blosc("zstd", 5),
    "blosc zstd 1 bitshuffle": lambda: blosc("zstd", 1, "bitshuffle"),
    "blosc lz4 1": lambda: blosc("lz4", 1),
    "blosc lz4 1 bitshuffle": lambda: blosc("lz4", 1, "bitshuffle"),
    "qoi": lambda: picture(Qoi()),
    "png 1": lambda: picture(Png(level=1)),
    "webp lossless": lambda: picture(Webp(level=0, lossless=True, method=0)),
    "jpeg xl lossless 1": lambda: picture(Jpegxl(lossless=True, effort=1)),
    "jpeg 95 4:4:4": lambda: picture(Jpeg(level=95, subsampling="444")),
    "jpeg 95 4:2:0": lambda: picture(Jpeg(level=95, subsampling="420")),
    "jpeg 90 4:4:4": lambda: picture(Jpeg(level=90, subsampling="444")),
    "webp 90": lambda: picture(Webp(level=90, lossless=False, method=0)),
}


def shipped(count: int) -> NDArray[np.uint8]:
    """Frames (N, H, W, 3) of the shipped episodes, in the order of one camera's film."""
    reader = StoreReader("shipped:pictures")
    parts = []
    for index in range(len(reader)):
        images = reader.episode(index).images
        parts += list(images.values())
        if sum(map(len, parts)) >= count * len(images):
            break
    share = -(-count // len(parts))
    return np.concatenate([part[:share] for part in parts])[:count]


def from_files(path: Path, count: int) -> NDArray[np.uint8]:
    """Frames of a rosbag2 with raw images of one size, or of a folder of pictures."""
    pictures = sorted(f for f in path.iterdir() if f.suffix.lower() in (".png", ".jpg", ".jpeg"))
    if pictures:
        return np.stack([np.array(Image.open(f).convert("RGB")) for f in pictures[:count]])
    from salus_ros.bags.reading import Bag

    with Bag(path) as bag:
        topics = [topic for topic, kind in bag.types.items() if kind == "sensor_msgs/msg/Image"]
        raw = bag.messages(topics[:1])
        frames = [image_to_array(bag.decode(m), m.topic) for m in islice(raw, count)]
    return np.stack(frames)


def measure(frames: NDArray[np.uint8], codec: dict[str, Any], folder: Path) -> dict[str, float]:
    """Store the frames with a codec; CPU times are of this process with all its threads."""
    group = zarr.create_group(folder)
    shape = frames.shape[1:]
    spec = StoreSpec(cameras=("camera",), image_size=shape[:2], state_dim=1, action_dim=1)
    with zarr.config.set(PIPELINE):
        array = group.create_array(
            "images",
            shape=(0, *shape),
            dtype=np.uint8,
            chunks=(1, *shape),
            shards=(spec.shard_steps, *shape),
            config=STRICT,
            **codec,
        )
        array.resize(frames.shape)
        started, wall = time.process_time(), time.perf_counter()
        array[:] = frames
        write_ms = (time.process_time() - started) / len(frames) * 1e3
        write_mb_s = frames.nbytes / 1e6 / (time.perf_counter() - wall)
        started = time.perf_counter()
        read = array[:]
        read_mb_s = frames.nbytes / 1e6 / (time.perf_counter() - started)
        order = np.random.default_rng(0).integers(0, len(frames), READS)
        started = time.perf_counter()
        for index in order:
            array[int(index)]
        single_ms = (time.perf_counter() - started) / READS * 1e3
    size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    error = np.mean((frames.astype(np.float64) - read) ** 2)
    return {
        "size_percent": 100 * size / frames.nbytes,
        "write_cpu_ms_per_frame": write_ms,
        "write_mb_per_s": write_mb_s,
        "read_mb_per_s": read_mb_s,
        "random_read_ms_per_frame": single_ms,
        "psnr_db": float("inf") if error == 0 else 10 * np.log10(255**2 / error),
    }


def better(one: dict[str, float], other: dict[str, float]) -> dict[str, float]:
    """Figures of two rounds: the larger speeds and the smaller times of both."""
    return {
        name: max(value, other[name]) if "_per_s" in name else min(value, other[name])
        for name, value in one.items()
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=Path, help="rosbag2 or folder; shipped frames without")
    parser.add_argument("--frames", type=int, default=300, help="frames of each codec (300)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    given = parser.parse_args()
    register_codecs(NAMED)
    frames = from_files(given.images, given.frames) if given.images else shipped(given.frames)
    distinct = len(frames)
    frames = frames[np.arange(given.frames) % distinct]
    found: dict[str, dict[str, float]] = {}
    for _ in range(ROUNDS):
        for name, make in CODECS.items():
            with tempfile.TemporaryDirectory() as folder:
                figures = measure(frames, make(), Path(folder) / "a.zarr")
            found[name] = better(figures, found.get(name, figures))
    if given.json:
        codecs = {  # JSON knows no infinity: null is without any loss
            name: {key: None if np.isinf(value) else round(value, 3) for key, value in f.items()}
            for name, f in found.items()
        }
        head = {"benchmark": "codec", "cpus": os.cpu_count(), "default": DEFAULT}
        head |= {"frames": list(frames.shape), "distinct_frames": distinct}
        print(json.dumps({**head, "codecs": codecs}, indent=2))
        return
    print(f"{len(frames)} frames of {frames.shape[2]}x{frames.shape[1]}; x: against {DEFAULT}")
    print(f"{'':26}{'size':>8}{'':>7}{'write CPU':>12}{'':>7}{'read':>11}{'one frame':>11}  PSNR")
    for name, f in found.items():
        size = f["size_percent"] / found[DEFAULT]["size_percent"]
        write = f["write_cpu_ms_per_frame"] / found[DEFAULT]["write_cpu_ms_per_frame"]
        print(
            f"{name:26}{f['size_percent']:7.2f}%{size:6.2f}x{f['write_cpu_ms_per_frame']:9.2f} ms"
            f"{write:6.2f}x{f['read_mb_per_s']:6.0f} MB/s{f['random_read_ms_per_frame']:8.2f} ms"
            f"  {f['psnr_db']:.1f}"
        )


if __name__ == "__main__":
    main()
