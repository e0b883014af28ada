"""Writing a clip: its rows as a store of one episode, and that as one file."""

import math
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from salus_ros.core.errors import ObservationError, StoreError
from salus_ros.core.failures import Outcome
from salus_ros.episodes import EpisodeMeta, EpisodeStore
from salus_ros.episodes.clip import OUTCOMES, SCRATCH, ClipInfo, Ending, make_clip
from salus_ros.episodes.files import store_errors
from salus_ros.recording.blocks import BlockMaker, Lost, Piece, Written
from salus_ros.recording.flight import BLOCK_STEPS
from salus_ros.recording.lookback import Heard, Held, Rows
from salus_ros.recording.options import RecorderOptions
from salus_ros.recording.rows import (
    ACTION,
    JOINT,
    NUMBERS,
    PREDICTION,
    SIGNALS,
    STATE,
    Block,
    Finished,
    Row,
)

IMAGE_CODEC = "jpeg"
NO_EPISODE = "no episode"
IMAGES_TRIED = 5
"""Images of a camera that are tried before it counts as one that cannot be read."""


@dataclass(slots=True)
class Excerpt:
    """A stretch of time that becomes a clip.

    Attributes:
        path: The clip.
        held: What it is made of; None when it has been used up.
        start_ns: Its first stamp.
        stop_ns: Its last one.
        info: What it says of itself, without rows and endings.
    """

    path: Path
    held: Held | None
    start_ns: int
    stop_ns: int
    info: ClipInfo


def write_clip(excerpt: Excerpt, options: RecorderOptions) -> None:
    """Write a clip; it is there whole or not at all.

    Raises:
        StoreError: if it cannot be written, or there is nothing in it.
    """
    path, info = excerpt.path, excerpt.info
    with store_errors(path, "write"):
        path.parent.mkdir(parents=True, exist_ok=True)
        free = shutil.disk_usage(path.parent).free
        if free < options.min_free_bytes:
            raise StoreError(
                f"{free / 1e6:.0f} MB are free at '{path.parent}', fewer than min_free_mb "
                f"{options.min_free_bytes / 1e6:.0f}; make room"
            )
        held, excerpt.held = excerpt.held, None  # images are released as they are written
        assert held is not None
        made = held.rows(excerpt.start_ns, excerpt.stop_ns)
        if not made.rows:
            raise StoreError("there was neither a step nor an image in its time")
        first = next((one.episode_id for one in info.reasons if one.episode_id), NO_EPISODE)
        meta = _meta(made, first, held.episodes.get(first, Heard()))
        endings = (_ending(held, name) for name, one in held.episodes.items() if one.ended_ns >= 0)
        reasons = (replace(one, row=made.row_of(one)) for one in info.reasons)
        info = replace(info, reasons=tuple(reasons), endings=tuple(endings))
        rows = made.rows
        del held, made
        with tempfile.TemporaryDirectory(prefix=SCRATCH, dir=path.parent) as scratch:
            folder = Path(scratch) / "clip.zarr"
            try:
                left_out = _write_store(folder, rows, meta, options)
            except StoreError as error:  # which should name what a person knows
                raise StoreError(str(error).replace(str(folder), str(path))) from error
            note = "; ".join(text for text in (info.note, *left_out) if text)
            make_clip(folder, path, replace(info, note=note))


def _meta(made: Rows, episode_id: str, heard: Heard) -> EpisodeMeta:
    """What is known of an episode, its steps those of the clip."""
    meta = heard.meta or EpisodeMeta(episode_id, "", Outcome.UNKNOWN)
    return replace(
        meta,
        policy_id=heard.policy_id,
        failure_step=made.place_of(episode_id, meta.failure_step),
        fault_step=made.place_of(episode_id, meta.fault_step),
    )


def _ending(held: Held, episode_id: str) -> Ending:
    heard = held.episodes[episode_id]
    assert heard.meta is not None
    meta, failure_ns = heard.meta, -1
    if meta.failure_step >= 0:
        failure_ns = held.stamp_of(episode_id, meta.failure_step)
        failure_ns = heard.ended_ns if failure_ns < 0 else failure_ns
    return Ending(
        episode_id,
        heard.ended_ns,
        OUTCOMES[meta.outcome],
        meta.finest_type.label,
        failure_ns,
        heard.intervened_ns,
    )


def _write_store(
    folder: Path, rows: list[Row], meta: EpisodeMeta, options: RecorderOptions
) -> list[str]:
    """Write the rows; returns which cameras are left out, and why."""
    cameras, left_out = _cameras(rows, options)
    _complete(rows, options)
    columns = {STATE: options.joints, JOINT: options.all_joints}
    there = {STATE, ACTION}
    for name in (SIGNALS, PREDICTION):
        there |= {name} if any(row.samples[name] is not None for row in rows) else set()
    blocks = BlockMaker(
        cameras,
        options.read_image,
        max_missing_share=1.0,
        streams=[name for name in NUMBERS if name in there],
        names=lambda what: columns.get(what, ()),
        image_codec=IMAGE_CODEC,
    )
    store: EpisodeStore | None = None
    try:
        for piece in _pieces(blocks, rows, meta):
            if isinstance(piece, Lost):
                raise StoreError(piece.reason)
            if isinstance(piece, Written):
                if store is None:
                    store = EpisodeStore.create(folder, piece.spec)
                store.write(piece.block)
            elif store is not None:
                store.commit(piece.meta)
    finally:
        if store is not None:
            store.close()
    return left_out


def _pieces(blocks: BlockMaker, rows: list[Row], meta: EpisodeMeta) -> Iterator[Piece]:
    steps = len(rows)
    while rows:
        block, rows[:BLOCK_STEPS] = rows[:BLOCK_STEPS], []
        yield from blocks.take(Block(meta.id, block))
    yield from blocks.take(Finished([], meta, steps, lacking=0, messages=0))


def _cameras(rows: Sequence[Row], options: RecorderOptions) -> tuple[list[str], list[str]]:
    """Cameras with images of one size, the first one's; and what is said of the others."""
    kept: list[str] = []
    left_out = []
    size: tuple[int, ...] = ()
    for camera in options.cameras:
        found: tuple[int, ...] = ()
        error = f"no image of '{camera}' has come"
        samples = [row.samples[camera] for row in rows if row.samples[camera] is not None]
        for sample in samples[:IMAGES_TRIED]:
            try:
                found = options.read_image(sample, camera).shape[:2]
                break
            except ObservationError as refused:
                error = f"'{camera}' is left out: {refused}"
        if not found:
            left_out.append(error)
        elif size and found != size:
            left_out.append(
                f"'{camera}' is left out: its images are {found[1]}x{found[0]}, those of "
                f"'{kept[0]}' {size[1]}x{size[0]}"
            )
        else:
            size = found
            kept.append(camera)
    return kept, left_out


def _complete(rows: Sequence[Row], options: RecorderOptions) -> None:
    """Give a store its sizes where nothing acted, or no joint spoke: columns of NaN."""
    if all(row.action is None for row in rows):
        rows[0].action = np.full(1, np.nan, np.float32)
    if all(row.samples[STATE] is None for row in rows):
        rows[0].samples[STATE] = np.full(len(options.joints), np.nan, np.float32)
        rows[0].age_ms[STATE] = math.nan
