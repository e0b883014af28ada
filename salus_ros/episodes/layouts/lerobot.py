"""The episodes of a store as a LeRobotDataset, through lerobot's own classes, without a network.

    observation.state (S,)   action (A,)   task            what `lerobot` trains a policy on
    observation.images.<camera> (H, W, 3)                  images as PNG, or videos
    next.done   next.truncated   next.success              how the episode ends, in LeRobot's names
    salus.signals (12,)   salus.signals_valid (12,)        0 where not valid
    salus.further_signals (F,)   salus.further_signals_valid (F,)    likewise, where there are any
    salus.signals_fresh   salus.stamp_ns
    salus.age_ms (M,)                                      -1 where there was no sample
    salus.intervention                                     what acted in the policy's place
    meta/salus.json                                        outcome and more of each episode

A dataset has one even rate and no mark for what is missing, so only whole steps are written: an
episode with gaps becomes as many episodes as it has whole stretches (see `gaps`). No value is
NaN, which would make LeRobot's statistics NaN. `next.done` is where a recorded episode ends,
`next.truncated` where one was cut; `next.success` is there if every outcome is known,
`salus.intervention` if there was any.

Policies take no feature whose name begins with `salus.` or `next.` as an input. Plans, embeddings,
statistics of action chunks, joints beside the state, the world's truth and live predictions stay
in the store.
"""

import json
import os
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from salus_ros import __version__
from salus_ros.core.errors import ConfigError, StoreError
from salus_ros.core.failures import FailureType, Outcome
from salus_ros.episodes.episode import Episode, EpisodeMeta
from salus_ros.episodes.files import whole_folder
from salus_ros.episodes.interventions import names_by_step, within
from salus_ros.episodes.layout import data_arrays, image_array
from salus_ros.episodes.layouts.gaps import Exported, Gap, stretches
from salus_ros.episodes.layouts.padded import OnEpisode, check_export
from salus_ros.episodes.reader import StoreReader

STATE, ACTION, IMAGES = "observation.state", "action", "observation.images."
DONE, TRUNCATED, SUCCESS = "next.done", "next.truncated", "next.success"
SIGNALS, VALID, FRESH = "salus.signals", "salus.signals_valid", "salus.signals_fresh"
FURTHER, FURTHER_VALID = "salus.further_signals", "salus.further_signals_valid"
STAMP, AGE, INTERVENTION = "salus.stamp_ns", "salus.age_ms", "salus.intervention"
SIDECAR = Path("meta") / "salus.json"
KEPT = (
    *("state", "action", "signals", "signals_valid", "signals_fresh", "further_signals"),
    *("stamp_ns", "age_ms"),
)
"""Arrays of a store that a dataset has, beside the images."""

DECODER = "pyav"
"""It comes with lerobot; its default, torchcodec, needs an FFmpeg of the system beside it."""

VIDEO = {"vcodec": "h264", "crf": 23}
"""H.264, which all players show. lerobot's default, SVT-AV1, gives the whole process, where root
runs it, the highest real-time priority for good: nothing else gets on beside it any more."""

RATE_ROUNDING = 1e-3
"""Share by which a rate may differ from the whole number that it stands for."""

QUIET = {
    "HF_HUB_OFFLINE": "1",  # a file that is gone is an error, not a download
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",  # one for each episode, beside ours
}
"""Environment that the libraries below are loaded in, where it is not set otherwise."""


