"""Failure-horizon labels, computed from the outcome of an episode; never stored as the truth."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import ConfigError
from salus_ros.core.failures import FAILURE_TYPES, FailureType, counted_as


def horizon_labels(
    length: int,
    failure_step: int,
    failure_type: FailureType,
    horizons: Sequence[int],
    failure_types: Sequence[FailureType] = FAILURE_TYPES,
) -> NDArray[np.bool_]:
    """Label every step with the failures that happen within each horizon after it.

    y[t, h, k] = 1 when a failure of type k happens at t_f with 0 < t_f - t <= h.

    A label looks at the failure moment alone, so no label depends on what the episode
    recorded after it, and a step whose horizon ends before the failure is negative. A failure is
    a positive of the type that it counts as (`failures.counted_as`), and of none where no output
    covers it.

    Args:
        length: Number of recorded steps T.
        failure_step: Step t_f at which the failure happened, in [0, T]; T when it was seen
            only after the last recorded step; -1 when nothing failed.
        failure_type: The finest type that is known of the failure; `NONE` exactly when
            `failure_step` is -1.
        horizons: Horizons in steps, each at least 1 (see `schema.horizon_steps`).
        failure_types: The K types that have an output, in output order.

    Returns:
        Bool array (T, H, K).

    Raises:
        ConfigError: if the step, the type and the horizons do not fit together.
    """
    _check_failure(length, failure_step)
    if (failure_type == FailureType.NONE) != (failure_step < 0):
        raise ConfigError(
            f"failure type '{failure_type.label}' does not go with failure step {failure_step}: "
            "an episode without a failure has type 'none' and step -1, any other has both"
        )
    if not horizons or min(horizons) < 1:
        raise ConfigError(f"horizons {list(horizons)} must be at least one step each")
    labels = np.zeros((length, len(horizons), len(failure_types)), dtype=np.bool_)  # (T, H, K)
    kind = counted_as(failure_type, failure_types)
    if kind not in failure_types:
        return labels
    steps_left = failure_step - np.arange(length)  # (T,)
    within = (steps_left[:, None] > 0) & (steps_left[:, None] <= np.asarray(horizons))  # (T, H)
    labels[:, :, list(failure_types).index(kind)] = within
    return labels


def before_failure(length: int, failure_step: int) -> NDArray[np.bool_]:
    """Mask of the steps that lie before the failure: those a predictor is trained on.

    At and after the failure there is nothing left to predict, and a negative label there
    would teach that a failed state is safe.

    Args:
        length: Number of recorded steps T.
        failure_step: Step of the failure in [0, T], or -1 for none (every step is kept).

    Returns:
        Bool array (T,).
    """
    _check_failure(length, failure_step)
    if failure_step < 0:
        return np.ones(length, dtype=np.bool_)
    return np.arange(length) < failure_step


def _check_failure(length: int, failure_step: int) -> None:
    if not -1 <= failure_step <= length:
        raise ConfigError(
            f"failure step {failure_step} lies outside an episode of {length} steps; "
            f"allowed are 0 to {length}, or -1 for no failure"
        )
