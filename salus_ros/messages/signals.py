"""What the policy's tap and the predictor say of a step, as arrays, checked where they enter."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core import schema
from salus_ros.core.errors import ObservationError
from salus_ros.core.failures import ALL_FAILURE_TYPES, FAILURE_TYPES, FailureType

PROBABILITY_TOLERANCE = 1e-6
"""Part by which a probability may leave [0, 1]: that of float32, in which they are sent."""

LARGEST_HALF = float(np.finfo(np.float16).max)
"""The largest value of a float16."""


@dataclass(frozen=True, slots=True, eq=False)
class SignalsRow:
    """Signals of one step.

    Attributes:
        signals: Float32 (12,), NaN where not valid.
        valid: Bool (12,).
        fresh: Whether the network ran at this step.
        embedding: Float16 (D,): finite, or NaN throughout where the message's is not; (0,) where
            it has none.
        chunk_statistics: Float32 (S,) where they are known, which no message tells.
        plan: Float16 (T, A), the plan in force; of another shape where the message contradicts
            itself. This and the next three are infinite or NaN where the message's are, or
            float16 cannot hold them; None where it has none.
        plan_samples: Float16 (K, T, A), all sampled plans.
        visual_embedding: Float16 (C, D), of the cameras in `visual_cameras`.
        expert_embedding: Float16 (E,).
        plan_step: Which action of the plan is executed at this step; -1 without a plan.
        visual_cameras: The C names of the policy's cameras.
        episode_id: The episode that it speaks of; empty where nobody says it.
        further: Float32 (F,) signals beyond the twelve, NaN where one does not exist; None where
            the message has none.
        further_names: Their names.
    """

    signals: NDArray[np.float32]
    valid: NDArray[np.bool_]
    fresh: bool
    embedding: NDArray[np.float16]
    chunk_statistics: NDArray[np.float32] | None = None
    plan: NDArray[np.float16] | None = None
    plan_samples: NDArray[np.float16] | None = None
    visual_embedding: NDArray[np.float16] | None = None
    expert_embedding: NDArray[np.float16] | None = None
    plan_step: int = -1
    visual_cameras: tuple[str, ...] = ()
    episode_id: str = ""
    further: NDArray[np.float32] | None = None
    further_names: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class PredictionRow:
    """Prediction of one step.

    Attributes:
        probability: Float32 (H, K), each in [0, 1]; all NaN where nothing could be said.
        risk: The largest probability of any failure, in [0, 1]; NaN with the probabilities.
        alarm: Whether it alarmed.
        model_id: Which model predicted.
        horizons_s: The H horizons in s, ascending.
        failure_types: The K types.
        episode_outputs: Float32 (2,), each of `schema.EPISODE_OUTPUTS` in [0, 1]; NaN where it
            says nothing of it.
    """

    probability: NDArray[np.float32]
    risk: float
    alarm: bool
    model_id: str
    horizons_s: tuple[float, ...] = schema.HORIZONS_S
    failure_types: tuple[FailureType, ...] = FAILURE_TYPES
    episode_outputs: NDArray[np.float32] = field(
        default_factory=lambda: np.full(len(schema.EPISODE_OUTPUTS), np.nan, np.float32)
    )


def signals_array(message: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the twelve signals.

    Args:
        message: A salus_msgs/VlaSignals, of whichever library.

    Returns:
        Signals float32 (12,), NaN where not valid, and validity bool (12,). A value that is
        not finite is not valid, whatever the message says.

    Raises:
        ObservationError: if it has other signals than this version's.
    """
    try:
        values = [getattr(message, name) for name in schema.SIGNAL_NAMES]
    except AttributeError as error:
        missing = [name for name in schema.SIGNAL_NAMES if not hasattr(message, name)]
        raise ObservationError(
            f"it has no {', '.join(missing)}; it is of another version of salus_msgs"
        ) from error
    with np.errstate(over="ignore"):
        signals = np.array(values, dtype=np.float32)
    said = np.asarray(message.valid, dtype=np.bool_)
    if said.shape != signals.shape:
        raise ObservationError(
            f"it says of {said.size} signals whether they are valid; it needs {signals.size}",
            "not one validity a signal",
        )
    valid = said & np.isfinite(signals)
    signals[~valid] = np.nan
    return signals, valid


