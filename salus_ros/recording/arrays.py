"""Rows as the arrays of the episode store."""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core import schema
from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, Outcome
from salus_ros.core.phases import Phase
from salus_ros.episodes import Episode, EpisodeMeta, StoreSpec
from salus_ros.messages.signals import PredictionRow, SignalsRow, check_form
from salus_ros.recording.joint_columns import joint_columns, joint_sizes
from salus_ros.recording.policy_columns import policy_columns, policy_sizes
from salus_ros.recording.rows import ACTION, PREDICTION, SIGNALS, STATE, TRUTH, Refused, Row

type ReadImage = Callable[[Any, str], NDArray[np.uint8]]
"""Reads what a row holds of a camera, by its name: uint8 (H, W, 3) RGB.

Raises ObservationError where it cannot be read."""


def meta_of(status: Any, rate_hz: float = schema.RATE_HZ) -> EpisodeMeta:
    """Read what an EpisodeStatus, of whichever library, says of its episode.

    How it ended is unknown until it has.

    Args:
        status: The message.
        rate_hz: Where it does not say.

    Raises:
        StoreError: if it contradicts itself.
        ValueError: if it names an outcome or a failure type that does not exist.
    """
    faulty = status.fault not in ("", "none")
    ended = status.phase == Phase.ENDED
    return EpisodeMeta(
        id=status.episode_id,
        task=status.task,
        outcome=Outcome(status.outcome) if ended else Outcome.UNKNOWN,
        failure_type=FailureType(status.failure_type) if ended else FailureType.NONE,
        failure_step=status.failure_step if ended else -1,
        # Which bags of before do not say, as the world.
        failure_cause=getattr(status, "failure_cause", "") if ended else "",
        seed=status.seed,
        fault=status.fault if faulty else "none",
        fault_step=status.fault_step if faulty else -1,
        fault_strength=status.fault_strength if faulty else math.nan,
        condition=status.condition,
        world=getattr(status, "world", ""),
        rate_hz=float(status.rate_hz) or rate_hz,
    )


def make_block(
    rows: Sequence[Row],
    images: dict[str, NDArray[np.uint8]],
    spec: StoreSpec,
    episode_id: str,
    refused: Refused,
    joints: Sequence[str] = (),
) -> Episode:
    """Make arrays of the next rows of an episode; what is missing is NaN, and so is its age.

    A sample that does not fit the store becomes a gap.

    Args:
        rows: The rows.
        images: Uint8 (T, H, W, 3) per camera.
        spec: Sizes of the store.
        episode_id: Id of the episode.
        refused: Told what does not fit.
        joints: Names of the joints of the rows' joint samples.
    """
    length = len(rows)
    action = np.full((length, spec.action_dim), np.nan, np.float32)
    state = np.full((length, spec.state_dim), np.nan, np.float32)
    signals = np.full((length, len(schema.SIGNAL_NAMES)), np.nan, np.float32)
    valid = np.zeros(signals.shape, np.bool_)
    fresh = np.zeros(length, np.bool_)
    embedding = np.full((length, spec.embedding_dim), np.nan, np.float16)
    statistics = np.full((length, len(spec.chunk_statistics)), np.nan, np.float32)
    shape = (length, len(spec.horizons_s), len(spec.failure_types))
    probability = np.full(shape, np.nan, np.float32)
    risk, alarm = (np.full(length, np.nan, np.float32) for _ in range(2))
    whole = np.full((length, len(schema.EPISODE_OUTPUTS)), np.nan, np.float32)
    for t, row in enumerate(rows):
        for name in (STATE, SIGNALS, PREDICTION):
            try:
                _check(row.samples.get(name), name, spec)
            except ObservationError as error:
                row.take_out(name)
                refused(name, error)
        if row.action is not None and row.action.shape != (spec.action_dim,):
            refused(ACTION, _misfit(ACTION, row.action.size, spec.action_dim))
            row.action = None
            row.age_ms[ACTION] = math.nan
        if row.action is not None:
            action[t] = row.action
        if row.samples.get(STATE) is not None:
            state[t] = row.samples[STATE]
        said: SignalsRow | None = row.samples.get(SIGNALS)
        if said is not None:
            signals[t], valid[t] = said.signals, said.valid
            fresh[t] = said.fresh and row.age_ms[SIGNALS] == 0
            if said.embedding.size and spec.embedding_dim:
                embedding[t] = said.embedding
            if said.chunk_statistics is not None and statistics.size:
                statistics[t] = said.chunk_statistics
        foreseen: PredictionRow | None = row.samples.get(PREDICTION)
        if foreseen is not None:
            probability[t] = foreseen.probability
            risk[t], alarm[t] = foreseen.risk, foreseen.alarm
            whole[t] = foreseen.episode_outputs
    ages = [_ages(row, spec.streams) for row in rows]
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
        chunk_statistics=statistics if spec.chunk_statistics else None,
        age_ms=np.array(ages, np.float32).reshape(length, len(spec.streams)),
        probability=probability,
        risk=risk,
        alarm=alarm,
        episode_outputs=whole,
        **policy_columns(rows, spec, refused),
        **joint_columns(rows, joints, spec),
        truth=_truth(rows, spec),
    )