def dataset_class() -> Any:
    """LeRobotDataset; to import it takes seconds.

    Raises:
        ConfigError: if lerobot is installed without its datasets.
    """
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
    fps: int | None = None,
    task: str = "",
) -> Exported:
    """Write the whole steps of a store as a LeRobotDataset, one shard of images in memory.

    The folder is there as a whole or not at all.

    Args:
        reader: Store to export.
        out: Folder of the dataset.
        on_episode: Called after each episode with the number of those done.
        videos: Encode the cameras as videos, which is smaller, but not without loss.
        fps: Frames per second; by default the rate of the episodes, where it is a whole number.
        task: Instruction of the episodes that have none.

    Raises:
        StoreError: if the store is empty, damaged, without a task or a whole rate, or has no
            whole step; or the folder exists or cannot be written.
        ConfigError: if lerobot is installed without its datasets.
    """
    out = Path(out)
    check_export(reader, out)
    _check_names(reader, task)
    height, width = reader.spec.image_size
    if videos and reader.spec.cameras and (height % 2 or width % 2):
        raise StoreError(
            f"'{reader.path}' has images of {width}x{height} pixels; width and height of a video "
            "are even: export them as images"
        )
    fps = _whole_rate(reader) if fps is None else fps
    parts: list[list[slice]] = []  # by episode
    gaps: list[Gap] = []
    for index in range(len(reader)):
        found, between = stretches(reader, index, fps)
        parts.append(found)
        gaps += between
    if not any(parts):
        raise StoreError(f"'{reader.path}' has no whole steps to export: {gaps[0]}")
    create = dataset_class().create
    with whole_folder(out) as part:
        dataset = create(
            repo_id=f"local/{out.name}",
            fps=fps,
            features=_features(reader, "video" if videos else "image"),
            root=part,
            use_videos=videos,
            video_backend=DECODER,
            rgb_encoder=_encoder() if videos else None,
        )
        metas: list[EpisodeMeta] = []
        for index, found in enumerate(parts):
            episode = reader.episode(index, images=False)
            for steps in found:
                metas.append(_part(episode, steps, task))
                _add(dataset, reader, index, episode, steps, metas[-1])
            if on_episode is not None:
                on_episode(index + 1)
        dataset.finalize()
        lengths = [steps.stop - steps.start for found in parts for steps in found]
        sidecar = json.dumps(_sidecar(reader, metas, lengths), allow_nan=False)
        (part / SIDECAR).write_text(sidecar)
    kept = {*KEPT, *(image_array(camera) for camera in reader.spec.cameras)}
    left_out = tuple(name for name in data_arrays(reader.spec) if name not in kept)
    return Exported(len(lengths), sum(lengths), gaps=tuple(gaps), left_out=left_out)


def _encoder() -> Any:
    from lerobot.configs.video import RGBEncoderConfig

    return RGBEncoderConfig(**VIDEO)


def _check_names(reader: StoreReader, task: str) -> None:
    """Refuse what a dataset cannot be without, and names that it cannot take."""
    slashed = [camera for camera in reader.spec.cameras if "/" in camera]
    if slashed:
        raise StoreError(f"'{reader.path}' has the cameras {slashed}; LeRobot takes no '/' in one")
    without = [i for i, text in enumerate(reader.table()["task"]) if not str(text).strip()]
    if without and not task.strip():
        some = ", ".join(map(str, without[:5])) + (", ..." if len(without) > 5 else "")
        raise StoreError(
            f"'{reader.path}': no task in {len(without)} of {len(reader)} episodes ({some}), and "
            "policies are trained on its words; give --task, or set task in the mapping that "
            "they are converted with"
        )


def _whole_rate(reader: StoreReader) -> int:
    rates = sorted({float(rate) for rate in reader.table()["rate_hz"]})
    whole = {round(rate) for rate in rates}
    fps = max(whole)
    if len(whole) > 1 or not fps or abs(rates[-1] - fps) > RATE_ROUNDING * fps:
        raise StoreError(
            f"'{reader.path}' has steps at {rates} per second; a LeRobotDataset has one whole "
            f"number of frames per second: give --fps {max(fps, 1)}, say, which leaves out what "
            "was not recorded at about that rate"
        )
    return fps


def _part(episode: Episode, steps: slice, task: str) -> EpisodeMeta:
    """What is known about a part of an episode; of one before its end, not how it ends."""
    meta = episode.meta if episode.meta.task.strip() else replace(episode.meta, task=task)
    length, first, stop = len(episode), steps.start, steps.stop
    if stop - first == length:
        return meta
    # A failure seen after the last step has that step's number: it is the part's, if it ends so.
    failed = first <= meta.failure_step < stop or (stop == length <= meta.failure_step)
    outcome = meta.outcome if stop == length or failed else Outcome.UNKNOWN
    kind = meta.failure_type if outcome == Outcome.FAILURE else FailureType.NONE
    return replace(
        meta.judged(outcome, kind, meta.failure_step - first if failed else -1),
        id=f"{meta.id}_steps_{first}_to_{stop - 1}",
        fault_step=meta.fault_step - first if meta.fault_step >= first else -1,
        interventions=within(meta.interventions, first, stop),
        wall_time_s=np.nan,
    )


