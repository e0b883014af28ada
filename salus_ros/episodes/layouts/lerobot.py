"""A store as a LeRobotDataset and back, through lerobot's own classes, without a network.

    observation.state (S,)   action (A,)   task            what `lerobot` trains a policy on
    observation.images.<camera> (H, W, 3)                  images as PNG, or videos
    salus.signals (12,)                                    float32, NaN where not valid
    salus.signals_fresh   salus.stamp_ns
    meta/salus.json                                        outcome and more of each episode

Policies take no feature whose name begins with `salus.` as an input. Embeddings, statistics of
action chunks, ages and live predictions stay in the store.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros import __version__
from salus_ros.core import schema
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import Outcome
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.files import store_errors
from salus_ros.episodes.layouts.padded import OnEpisode, check_new
from salus_ros.episodes.layouts.padded_import import Imported
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import StoreSpec
from salus_ros.episodes.store import EpisodeStore

STATE, ACTION, IMAGES = "observation.state", "action", "observation.images."
SIGNALS, FRESH, STAMP = "salus.signals", "salus.signals_fresh", "salus.stamp_ns"
SIDECAR = Path("meta") / "salus.json"
DECODER = "pyav"
"""It comes with lerobot; its default, torchcodec, needs an FFmpeg of the system beside it."""

QUIET = {
    "HF_HUB_OFFLINE": "1",  # a file that is gone is an error, not a download
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",  # one for each episode, beside ours
    "SVT_LOG": "1",  # errors of the video encoder alone
}
"""Environment that the libraries below are loaded in, where it is not set otherwise."""


def _dataset_class() -> Any:
    """LeRobotDataset; to import it takes seconds."""
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from lerobot.datasets.lerobot_dataset import LeRobotDataset
    except ImportError as error:
        raise ConfigError(
            f"LeRobot's datasets cannot be used here ({error}); install 'lerobot[dataset]'"
        ) from error
    return LeRobotDataset


def export_lerobot(
    reader: StoreReader,
    out: str | Path,
    on_episode: OnEpisode | None = None,
    *,
    videos: bool = False,
) -> None:
    """Write the episodes of a store as a LeRobotDataset, one episode in memory at a time.

    The folder is there as a whole or not at all.

    Args:
        reader: Store to export.
        out: Folder of the dataset.
        on_episode: Called after each episode with the number of those done.
        videos: Encode the cameras as videos, which is smaller, but not without loss.

    Raises:
        StoreError: if the store is empty, damaged, or of a rate that LeRobot does not know, or
            the folder exists or cannot be written.
        ConfigError: if lerobot is installed without its datasets.
    """
    out = Path(out)
    check_new(out)
    if not len(reader):
        raise StoreError(f"'{reader.path}' holds no episode to export; record some first")
    fps = _whole_rate(reader)
    dataset_class = _dataset_class()
    part = out.with_name(out.name + ".partial")
    with store_errors(out, "write"):
        shutil.rmtree(part, ignore_errors=True)
        try:
            dataset = dataset_class.create(
                repo_id=f"local/{out.name}",
                fps=fps,
                features=_features(reader.spec, "video" if videos else "image"),
                root=part,
                use_videos=videos,
                video_backend=DECODER,
            )
            for index in range(len(reader)):
                _add(dataset, reader.episode(index))
                if on_episode is not None:
                    on_episode(index + 1)
            dataset.finalize()
            (part / SIDECAR).write_text(json.dumps(_sidecar(reader), allow_nan=False))
            part.replace(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _whole_rate(reader: StoreReader) -> int:
    rates = sorted({float(rate) for rate in reader.table()["rate_hz"]})
    if len(rates) > 1 or not rates[0].is_integer():
        raise StoreError(
            f"'{reader.path}' has steps at {rates} per second; a LeRobotDataset has one whole "
            "number of frames per second"
        )
    return int(rates[0])


def _features(spec: StoreSpec, images: str) -> dict[str, Any]:
    def feature(dtype: str, *shape: int, names: list[str] | None = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": shape, "names": names}

    axes = ["height", "width", "channels"]
    return {
        STATE: feature("float32", spec.state_dim),
        ACTION: feature("float32", spec.action_dim),
        SIGNALS: feature("float32", len(spec.signals), names=list(spec.signals)),
        FRESH: feature("bool", 1),
        STAMP: feature("int64", 1),
    } | {
        IMAGES + camera: feature(images, *spec.image_size, 3, names=axes)
        for camera in spec.cameras
    }


def _add(dataset: Any, episode: Episode) -> None:
    for t in range(len(episode)):
        row = {
            STATE: episode.state[t],
            ACTION: episode.action[t],
            SIGNALS: episode.signals[t],
            FRESH: episode.signals_fresh[t : t + 1],
            STAMP: episode.stamp_ns[t : t + 1],
            "task": episode.meta.task,
        }
        dataset.add_frame(row | {IMAGES + name: v[t] for name, v in episode.images.items()})
    dataset.save_episode(parallel_encoding=False)


def _sidecar(reader: StoreReader) -> dict[str, Any]:
    """What a LeRobotDataset has no place for, as JSON values; NaN is None."""
    metas = [asdict(meta) for meta in reader.episodes()]
    return {
        "salus_version": __version__,
        "spec": reader.spec.to_attributes(),
        "lengths": reader.table()["length"].tolist(),
        "episodes": [{k: None if v != v else v for k, v in meta.items()} for meta in metas],
    }


def import_lerobot(
    source: str | Path, out: str | Path, on_episode: OnEpisode | None = None
) -> Imported:
    """Read a LeRobotDataset of a local folder into a new store, one episode in memory at a time.

    Of a dataset that SALUS did not write the outcomes are unknown, there are no signals, and
    stamps are those of its even rate.

    Args:
        source: Folder of the dataset, in the version that the installed lerobot reads.
        out: Folder of the store.
        on_episode: Called after each episode with the number of those done.

    Raises:
        StoreError: if there is no dataset, it is incomplete or of another version, has no state
            or action, or cameras of several sizes; or the store exists. Nothing is left behind.
        ConfigError: if lerobot is installed without its datasets.
    """
    source, out = Path(source), Path(out)
    check_new(out)
    if not (source / "meta" / "info.json").is_file():
        raise StoreError(f"'{source}' is no LeRobotDataset: it has no meta/info.json")
    dataset_class = _dataset_class()
    with store_errors(source, "read"):
        dataset = dataset_class(f"local/{source.name}", root=source, video_backend=DECODER)
        cameras = _cameras(dataset, source)
        known = _read_sidecar(dataset, source)
        spec = _spec(dataset, cameras, known, source)
    store = EpisodeStore.create(out, spec)
    try:
        with store:
            for index in range(dataset.num_episodes):
                with store_errors(source, f"read episode {index} of"):
                    meta = known["episodes"][index] if known else {}
                    episode = _episode(dataset, index, cameras, meta)
                store.append(episode)
                if on_episode is not None:
                    on_episode(index + 1)
            return Imported(len(store), store.steps)
    except BaseException:
        shutil.rmtree(out, ignore_errors=True)
        raise


def _cameras(dataset: Any, source: Path) -> dict[str, str]:
    """Keys of the cameras by the names that they get; depth is left out."""
    for key in (STATE, ACTION):
        if key not in dataset.features:
            raise StoreError(f"'{source}' has no '{key}'; it has {sorted(dataset.features)}")
    keys = [key for key in dataset.meta.camera_keys if key not in dataset.meta.depth_keys]
    short = [key.removeprefix(IMAGES).removeprefix("observation.") for key in keys]
    return {name.replace(".", "_"): key for name, key in zip(short, keys, strict=True)}


def _read_sidecar(dataset: Any, source: Path) -> dict[str, Any] | None:
    if not (source / SIDECAR).is_file():
        return None
    known: dict[str, Any] = json.loads((source / SIDECAR).read_text())
    if known["lengths"] != list(dataset.meta.episodes["length"]):
        raise StoreError(
            f"'{source / SIDECAR}' is of other episodes than those in the dataset; remove it to "
            "import them with unknown outcomes"
        )
    return known


def _spec(
    dataset: Any, cameras: dict[str, str], known: dict[str, Any] | None, source: Path
) -> StoreSpec:
    first = dataset[0]
    sizes = {tuple(first[key].shape[-2:]) for key in cameras.values()}
    if len(sizes) > 1:
        raise StoreError(
            f"'{source}' has cameras of sizes {sorted(sizes)}; a store has images of one size"
        )
    spec = StoreSpec.from_attributes(known["spec"]) if known else StoreSpec()
    return replace(
        spec,
        cameras=tuple(cameras),
        image_size=sizes.pop() if sizes else spec.image_size,
        state_dim=int(first[STATE].numel()),
        action_dim=int(first[ACTION].numel()),
        embedding_dim=0,
        chunk_statistics=(),
        streams=(),
    )


def _episode(dataset: Any, index: int, cameras: dict[str, str], known: dict[str, Any]) -> Episode:
    entry = dataset.meta.episodes[index]
    steps = range(entry["dataset_from_index"], entry["dataset_to_index"])
    # uint8 at once: as float32, which a frame comes as, the images would take four times as much.
    frames: list[dict[str, NDArray[Any]]] = []
    for t in steps:
        item = dataset[t]
        row = {key: np.asarray(item[key]) for key in _KEPT if key in item}
        row |= {
            key: np.round(np.asarray(item[key]) * 255).astype(np.uint8).transpose(1, 2, 0)
            for key in cameras.values()
        }
        frames.append(row)

    def rows(key: str, missing: Callable[[], NDArray[Any]] | None = None) -> NDArray[Any]:
        if missing is not None and key not in frames[0]:
            return missing()
        return np.stack([row[key] for row in frames])

    length, rate_hz = len(steps), float(dataset.fps)
    signals = rows(SIGNALS, lambda: np.full((length, len(schema.SIGNAL_NAMES)), np.nan))
    stamp_ns = 1 + np.round(np.arange(length) * (1e9 / rate_hz)).astype(np.int64)
    unknown = {"id": str(index), "task": item["task"], "outcome": Outcome.UNKNOWN}
    meta = {name: np.nan if value is None else value for name, value in known.items()}
    return Episode(
        meta=EpisodeMeta(**({**unknown, "rate_hz": rate_hz} | meta)),
        action=rows(ACTION).reshape(length, -1),
        state=rows(STATE).reshape(length, -1),
        stamp_ns=rows(STAMP, lambda: stamp_ns).reshape(length),
        signals=signals,
        signals_valid=np.isfinite(signals),
        signals_fresh=rows(FRESH, lambda: np.zeros(length, np.bool_)).reshape(length),
        images={camera: rows(key) for camera, key in cameras.items()},
    )


_KEPT = (STATE, ACTION, SIGNALS, FRESH, STAMP)
