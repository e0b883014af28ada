"""A LeRobotDataset of a local folder as a store, through lerobot's own classes, offline."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import StoreError
from salus_ros.core.failures import Outcome
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.files import store_errors
from salus_ros.episodes.layouts.lerobot import (
    ACTION,
    AGE,
    DECODER,
    FRESH,
    FURTHER,
    FURTHER_VALID,
    IMAGES,
    SIDECAR,
    SIGNALS,
    STAMP,
    STATE,
    VALID,
    dataset_class,
)
from salus_ros.episodes.layouts.lerobot_files import check_files
from salus_ros.episodes.layouts.padded import OnEpisode, check_new
from salus_ros.episodes.layouts.padded_import import Imported
from salus_ros.episodes.spec import StoreSpec
from salus_ros.episodes.store import EpisodeStore

KEPT = (STATE, ACTION, SIGNALS, VALID, FRESH, STAMP, AGE, FURTHER, FURTHER_VALID)


def import_lerobot(
    source: str | Path, out: str | Path, on_episode: OnEpisode | None = None
) -> Imported:
    """Read a LeRobotDataset of a local folder into a new store, one shard of images in memory.

    Of a dataset that SALUS did not write the outcomes are unknown, there are no signals, and
    stamps are those of its even rate.

    Args:
        source: Folder of the dataset, in the version that the installed lerobot reads.
        out: Folder of the store.
        on_episode: Called after each episode with the number of those done.

    Raises:
        StoreError: if there is no dataset, it is incomplete or of another version, has no state
            or action, or cameras of several sizes or of one name; or the store exists. Nothing
            is left behind.
        ConfigError: if lerobot is installed without its datasets.
    """
    source, out = Path(source), Path(out)
    check_new(out)
    dataset_of = dataset_class()
    check_files(source)
    with store_errors(source, "read"):
        dataset = dataset_of(f"local/{source.name}", root=source, video_backend=DECODER)
        cameras = _cameras(dataset, source)
        known = _read_sidecar(dataset, source)
        spec = _spec(dataset, cameras, known, source)
    store = EpisodeStore.create(out, spec)
    try:
        with store:
            for index in range(dataset.num_episodes):
                meta = known["episodes"][index] if known else {}
                with store_errors(source, f"read episode {index} of"):
                    _write(store, dataset, index, cameras, meta)
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
    found: dict[str, str] = {}
    for key in dataset.meta.camera_keys:
        if key in dataset.meta.depth_keys:
            continue
        name = key.removeprefix(IMAGES).removeprefix("observation.").replace(".", "_")
        if name in found:
            raise StoreError(
                f"'{source}' has the cameras '{found[name]}' and '{key}', which a store would "
                f"both call '{name}'; rename one of them in the dataset"
            )
        found[name] = key
    return found


def _read_sidecar(dataset: Any, source: Path) -> dict[str, Any] | None:
    if not (source / SIDECAR).is_file():
        return None
    with store_errors(source / SIDECAR, "read"):
        known: dict[str, Any] = json.loads((source / SIDECAR).read_text())
        lengths, _ = known["lengths"], StoreSpec.from_attributes(known["spec"])
        of_these = lengths == list(dataset.meta.episodes["length"])
        of_these = of_these and len(known["episodes"]) == len(lengths)
    if not of_these:
        raise StoreError(
            f"'{source / SIDECAR}' is of other episodes than those in the dataset; remove it to "
            "import them with unknown outcomes"
        )
    return known


def _spec(
    dataset: Any, cameras: dict[str, str], known: dict[str, Any] | None, source: Path
) -> StoreSpec:
    shapes = {key: tuple(dataset.features[key]["shape"]) for key in (STATE, ACTION)}
    first = dataset[0]
    sizes = {tuple(first[key].shape[-2:]) for key in cameras.values()}
    if len(sizes) > 1:
        raise StoreError(
            f"'{source}' has cameras of sizes {sorted(sizes)}; a store has images of one size"
        )
    state_dim, action_dim = (int(np.prod(shapes[key])) for key in (STATE, ACTION))
    spec = StoreSpec(
        cameras=tuple(cameras),
        image_size=sizes.pop() if sizes else (0, 0),
        state_dim=state_dim,
        action_dim=action_dim,
        state_names=_names(dataset.features[STATE]["names"], state_dim),
        action_names=_names(dataset.features[ACTION]["names"], action_dim),
    )
    if known is None:
        return spec
    ours = StoreSpec.from_attributes(known["spec"])
    return replace(
        spec,
        signals=ours.signals,
        further_signals=ours.further_signals if FURTHER in dataset.features else (),
        horizons_s=ours.horizons_s,
        failure_types=ours.failure_types,
        image_codec=ours.image_codec,
        streams=tuple(dataset.features[AGE]["names"]) if AGE in dataset.features else (),
    )


def _names(given: Any, count: int) -> tuple[str, ...]:
    """Names of columns, in the forms that datasets have them; none where they do not fit."""
    lists = given.values() if isinstance(given, dict) else [given]  # as {"motors": [...]}
    names = tuple(str(name) for part in lists if isinstance(part, list) for name in part)
    return names if len(names) == len(set(names)) == count else ()


def _write(
    store: EpisodeStore, dataset: Any, index: int, cameras: dict[str, str], known: dict[str, Any]
) -> None:
    """Read an episode of the dataset and append it to the store."""
    entry = dataset.meta.episodes[index]
    first, stop = entry["dataset_from_index"], entry["dataset_to_index"]
    task, start = "", first
    while start < stop:
        end = min(start + store.steps_to_shard_end, stop)
        rows: list[dict[str, NDArray[Any]]] = []
        for t in range(start, end):
            item = dataset[t]
            task = item["task"]
            if int(item["episode_index"]) != index:
                raise StoreError(f"row {t} belongs to episode {int(item['episode_index'])}")
            row = {key: np.asarray(item[key]) for key in KEPT if key in item}
            # uint8 at once: a frame comes as float32, which takes four times as much.
            row |= {
                key: np.round(np.asarray(item[key]) * 255).astype(np.uint8).transpose(1, 2, 0)
                for key in cameras.values()
            }
            rows.append(row)
        store.write(_block(rows, start - first, float(dataset.fps), cameras, store.spec))
        start = end
    unknown: dict[str, Any] = {"id": str(index), "task": task, "outcome": Outcome.UNKNOWN}
    meta = {name: np.nan if value is None else value for name, value in known.items()}
    store.commit(EpisodeMeta(**({**unknown, "rate_hz": float(dataset.fps)} | meta)))


def _block(
    frames: list[dict[str, NDArray[Any]]],
    first: int,
    rate_hz: float,
    cameras: dict[str, str],
    spec: StoreSpec,
) -> Episode:
    """Steps of an episode from number `first` on, as the store takes them."""
    length = len(frames)

    def rows(key: str) -> NDArray[Any]:
        return np.stack([row[key] for row in frames])

    signals: NDArray[Any] = np.full((length, len(spec.signals)), np.nan, np.float32)
    valid: NDArray[Any] = np.zeros(signals.shape, np.bool_)
    if SIGNALS in frames[0]:
        signals = rows(SIGNALS).reshape(length, -1)
        # Datasets that were exported before they had a column for it are NaN where not valid.
        valid = rows(VALID).reshape(length, -1) if VALID in frames[0] else np.isfinite(signals)
    further = None
    if FURTHER in frames[0] and spec.further_signals:
        said = rows(FURTHER_VALID).reshape(length, -1)
        further = np.where(said, rows(FURTHER).reshape(length, -1), np.float32(np.nan))
    even_ns = 1 + np.round(np.arange(first, first + length) * (1e9 / rate_hz)).astype(np.int64)
    ages = rows(AGE).reshape(length, -1) if AGE in frames[0] and spec.streams else None
    return Episode(
        meta=EpisodeMeta("", "", Outcome.UNKNOWN),
        action=rows(ACTION).reshape(length, -1),
        state=rows(STATE).reshape(length, -1),
        stamp_ns=rows(STAMP).reshape(length) if STAMP in frames[0] else even_ns,
        signals=signals,
        signals_valid=valid,
        further_signals=further,
        signals_fresh=rows(FRESH).reshape(length)
        if FRESH in frames[0]
        else np.zeros(length, np.bool_),
        images={camera: rows(key) for camera, key in cameras.items()},
        age_ms=None if ages is None else np.where(ages < 0, np.float32(np.nan), ages),
    )
