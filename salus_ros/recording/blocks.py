"""Rows of episodes as blocks that fit the store, and what becomes of each episode."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError, SalusError
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec
from salus_ros.recording.arrays import ReadImage, make_block, stack_images, store_spec
from salus_ros.recording.rows import (
    ACTION,
    NUMBERS,
    PREDICTION,
    Dropped,
    Finished,
    Result,
    Row,
    too_many_gaps,
)

HELD_STEPS = 200
"""Steps that wait for the first image of a camera, which tells its size."""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The next steps of an episode, and the sizes of a store for them."""

    block: Episode
    spec: StoreSpec


@dataclass(frozen=True, slots=True)
class Kept:
    """An episode is whole: all its blocks have come.

    Attributes:
        meta: What is known of it.
        steps: Number of its steps.
        gaps: How many of them lack a sample of some stream.
        note: What a person should read about it; empty for nothing.
    """

    meta: EpisodeMeta
    steps: int
    gaps: int
    note: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """An episode is not kept: its blocks are to be forgotten."""

    episode_id: str
    reason: str
    messages: int


type Piece = Written | Kept | Lost


@dataclass(slots=True)
class _InFlight:
    """The episode that is being made into blocks."""

    episode_id: str
    rows: list[Row] = field(default_factory=list)  # that wait for the size of an image
    lacking: int = 0  # rows that lack a required sample since it could not be used
    gaps: int = 0
    model_id: str = ""
    failed: str = ""
    refusal: str = ""


class BlockMaker:
    """Makes blocks of rows as they come; images are read here.

    Attributes:
        spec: Sizes of the store; None before the first block, where there is no store yet.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        read_image: ReadImage,
        *,
        spec: StoreSpec | None = None,
        required: Sequence[str] = (),
        max_missing_share: float = 0.0,
        streams: Sequence[str] = NUMBERS,
        refused: Callable[[str, ObservationError], object] = lambda *_: None,
        **sizes: Any,
    ) -> None:
        """Make blocks of nothing yet.

        Args:
            cameras: Names of the cameras.
            read_image: Reads what a row holds of one.
            spec: Sizes of the store, if there is one.
            required: Streams that a step is not whole without.
            max_missing_share: Share of the steps that may lack one of them, or an action.
            streams: Streams beside the cameras.
            refused: Told the stream and the reason of a sample that cannot be used.
            **sizes: What else a new store has, see `store_spec`.
        """
        self.spec = spec
        self._cameras = tuple(cameras)
        self._read_image = read_image
        self._required = tuple(required)
        self._max_missing_share = max_missing_share
        self._streams = (*cameras, *streams)
        self._refused = refused
        self._sizes = sizes
        self._in_flight: _InFlight | None = None
        self._order: Mapping[str, NDArray[np.int64] | None] | None = None

    def take(self, result: Result) -> Iterator[Piece]:
        """Take in what an assembler gives; what follows from it is to be done in that order."""
        if isinstance(result, Dropped):
            self._forget(result.episode_id)
            yield Lost(result.episode_id, result.reason, result.messages)
            return
        episode = self._in_flight
        if episode is None or episode.episode_id != result.episode_id:
            episode = self._in_flight = _InFlight(result.episode_id)
        over = isinstance(result, Finished)
        if not episode.failed:
            episode.rows += result.rows
            try:
                if piece := self._make(episode, over=over):
                    yield piece
            except SalusError as error:
                episode.failed = str(error)
        if isinstance(result, Finished):
            self._in_flight = None
            yield self._judge(episode, result)

    def fail(self, episode_id: str, reason: str) -> None:
        """Take note that a block could not be written: its episode is lost."""
        if self._in_flight is not None and self._in_flight.episode_id == episode_id:
            self._in_flight.failed, self._in_flight.rows = reason, []

    def _forget(self, episode_id: str) -> None:
        if self._in_flight is not None and self._in_flight.episode_id == episode_id:
            self._in_flight = None

    def _make(self, episode: _InFlight, *, over: bool) -> Written | None:
        rows = episode.rows
        if not rows:
            return None
        whole = [not row.lacks(self._required) for row in rows]

        def refused(stream: str, error: ObservationError) -> None:
            episode.refusal = episode.refusal or f"{stream}: {error}"
            self._refused(stream, error)

        size = None if self.spec is None else self.spec.image_size
        stacked = {
            camera: stack_images(rows, camera, self._read_image, size, refused)
            for camera in self._cameras
        }
        images = {camera: frames for camera, frames in stacked.items() if frames is not None}
        if len(images) < len(self._cameras):
            return self._wait(episode, [c for c in self._cameras if c not in images], over=over)
        if self.spec is None:
            if not over and not _settled(rows):
                return None
            self.spec = store_spec(rows, images, streams=self._streams, **self._sizes)
        block = make_block(rows, images, self.spec, episode.episode_id, refused)
        lacks = [row.lacks(self._required) for row in rows]
        episode.lacking += sum(a and b for a, b in zip(whole, lacks, strict=True))
        assert block.age_ms is not None
        episode.gaps += int(np.isnan(block.age_ms).any(axis=1).sum())
        said = (row.samples.get(PREDICTION) for row in reversed(rows))
        newest = next((one.model_id for one in said if one is not None), "")
        episode.model_id = newest or episode.model_id
        episode.rows = []
        return Written(block, self.spec)

    def _judge(self, episode: _InFlight, finished: Finished) -> Kept | Lost:
        reason = episode.failed or too_many_gaps(
            finished.lacking + episode.lacking,
            finished.steps,
            self._required,
            self._max_missing_share,
        )
        if reason:
            because = f" ({episode.refusal})" if episode.refusal and not episode.failed else ""
            return Lost(episode.episode_id, reason + because, finished.messages)
        meta = replace(finished.meta, model_id=episode.model_id)
        return Kept(meta, finished.steps, episode.gaps, finished.note)
