"""A finished episode's messages as the arrays of the episode store."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from salus_msgs.msg import FailureHorizons
from salus_ros.core import schema
from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec
from salus_ros.nodes import convert
from salus_ros.recording.assembly import Finished, Row

SIGNALS, PREDICTION, STATE, ACTION = "signals", "prediction", "state", "action"


class Label(NamedTuple):
    """How a person judges an episode; the failure's moment as a step, or as a time in s."""

    outcome: Outcome
    failure_type: FailureType
    failure_step: int = -1
    failure_time_s: float = 0.0

    def step(self, rate_hz: float) -> int:
        """The step of the failure; -1 where it is not known."""
        if self.failure_step < 0 and self.failure_time_s > 0:
            return round(self.failure_time_s * rate_hz)
        return self.failure_step


type ReadImage = Callable[[bytes, str], NDArray[np.uint8]]
"""Reads a serialised image of a camera, uint8 (H, W, 3) RGB."""


def to_meta(finished: Finished, model_id: str, label: Label | None = None) -> EpisodeMeta:
    """Say what is known about a whole episode.

    Args:
        finished: How it ended.
        model_id: Which predictor spoke during it; empty for none.
        label: What a person said; by default it is as the world says.

    Raises:
        StoreError: if it contradicts itself.
    """
    status = finished.status
    rate_hz = status.rate_hz or schema.RATE_HZ
    if label is None:
        kind = FailureType(status.failure_type)
        label = Label(Outcome(status.outcome), kind, status.failure_step)
    faulty = status.fault not in ("", "none")
    return EpisodeMeta(
        id=status.episode_id,
        task=status.task,
        outcome=label.outcome,
        failure_type=label.failure_type,
        failure_step=label.step(rate_hz),
        seed=status.seed,
        fault=status.fault if faulty else "none",
        fault_step=status.fault_step if faulty else -1,
        fault_strength=status.fault_strength if faulty else math.nan,
        condition=status.condition,
        policy_id=finished.policy_id,
        model_id=model_id,
        rate_hz=rate_hz,
        wall_time_s=finished.wall_time_s,
    )


def to_block(
    rows: Sequence[Row],
    images: dict[str, NDArray[np.uint8]],
    spec: StoreSpec,
    episode_id: str,
) -> Episode:
    """Make arrays of the next rows of an episode; what is missing is NaN, and so is its age.

    Args:
        rows: The rows.
        images: Uint8 (T, H, W, 3) per camera.
        spec: Sizes of the store.
        episode_id: Id of the episode.

    Raises:
        SalusError: if a sample does not fit the store.
    """
    length = len(rows)
    predictions = [row.samples[PREDICTION] for row in rows]
    action = np.full((length, spec.action_dim), np.nan, np.float32)
    state = np.full((length, spec.state_dim), np.nan, np.float32)
    signals = np.full((length, len(schema.SIGNAL_NAMES)), np.nan, np.float32)
    valid = np.zeros(signals.shape, np.bool_)
    fresh = np.zeros(length, np.bool_)
    embedding = np.full((length, spec.embedding_dim), np.nan, np.float16)
    shape = (length, len(spec.horizons_s), len(spec.failure_types))
    probability = np.full(shape, np.nan, np.float32)
    risk = np.full(length, np.nan, np.float32)
    alarm = np.full(length, np.nan, np.float32)
    age_ms = np.full((length, len(spec.streams)), np.nan, np.float32)
    for t, row in enumerate(rows):
        ages = row.age_ms | {ACTION: math.nan if row.action is None else 0.0}
        age_ms[t] = [ages.get(stream, math.nan) for stream in spec.streams]
        if row.action is not None:
            action[t] = _sized(row.action, spec.action_dim, "action")
        if row.samples[STATE] is not None:
            state[t] = _sized(row.samples[STATE], spec.state_dim, "state")
        if row.samples[SIGNALS] is not None:
            signals[t], valid[t] = convert.signals_array(row.samples[SIGNALS])
            fresh[t] = row.samples[SIGNALS].fresh and row.age_ms[SIGNALS] == 0
            if len(row.samples[SIGNALS].embedding):
                hidden = row.samples[SIGNALS].embedding
                embedding[t] = _sized(hidden, spec.embedding_dim, "embedding")
        prediction: FailureHorizons | None = predictions[t]
        if prediction is not None:
            kinds = [int(kind) for kind in spec.failure_types]
            probability[t] = convert.prediction_array(prediction, spec.horizons_s, kinds)
            risk[t], alarm[t] = prediction.risk, prediction.alarm
    return Episode(
        meta=EpisodeMeta(episode_id, "", Outcome.UNKNOWN),
        action=action,
        state=state,
        stamp_ns=np.array([row.stamp_ns for row in rows], np.int64),
        signals=signals,
        signals_valid=valid,
        signals_fresh=fresh,
        images=images,
        embedding=embedding if spec.embedding_dim else None,
        age_ms=age_ms,
        probability=probability,
        risk=risk,
        alarm=alarm,
    )