def embedding_array(message: Any) -> NDArray[np.float16]:
    """Read the pooled hidden state as the store holds it.

    Args:
        message: A salus_msgs/VlaSignals, of whichever library.

    Returns:
        Float16 (D,), finite, or NaN throughout where one of its values is not; (0,) where the
        message has none.

    Raises:
        ObservationError: if it does not fit float16.
    """
    values = np.asarray(message.embedding, dtype=np.float32)
    largest = np.maximum.reduce(np.abs(values), initial=0.0)  # NaN where a value is
    if largest <= LARGEST_HALF:
        return values.astype(np.float16)
    if np.isfinite(largest):
        raise ObservationError(
            f"its embedding has values of up to {largest:g}; the store keeps float16, up to "
            f"{LARGEST_HALF:g}; scale it, or publish none",
            "an embedding that float16 cannot hold",
        )
    return np.full(values.shape, np.nan, np.float16)


def read_signals(message: Any) -> SignalsRow:
    """Read the signals of one step as the store holds them.

    Args:
        message: A salus_msgs/VlaSignals, of whichever library.

    Raises:
        ObservationError: if it has other signals than this version's, its further ones have not
            each a name and a value, or its embedding does not fit float16.
    """
    signals, valid = signals_array(message)
    embedding = embedding_array(message)
    further, names = further_array(message)
    cameras = tuple(getattr(message, "visual_cameras", ()))
    length = int(getattr(message, "plan_length", 0))
    plan = half_array(message, "plan", length)
    return SignalsRow(
        signals,
        valid,
        bool(message.fresh),
        embedding,
        plan=plan,
        plan_samples=half_array(message, "plan_samples", int(message.num_samples), length),
        visual_embedding=half_array(message, "visual_embedding", len(cameras)),
        expert_embedding=half_array(message, "expert_embedding"),
        plan_step=-1 if plan is None else int(message.plan_step),
        visual_cameras=cameras,
        episode_id=str(message.episode_id),
        further=further,
        further_names=names,
    )


def further_array(message: Any) -> tuple[NDArray[np.float32] | None, tuple[str, ...]]:
    """Read the signals beyond the twelve.

    Args:
        message: A salus_msgs/VlaSignals, of whichever library and version.

    Returns:
        Float32 (F,), NaN where a value is not finite, and the F names; None and no names where
        the message has none.

    Raises:
        ObservationError: if they have not each a name of its own and a value.
    """
    names = tuple(str(name) for name in getattr(message, "further_names", ()))
    values = np.array(getattr(message, "further", ()), dtype=np.float32)
    if not names and not values.size:
        return None, ()
    if len(names) != values.size:
        raise ObservationError(
            f"it has {len(names)} names of further signals and {values.size} values; each needs "
            "both",
            "further signals without a name or a value each",
        )
    if fault := schema.further_fault(names):
        shown = [name[: schema.LONGEST_NAME] for name in names[:12]]
        raise ObservationError(
            f"its {len(names)} further signals begin with {shown}; {fault}",
            "names of further signals that are not allowed",
        )
    values[~np.isfinite(values)] = np.nan
    return values, names


def half_array(message: Any, name: str, *lead: int) -> NDArray[np.float16] | None:
    """Read a field of numbers as the store holds them, in float16.

    Args:
        message: A salus_msgs/VlaSignals, of whichever library.
        name: The field; one of an older version of the message may lack it.
        *lead: The first sizes of its shape.

    Returns:
        Float16 (*lead, the rest), infinite where float16 cannot hold a value; (all of them,)
        where their number does not go with `lead`; None where the message has none.
    """
    values = np.asarray(getattr(message, name, ()), dtype=np.float32)
    if not values.size:
        return None
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    count = int(np.prod(lead))
    return halves.reshape(*lead, -1) if count and halves.size % count == 0 else halves