def stack_images(
    rows: Sequence[Row],
    camera: str,
    read_image: ReadImage,
    size: tuple[int, int],
    refused: Refused,
) -> NDArray[np.uint8]:
    """Images of a camera, uint8 (T, H, W, 3); black where the row has none (its age is NaN).

    One that cannot be read, or has another size, becomes a gap. The samples are released as they
    are read: many of them are large.

    Args:
        rows: The rows.
        camera: The camera.
        read_image: Reads one.
        size: Height and width of the store's images.
        refused: Told what cannot be read.
    """
    frames = np.zeros((len(rows), *size, 3), np.uint8)
    for t, row in enumerate(rows):
        sample = row.samples[camera]
        if sample is None:
            continue
        try:
            image = read_image(sample, camera)
            if image.shape != frames.shape[1:]:
                raise ObservationError(
                    f"the image is {image.shape[1]}x{image.shape[0]}, the store takes "
                    f"{size[1]}x{size[0]}; a store has one size: scale the images, or record into "
                    "another store",
                    "an image of another size than the store's",
                )
        except ObservationError as error:
            row.take_out(camera)
            refused(camera, error)
            continue
        frames[t] = image
        row.samples[camera] = b""  # there, and released
    return frames


def store_spec(
    rows: Sequence[Row],
    sizes: dict[str, tuple[int, int]],
    *,
    streams: Sequence[str],
    image_codec: str = "lossless",
    state_names: Sequence[str] = (),
    action_names: Sequence[str] = (),
    joints: Sequence[str] = (),
    chunk_statistics: tuple[str, ...] = (),
) -> StoreSpec:
    """Sizes of a store for episodes like the one that begins with these rows.

    Args:
        rows: The first rows; at least one has an action and one a state.
        sizes: Height and width of the images of each camera; none for a store without.
        streams: Names of the columns of the ages.
        image_codec: How images are compressed.
        state_names: Names of the state's columns; empty where they are not known.
        action_names: The same of the action's.
        joints: Names of the joints of the rows' joint samples.
        chunk_statistics: Names of the statistics of action chunks that are kept.

    Raises:
        ObservationError: if the cameras have different sizes, or a size is not known.
    """
    if len(set(sizes.values())) > 1:
        shown = ", ".join(
            f"{camera} {width}x{height}" for camera, (height, width) in sizes.items()
        )
        raise ObservationError(
            f"the cameras have different sizes ({shown}); a store takes one size for all: scale "
            "them to one (image_size), or leave one out"
        )
    action = next((row.action for row in rows if row.action is not None), None)
    state = next((s for row in rows if (s := row.samples.get(STATE)) is not None), None)
    if action is None or state is None:
        missing = ACTION if action is None else STATE
        raise ObservationError(f"no step has a sample of {missing}")
    said = [s for row in rows if (s := row.samples.get(SIGNALS)) is not None]
    foreseen = next((s for row in rows if (s := row.samples.get(PREDICTION)) is not None), None)
    return StoreSpec(
        cameras=tuple(sizes),
        image_size=next(iter(sizes.values()), (0, 0)),
        state_dim=len(state),
        action_dim=len(action),
        embedding_dim=max((one.embedding.size for one in said), default=0),
        chunk_statistics=chunk_statistics,
        streams=tuple(streams),
        horizons_s=schema.HORIZONS_S if foreseen is None else foreseen.horizons_s,
        failure_types=FAILURE_TYPES if foreseen is None else foreseen.failure_types,
        image_codec=image_codec,
        state_names=tuple(state_names),
        action_names=tuple(action_names),
        **policy_sizes(rows, len(action)),
        **joint_sizes(rows, joints, state_names),
    )


def _truth(rows: Sequence[Row], spec: StoreSpec) -> NDArray[np.float32] | None:
    if not spec.truth_names:
        return None
    unknown = np.full(len(spec.truth_names), np.nan, np.float32)
    known = (row.samples.get(TRUTH) for row in rows)
    return np.stack([unknown if one is None else one for one in known])


def _ages(row: Row, streams: Sequence[str]) -> list[float]:
    answered = math.nan if row.action is None else 0.0
    return [row.age_ms.get(name, answered if name == ACTION else math.nan) for name in streams]


def _check(sample: Any, name: str, spec: StoreSpec) -> None:
    if sample is None:
        return
    if name == STATE and len(sample) != spec.state_dim:
        raise _misfit(STATE, len(sample), spec.state_dim)
    if name == SIGNALS and sample.embedding.size not in (0, spec.embedding_dim):
        raise _misfit("the embedding", sample.embedding.size, spec.embedding_dim)
    if name == PREDICTION:
        check_form(sample, spec.horizons_s, spec.failure_types)


def _misfit(name: str, given: int, size: int) -> ObservationError:
    return ObservationError(
        f"{name} has {given} values, the store takes {size}; record into another store"
    )
