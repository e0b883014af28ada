"""An episode that is being put together from a bag."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.bags.boundaries import Span
from salus_ros.bags.graph import PredictionReader, SignalsReader
from salus_ros.bags.mapping import ACTION, PREDICTION, SIGNALS, STATE, Mapping
from salus_ros.bags.sampling import NANO
from salus_ros.core.errors import ObservationError
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec

if TYPE_CHECKING:
    from salus_ros.bags.policy import PolicySignals

MAX_IMAGE_BYTES = 4 << 30
"""Images of one episode, which is written whole from memory."""


@dataclass(slots=True, eq=False)
class Plan:
    """An episode of T steps.

    Attributes:
        id: Its name in the store.
        span: Its time.
        after_ns: End of the episode before.
        ticks_ns: Int64 (T,).
        steps: Step of each tick; empty where ticks are none.
        rows: What is known of each step, by stream; None where nothing is.
        age_ms: Float32 (T,) by stream; NaN for a gap.
        frames: Uint8 (T, H, W, 3) per camera.
        waiting: Images still to come.
        too_large: Whether its images were too many to hold.
    """

    id: str
    span: Span
    after_ns: int
    ticks_ns: NDArray[np.int64]
    steps: list[int]
    rows: dict[str, list[Any]] = field(default_factory=dict)
    age_ms: dict[str, NDArray[np.float32]] = field(default_factory=dict)
    frames: dict[str, NDArray[np.uint8]] = field(default_factory=dict)
    waiting: int = 0
    too_large: bool = False

    def __len__(self) -> int:
        """Number of steps T."""
        return len(self.ticks_ns)

    def use_action_of_step(self, rows: Sequence[Any]) -> None:
        """Give every step the action that answered it, and no other.

        Args:
            rows: Row of each message of the action's topic; None for one that cannot be used.
        """
        answers = [self.span.actions.get(step) for step in self.steps]
        self.rows[ACTION] = [None if one is None else rows[one.ordinal] for one in answers]
        none = [row is None for row in self.rows[ACTION]]
        self.age_ms[ACTION] = np.where(none, np.nan, 0).astype(np.float32)

    def place(self, image: NDArray[np.uint8], use: "Use", cameras: int) -> None:
        """Take in an image, unless there are too many for memory."""
        if len(self) * image.nbytes * cameras > MAX_IMAGE_BYTES:
            self.too_large = True
            return
        if use.camera not in self.frames:
            self.frames[use.camera] = np.zeros((len(self), *image.shape), np.uint8)
        self.frames[use.camera][use.ticks] = image
        self.age_ms[use.camera][use.ticks] = use.age_ms

    def check(self, required: Sequence[str]) -> None:
        """Refuse what is no episode.

        Raises:
            ObservationError: saying why.
        """
        if len(self) < 2:
            raise ObservationError(f"it has {len(self)} steps; it needs two")
        if self.too_large:
            raise ObservationError(
                f"its {len(self)} steps of images are more than {MAX_IMAGE_BYTES >> 30} GiB; "
                "divide the bag by gap_s, or set image_size"
            )
        for stream in required:
            if np.isnan(self.age_ms[stream]).all():
                raise ObservationError(f"no step has a sample of {stream}")

    def to_episode(
        self,
        mapping: Mapping,
        signals: SignalsReader,
        predictions: PredictionReader,
        size: tuple[int, int],
        policy: "PolicySignals | None" = None,
        stored: StoreSpec | None = None,
    ) -> tuple[Episode, StoreSpec]:
        """Return the episode, and the sizes of a store for it.

        Args:
            mapping: What becomes of the bag.
            signals: What has read the signals.
            predictions: What has read the predictions.
            size: Height and width of its images.
            policy: Gives it signals in place of the bag's.
            stored: Sizes of the store that there is.

        Raises:
            ObservationError: if it is none.
        """
        cameras = tuple(mapping.cameras)
        present = {*mapping.streams} | ({SIGNALS} if policy else set())
        streams = tuple(n for n in (*cameras, STATE, ACTION, SIGNALS, PREDICTION) if n in present)
        self.check((*cameras, STATE, ACTION))
        nothing = [None] * len(self)
        no_age = np.full(len(self), np.nan, np.float32)
        said = self.rows.get(PREDICTION, nothing)
        episode = Episode(
            meta=self._meta(mapping, [row for row in said if row is not None]),
            action=_stack(self.rows[ACTION]),
            state=_stack(self.rows[STATE]),
            stamp_ns=self.ticks_ns,
            images=self.frames,
            age_ms=np.stack([self.age_ms.get(stream, no_age) for stream in streams], axis=1),
            **signals.arrays(self.rows.get(SIGNALS, nothing), self.age_ms.get(SIGNALS, no_age)),
            **predictions.arrays(said),
        )
        spec = StoreSpec(
            cameras=cameras,
            image_size=size,
            state_dim=episode.state.shape[1],
            action_dim=episode.action.shape[1],
            embedding_dim=signals.embedding_dim,
            streams=streams,
            horizons_s=predictions.horizons_s,
            failure_types=predictions.failure_types,
        )
        if policy is None:
            return episode, spec
        statistics = stored is None or bool(stored.chunk_statistics)
        return policy.fill(episode, spec, self.steps, statistics=statistics)

    def _meta(self, mapping: Mapping, said: list[Any]) -> EpisodeMeta:
        about: dict[str, Any] = {
            "task": "",
            "rate_hz": float(NANO / np.median(np.diff(self.ticks_ns))),
            "wall_time_s": float(self.ticks_ns[-1] - self.ticks_ns[0]) / NANO,
            "model_id": said[-1].model_id if said else "",
        }
        about |= self.span.about(self.ticks_ns)
        if mapping.by_step and self.span.last.rate_hz > 0:
            about["rate_hz"] = float(self.span.last.rate_hz)
        if mapping.task:
            about["task"] = mapping.task
        return EpisodeMeta(id=self.id, **about)


@dataclass(frozen=True, slots=True, eq=False)
class Use:
    """Where an image goes: an episode, a camera, its ticks, and its age at each in ms."""

    plan: Plan
    camera: str
    ticks: NDArray[np.int64]
    age_ms: NDArray[np.float32]


def _stack(rows: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32]:
    """Rows as float32 (T, D), NaN where there is none."""
    width = next((row.size for row in rows if row is not None), 0)
    values = np.full((len(rows), width), np.nan, np.float32)
    for t, row in enumerate(rows):
        if row is not None:
            values[t] = row
    return values