def read_prediction(message: Any) -> PredictionRow:
    """Read the prediction of one step.

    Args:
        message: A salus_msgs/FailureHorizons, of whichever library.

    Raises:
        ObservationError: if its horizons do not ascend above 0, a type is not known or is there
            twice, it has not H x K probabilities, or one of them or the risk is not in [0, 1];
            all of them may be NaN, and so may each of what it says of the whole episode.
    """
    horizons_s = tuple(round(float(h), 6) for h in message.horizons)
    ends = (0.0, *horizons_s)
    rising = all(a < b < np.inf for a, b in pairwise(ends))
    if not horizons_s or not rising:
        raise ObservationError(
            f"its horizons are {list(horizons_s)} s; they have to be above 0 and ascend",
            "horizons that do not ascend",
        )
    failure_types = _failure_types(message)
    shape = len(horizons_s), len(failure_types)
    probability = np.asarray(message.probability, np.float32)
    if probability.size != shape[0] * shape[1]:
        raise ObservationError(
            f"it has {probability.size} probabilities; {shape[0]} horizons x {shape[1]} types "
            f"need {shape[0] * shape[1]}",
            "not one probability a horizon and type",
        )
    said = np.append(probability, np.float32(message.risk))
    within = (said >= -PROBABILITY_TOLERANCE) & (said <= 1 + PROBABILITY_TOLERANCE)
    if not (within.all() or np.isnan(said).all()):  # NaN is in no range
        raise ObservationError(
            f"its risk is {message.risk} and its probabilities are from {probability.min()} to "
            f"{probability.max()}; all have to be in [0, 1]",
            "a risk or a probability that is not in [0, 1]",
        )
    # A bag of before may have neither.
    given = [getattr(message, name, np.nan) for name in schema.EPISODE_OUTPUTS]
    whole = np.asarray(given, np.float32)
    if ((whole < -PROBABILITY_TOLERANCE) | (whole > 1 + PROBABILITY_TOLERANCE)).any():
        raise ObservationError(
            f"its {' and '.join(schema.EPISODE_OUTPUTS)} are {whole.tolist()}; both have to be in "
            "[0, 1], or NaN",
            "a probability of the whole episode that is not in [0, 1]",
        )
    return PredictionRow(
        probability=np.clip(probability, 0, 1).reshape(shape),
        risk=float(np.clip(message.risk, 0.0, 1.0)),
        alarm=bool(message.alarm),
        model_id=str(message.model_id),
        horizons_s=horizons_s,
        failure_types=failure_types,
        episode_outputs=np.clip(whole, 0, 1),
    )


def check_form(
    row: PredictionRow, horizons_s: Sequence[float], failure_types: Sequence[int]
) -> None:
    """Refuse a prediction that a store does not take.

    Raises:
        ObservationError: if it has other horizons or types than those given.
    """
    same = len(row.horizons_s) == len(horizons_s) and np.allclose(row.horizons_s, horizons_s)
    if not same or list(row.failure_types) != list(failure_types):
        raise ObservationError(
            f"failure_horizons has horizons {list(row.horizons_s)} s and types "
            f"{[int(kind) for kind in row.failure_types]}; the store takes {list(horizons_s)} s "
            f"and {[int(kind) for kind in failure_types]}; record into another store"
        )


def _failure_types(message: Any) -> tuple[FailureType, ...]:
    given = [int(kind) for kind in message.failure_types]
    known = [int(kind) for kind in ALL_FAILURE_TYPES]
    if not given or set(given) - set(known) or len(set(given)) < len(given):
        raise ObservationError(
            f"its failure types are {given}; allowed is each of {known} once, and one at least"
        )
    return tuple(FailureType(kind) for kind in given)