def _features(reader: StoreReader, images: str) -> dict[str, Any]:
    def feature(dtype: str, *shape: int, names: Any = None) -> dict[str, Any]:
        return {"dtype": dtype, "shape": shape, "names": list(names) if names else None}

    spec = reader.spec
    flag = feature("bool", 1)
    count, further = len(spec.signals), spec.further_signals
    features = {
        STATE: feature("float32", spec.state_dim, names=spec.state_names),
        ACTION: feature("float32", spec.action_dim, names=spec.action_names),
        SIGNALS: feature("float32", count, names=spec.signals),
        VALID: feature("bool", count, names=spec.signals),
        FURTHER: feature("float32", len(further), names=further),
        FURTHER_VALID: feature("bool", len(further), names=further),
        FRESH: flag,
        STAMP: feature("int64", 1),
        AGE: feature("float32", len(spec.streams), names=spec.streams),
        DONE: flag,
        TRUNCATED: flag,
    }
    if all(meta.outcome != Outcome.UNKNOWN for meta in reader.episodes()):
        features[SUCCESS] = flag
    if any(meta.interventions for meta in reader.episodes()):
        features[INTERVENTION] = feature("string", 1)
    axes = ("height", "width", "channels")
    cameras = {
        IMAGES + camera: feature(images, *spec.image_size, 3, names=axes)
        for camera in spec.cameras
    }
    return {name: value for name, value in features.items() if 0 not in value["shape"]} | cameras


def _add(
    dataset: Any,
    reader: StoreReader,
    index: int,
    episode: Episode,
    steps: slice,
    meta: EpisodeMeta,
) -> None:
    """Add some steps of an episode as one of the dataset."""
    ended = np.arange(len(episode)) == len(episode) - 1
    columns: dict[str, Any] = {
        STATE: episode.state,
        ACTION: episode.action,
        SIGNALS: np.where(episode.signals_valid, episode.signals, np.float32(0)),
        VALID: episode.signals_valid,
        FRESH: episode.signals_fresh[:, None],
        STAMP: episode.stamp_ns[:, None],
        DONE: ended[:, None],
        TRUNCATED: (np.arange(len(episode)) == steps.stop - 1)[:, None] & ~ended[:, None],
        SUCCESS: (ended & (meta.outcome == Outcome.SUCCESS))[:, None],
        INTERVENTION: names_by_step(episode.meta.interventions, len(episode)),
    }
    if episode.further_signals is not None:
        columns[FURTHER_VALID] = np.isfinite(episode.further_signals)
        columns[FURTHER] = np.nan_to_num(episode.further_signals, posinf=0.0, neginf=0.0)
    if episode.age_ms is not None:
        columns[AGE] = np.where(np.isnan(episode.age_ms), np.float32(-1), episode.age_ms)
    columns = {name: values for name, values in columns.items() if name in dataset.features}
    block = reader.spec.shard_steps
    for start in range(steps.start, steps.stop, block):
        stop = min(start + block, steps.stop)
        frames = {
            IMAGES + camera: reader.frames(camera, index, slice(start, stop))
            for camera in reader.spec.cameras
        }
        for t in range(start, stop):
            row = {name: values[t] for name, values in columns.items()}
            images = {name: values[t - start] for name, values in frames.items()}
            dataset.add_frame(row | images | {"task": meta.task})
    dataset.save_episode(parallel_encoding=False)


def _sidecar(reader: StoreReader, metas: list[EpisodeMeta], lengths: list[int]) -> dict[str, Any]:
    """What a LeRobotDataset has no place for, as JSON values; NaN is None."""
    return {
        "salus_version": __version__,
        "spec": reader.spec.to_attributes(),
        "lengths": lengths,
        "episodes": [{k: None if v != v else v for k, v in asdict(m).items()} for m in metas],
    }
