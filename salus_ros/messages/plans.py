"""What a policy that runs elsewhere says with its action: the plan that the action is of."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ObservationError


@dataclass(frozen=True, slots=True, eq=False)
class PlanRow:
    """The plan of one step.

    Attributes:
        chunks: Float32 (K, T, A), all finite, the chunks of a policy that has planned anew, in the
            units of its actions; the first is executed. None where it goes on with its last one.
        chunk_step: Which action of its newest chunk is executed at the step, from 0.
        scale: Float32 (A,), above 0: what a value is divided by to be as in training.
    """

    chunks: NDArray[np.float32] | None
    chunk_step: int
    scale: NDArray[np.float32]


def has_chunk(message: Any) -> bool:
    """Whether a PolicyAction says that its policy has planned anew, be it readable or not."""
    return len(message.chunk) > 0 or len(message.chunk_samples) > 0


def read_plan(message: Any) -> PlanRow:
    """Read what a PolicyAction, of whichever library, says of its plan.

    Raises:
        ObservationError: if its sizes contradict each other, or a value is not finite.
    """
    width = len(message.action)
    if not width or not np.isfinite(np.asarray(message.action, np.float32)).all():
        raise ObservationError(
            f"its action has {width} values, finite or not; it needs one at least, all finite",
            "an action without values, or not finite",
        )
    scale = np.asarray(message.action_scale, np.float32)
    if not scale.size:
        scale = np.ones(width, np.float32)
    if scale.shape != (width,) or not (np.isfinite(scale) & (scale > 0)).all():
        raise ObservationError(
            f"its action_scale is {np.array2string(scale, threshold=10)}; it needs {width} "
            "numbers above 0, as many as the action has, or none",
            "an action_scale that does not go with the action",
        )
    step = int(message.chunk_step)
    if not has_chunk(message):
        return PlanRow(None, step, scale)
    length = int(message.chunk_length)
    chunk = np.asarray(message.chunk, np.float32)
    samples = np.asarray(message.chunk_samples, np.float32)
    number = max(int(message.num_samples), 1) if samples.size else 1
    if not length or chunk.size != length * width or step >= length:
        raise ObservationError(
            f"its chunk has {chunk.size} values and is at action {step}; {length} actions "
            f"(chunk_length) of {width} values need {length * width}, and one that is among them",
            "a chunk of another size than it says",
        )
    if samples.size and samples.size != number * chunk.size:
        raise ObservationError(
            f"its chunk_samples have {samples.size} values; {number} (num_samples) chunks of "
            f"{chunk.size} values need {number * chunk.size}",
            "chunk_samples of another size than it says",
        )
    chunks = (samples if samples.size else chunk).reshape(number, length, width)
    if not np.isfinite(chunks).all() or not np.array_equal(chunks[0].ravel(), chunk):
        raise ObservationError(
            "its chunks have values that are not finite, or the first of chunk_samples is not "
            "chunk",
            "chunks that are not finite, or not the executed one first",
        )
    return PlanRow(chunks, step, scale)