def stack_images(
    rows: Sequence[Row], camera: str, read_image: ReadImage, size: tuple[int, int] | None = None
) -> NDArray[np.uint8]:
    """Images of a camera, uint8 (T, H, W, 3); black where the row has none (its age is NaN).

    The messages are released as they are read: many of them are large.

    Args:
        rows: The rows; their images are serialised messages.
        camera: The camera.
        read_image: Reads one.
        size: Height and width, if they are known; else the first image settles them.

    Raises:
        ObservationError: if an image cannot be read or has another size, or if there is none at
            all and no size is known.
    """
    frames: NDArray[np.uint8] | None = None
    if size is not None:
        frames = np.zeros((len(rows), *size, 3), np.uint8)
    for t, row in enumerate(rows):
        raw = row.samples[camera]
        if raw is None:
            continue
        image = read_image(raw, camera)
        if frames is None:
            frames = np.zeros((len(rows), *image.shape), np.uint8)
        if image.shape != frames.shape[1:]:
            raise ObservationError(
                f"camera '{camera}' sends {image.shape[1]}x{image.shape[0]} pixels at step "
                f"{row.step}, before or in the store it is {frames.shape[2]}x{frames.shape[1]}; "
                "a store has one size: record into another one, or keep the driver's size"
            )
        frames[t] = image
        row.samples[camera] = b""
    if frames is None:
        raise ObservationError(
            f"camera '{camera}' has no image in the first {len(rows)} steps, so its size is not "
            "known; start its driver, or leave it out of the parameter cameras"
        )
    return frames


def store_spec(
    rows: Sequence[Row], images: dict[str, NDArray[np.uint8]], image_codec: str
) -> StoreSpec:
    """Sizes of a store for episodes like the one that begins with these rows."""
    sizes = {camera: (frames.shape[1], frames.shape[2]) for camera, frames in images.items()}
    if len(set(sizes.values())) > 1:
        raise ObservationError(
            f"the cameras have different sizes {sizes}; a store takes one size for all: scale "
            "the images before, or record fewer cameras"
        )
    action = next(row.action for row in rows if row.action is not None)
    states = [row.samples[STATE] for row in rows if row.samples[STATE] is not None]
    signals = [row.samples[SIGNALS] for row in rows if row.samples[SIGNALS] is not None]
    predictions = [row.samples[PREDICTION] for row in rows if row.samples[PREDICTION] is not None]
    horizons_s, kinds = schema.HORIZONS_S, FAILURE_TYPES
    if predictions:
        horizons_s = tuple(round(float(h), 6) for h in predictions[0].horizons)
        kinds = tuple(FailureType(kind) for kind in predictions[0].failure_types)
    cameras = tuple(images)
    return StoreSpec(
        cameras=cameras,
        image_size=next(iter(sizes.values())),
        state_dim=len(states[0]) if states else schema.STATE_DIM,
        action_dim=len(action),
        embedding_dim=len(signals[0].embedding) if signals else 0,
        streams=(*cameras, STATE, ACTION, SIGNALS, PREDICTION),
        horizons_s=horizons_s,
        failure_types=kinds,
        image_codec=image_codec,
    )


def _sized(values: Any, size: int, name: str) -> NDArray[np.floating]:
    array = np.asarray(values)
    if array.shape != (size,):
        raise ObservationError(
            f"{name} has {array.size} values, the store takes {size}; record into another store"
        )
    return array
