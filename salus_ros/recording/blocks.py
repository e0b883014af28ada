"""Rows of episodes as blocks that fit the store, and what becomes of each episode."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from salus_ros.core.errors import ObservationError, SalusError, StoreError
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec
from salus_ros.episodes.columns import columns
from salus_ros.episodes.interventions import Span, joined, written
from salus_ros.episodes.spec import NAMED
from salus_ros.recording.arrays import (
    ReadImage,
    make_block,
    stack_images,
    store_spec,
)
from salus_ros.recording.rows import (
    ACTION,
    JOINT,
    NUMBERS,
    PREDICTION,
    SIGNALS,
    STATE,
    Dropped,
    Finished,
    Refused,
    Result,
    Row,
    too_many_gaps,
)

HELD_STEPS, HELD_BYTES = 200, 256 << 20
"""Steps, and bytes of images, that wait for what a new store needs to know of its streams."""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """The next steps of an episode, and the sizes of a store for them.

    Attributes:
        block: The steps, their columns in the order of the spec's names.
        spec: The sizes.
    """

    block: Episode
    spec: StoreSpec

    @property
    def episode_id(self) -> str:
        """Id of the episode."""
        return self.block.meta.id

    def for_store(self, stored: StoreSpec) -> Episode:
        """The block with its columns in the order of a store, by their names.

        Raises:
            StoreError: if they are not those of the store, or it has no place for what was
                predicted.
        """
        said = self.block.episode_outputs
        if said is not None and not stored.episode_outputs and not np.isnan(said).all():
            raise StoreError(
                "the store was created without episode_outputs, what is predicted of an episode "
                "as a whole, and would lose it; record into a new folder"
            )
        order = {what: columns(stored.names(what), self.spec.names(what), what) for what in NAMED}
        if all(isinstance(one, slice) for one in order.values()):
            return self.block
        state = self.block.state[:, order[STATE]]
        return replace(self.block, state=state, action=self.block.action[:, order[ACTION]])


@dataclass(frozen=True, slots=True)
class Kept:
    """An episode is whole: all its blocks have come.

    Attributes:
        meta: What is known of it.
        steps: Number of its steps.
        gaps: How many of them lack a sample of some stream.
        messages: Messages used for them.
        note: What a person should read about it; empty for nothing.
    """

    meta: EpisodeMeta
    steps: int
    gaps: int
    messages: int
    note: str = ""

    @property
    def episode_id(self) -> str:
        """Id of the episode."""
        return self.meta.id


@dataclass(frozen=True, slots=True)
class Lost:
    """An episode is not kept: its blocks are to be forgotten.

    Attributes:
        episode_id: Its id.
        reason: Why.
        messages: Messages lost with it.
        told: Whether it was the assembler that dropped it, and said so.
    """

    episode_id: str
    reason: str
    messages: int
    told: bool = False


type Piece = Written | Kept | Lost


@dataclass(slots=True)
class _InFlight:
    """The episode that is being made into blocks."""

    episode_id: str
    rows: list[Row] = field(default_factory=list)  # that wait for what a new store must know
    whole: list[bool] = field(default_factory=list)  # whether each came with all it needs
    lacking: int = 0  # rows that lack a required sample since it could not be used
    gaps: int = 0
    made: int = 0  # rows that went into blocks
    interventions: tuple[Span, ...] = ()
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
        refused: Refused = lambda *_: None,
        names: Callable[[str], Sequence[str]] = lambda _: (),
        told: bool = False,
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
            names: Gives the names of the columns of "state", "action" and "joint", where they are
                known.
            told: Whether the signals name their episode as the rows do.
            **sizes: What else a new store has, see `store_spec`.
        """
        self.spec = spec
        self._cameras = tuple(cameras)
        self._read_image = read_image
        self._required = tuple(required)
        self._max_missing_share = max_missing_share
        self._streams = (*cameras, *streams)
        self._refused = refused
        self._names = names
        self._told = told
        self._sizes = sizes
        self._image_sizes: dict[str, tuple[int, int]] = {}
        self._in_flight: _InFlight | None = None

    def take(self, result: Result) -> Iterator[Piece]:
        """Take in what an assembler gives; what follows from it is to be done in that order."""
        if isinstance(result, Dropped):
            if self._in_flight is not None and self._in_flight.episode_id == result.episode_id:
                self._in_flight = None
            yield Lost(result.episode_id, result.reason, result.messages, told=True)
            return
        episode = self._in_flight
        if episode is None or episode.episode_id != result.episode_id:
            episode = self._in_flight = _InFlight(result.episode_id)
        over = isinstance(result, Finished)
        if not episode.failed:
            episode.rows += result.rows
            episode.whole += [not row.lacks(self._required) for row in result.rows]
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
            self._in_flight.failed = reason
            self._in_flight.rows, self._in_flight.whole = [], []

    def _make(self, episode: _InFlight, *, over: bool) -> Written | None:
        rows = episode.rows
        if not rows:
            return None

        def refused(stream: str, error: ObservationError) -> None:
            episode.refusal = episode.refusal or f"{stream}: {error}"
            self._refused(stream, error)

        if self._told:
            _refuse_others(rows, episode.episode_id, refused)
        if self.spec is None:
            if not over and not self._is_known(rows, refused):
                return None
            self.spec = self._new_spec(rows, refused)
        size = self.spec.image_size
        images = {
            camera: stack_images(rows, camera, self._read_image, size, refused)
            for camera in self._cameras
        }
        joints = self._names(JOINT)
        block = make_block(rows, images, self.spec, episode.episode_id, refused, joints)
        lacks = [row.lacks(self._required) for row in rows]
        episode.lacking += sum(a and b for a, b in zip(episode.whole, lacks, strict=True))
        assert block.age_ms is not None
        episode.gaps += int(np.isnan(block.age_ms).any(axis=1).sum())
        said = (row.samples.get(PREDICTION) for row in reversed(rows))
        newest = next((one.model_id for one in said if one is not None), "")
        episode.model_id = newest or episode.model_id
        for place, row in enumerate(rows, episode.made):
            episode.interventions = joined(episode.interventions, place, row.intervention)
        episode.made += len(rows)
        episode.rows, episode.whole = [], []
        state_names, action_names = (tuple(self._names(what)) for what in NAMED)
        named = replace(self.spec, state_names=state_names, action_names=action_names)
        return Written(block, named)

    def _is_known(self, rows: Sequence[Row], refused: Refused) -> bool:
        """Whether the rows tell all that a new store needs to know, or need not be waited for."""
        for camera in self._cameras:
            if camera not in self._image_sizes:
                self._find_size(rows, camera, refused)
        if len(rows) >= HELD_STEPS or sum(row.size for row in rows) >= HELD_BYTES:
            return True
        there = {
            name for row in rows for name in self._streams if row.samples.get(name) is not None
        }
        there |= {ACTION} if any(row.action is not None for row in rows) else set()
        return there.issuperset(self._streams) and len(self._image_sizes) == len(self._cameras)

    def _find_size(self, rows: Sequence[Row], camera: str, refused: Refused) -> None:
        for row in rows:
            if row.samples[camera] is not None:
                try:
                    height, width, _ = self._read_image(row.samples[camera], camera).shape
                except ObservationError as error:
                    row.take_out(camera)
                    refused(camera, error)
                else:
                    self._image_sizes[camera] = (height, width)
                    return

    def _new_spec(self, rows: Sequence[Row], refused: Refused) -> StoreSpec:
        for camera in self._cameras:
            if camera not in self._image_sizes:
                self._find_size(rows, camera, refused)
            if camera not in self._image_sizes:
                raise ObservationError(
                    f"no step has a sample of {camera}: the first {len(rows)} steps have no image "
                    "of it that can be read, so its size is not known; start its driver, or leave "
                    "it out of the cameras"
                )
        sizes = {camera: self._image_sizes[camera] for camera in self._cameras}
        return store_spec(
            rows,
            sizes,
            streams=self._streams,
            state_names=self._names(STATE),
            action_names=self._names(ACTION),
            joints=self._names(JOINT),
            **self._sizes,
        )

    def _judge(self, episode: _InFlight, finished: Finished) -> Kept | Lost:
        reason = episode.failed or too_many_gaps(
            finished.lacking + episode.lacking,
            finished.steps,
            self._required,
            self._max_missing_share,
        )
        if reason:
            because = f" ({episode.refusal})" if episode.refusal else ""
            return Lost(episode.episode_id, reason + because, finished.messages)
        interventions = written(episode.interventions)
        meta = replace(finished.meta, model_id=episode.model_id, interventions=interventions)
        return Kept(meta, finished.steps, episode.gaps, finished.messages, finished.note)


def _refuse_others(rows: Sequence[Row], episode_id: str, refused: Refused) -> None:
    """Make gaps of signals that say they are of another episode."""
    for row in rows:
        said = row.samples.get(SIGNALS)
        if said is not None and said.episode_id not in ("", episode_id):
            row.take_out(SIGNALS)
            error = ObservationError(
                f"it is of episode '{said.episode_id}' with a stamp of '{episode_id}'",
                "signals of another episode",
            )
            refused(SIGNALS, error)
