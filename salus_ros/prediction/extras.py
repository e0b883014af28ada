"""What a model can read of a step beside the signals: the optional inputs, live and stored.

Each is a row of numbers. A robot or a policy that lacks one leaves it out, and so does a model.
"""

import math
from collections.abc import Collection, Mapping

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.schema import JOINT_QUANTITIES
from salus_ros.episodes.episode import Episode
from salus_ros.episodes.spec import StoreSpec
from salus_ros.messages.joints import joint_keys
from salus_ros.messages.signals import SignalsRow

EXTRAS: tuple[str, ...] = (
    "embedding",
    "expert",
    "visual",
    "plan",
    "joints",
    "lookahead",
    "further",
)
"""The hidden state of the action expert; the state in its middle; what the policy's vision encoder
makes of each camera; the actions that the policy has planned, from the present one on; positions,
velocities and efforts of the joints; what the arm would meet if it did as is planned; the policy's
signals beyond the twelve."""

SINGLE: tuple[str, ...] = ("further",)
"""Those of them whose values come and go one by one, as signals do."""

Extras = Mapping[str, NDArray[np.floating]]
"""Some of `EXTRAS` for N steps, (N, W) each. What is not finite is missing, and so is its row, but
for those of `SINGLE`."""

Parts = Mapping[str, tuple[str, ...]]
"""What an input consists of: the cameras of the visual embedding, the size of a plan, the joints
and quantities, the cell that is looked ahead in and what is told of it, the names of further
signals; nothing for a hidden state, whose width says it all."""

ARRAYS: dict[str, tuple[str, ...]] = {
    "embedding": ("embedding",),
    "expert": ("expert_embedding",),
    "visual": ("visual_embedding",),
    "plan": ("plan", "plan_step"),
    "joints": tuple(f"joint_{quantity}" for quantity in JOINT_QUANTITIES),
    "lookahead": ("lookahead",),
    "further": ("further_signals",),
}
"""The arrays of a store that an input is made of; of the joints' those that are there."""


def plan_ahead(
    plan: NDArray[np.floating], plan_step: NDArray[np.floating]
) -> NDArray[np.floating]:
    """The planned actions from the present one on; behind the end the last one is repeated.

    Args:
        plan: (N, T, A).
        plan_step: (N,), which action of its plan is executed; NaN where there is none.

    Returns:
        (N, T * A), NaN without a plan.
    """
    steps = plan.shape[1]
    present = np.nan_to_num(plan_step).astype(np.int64)
    rows = np.minimum(present[:, None] + np.arange(steps), steps - 1)  # (N, T)
    ahead = _flat(np.take_along_axis(plan, rows[:, :, None], axis=1))
    ahead[np.isnan(plan_step)] = np.nan
    return ahead


def stored_parts(spec: StoreSpec) -> dict[str, tuple[str, ...]]:
    """The inputs that the episodes of a store have, and what they consist of."""
    parts: dict[str, tuple[str, ...]] = {}
    if spec.embedding_dim:
        parts["embedding"] = ()
    if spec.expert_dim:
        parts["expert"] = ()
    if spec.visual_dim:
        parts["visual"] = spec.visual_cameras
    if spec.plan_length:
        parts["plan"] = _plan_parts(spec.plan_length, spec.action_dim)
    if spec.joint_names:
        parts["joints"] = joint_keys(spec.joint_names, spec.joint_quantities)
    if spec.lookahead_names:
        parts["lookahead"] = (spec.lookahead_cell, *spec.lookahead_names)
    if spec.further_signals:
        parts["further"] = spec.further_signals
    return parts


def stored(name: str, arrays: Mapping[str, NDArray[np.floating]]) -> NDArray[np.floating]:
    """An input (N, W) of the arrays of a store; see `ARRAYS`."""
    if name == "plan":
        return plan_ahead(arrays["plan"], arrays["plan_step"])
    parts = [_flat(arrays[one]) for one in ARRAYS[name] if one in arrays]
    return parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)


def of_episode(episode: Episode) -> dict[str, NDArray[np.floating]]:
    """The inputs (T, W) that an episode has."""
    there = {name: getattr(episode, name) for names in ARRAYS.values() for name in names}
    arrays = {name: values for name, values in there.items() if values is not None}
    needed = {name: names[:1] if name == "joints" else names for name, names in ARRAYS.items()}
    return {
        name: stored(name, arrays)
        for name, names in needed.items()
        if all(one in arrays for one in names)
    }


def told(
    row: SignalsRow, names: Collection[str] = EXTRAS
) -> tuple[dict[str, NDArray[np.floating]], dict[str, tuple[str, ...]]]:
    """The inputs (1, W) that a message of the policy's tap tells, and what they consist of.

    Args:
        row: What was read of the message; what contradicts itself in its sizes is left out.
        names: Which of them.
    """
    given: dict[str, NDArray[np.floating]] = {}
    parts: dict[str, tuple[str, ...]] = {}
    for name, values in (("embedding", row.embedding), ("expert", row.expert_embedding)):
        if name in names and values is not None and values.size:
            given[name], parts[name] = values.reshape(1, -1), ()
    visual, plan = row.visual_embedding, row.plan
    if "visual" in names and visual is not None and visual.ndim == 2:
        given["visual"], parts["visual"] = visual.reshape(1, -1), row.visual_cameras
    if "plan" in names and plan is not None and plan.ndim == 2 and 0 <= row.plan_step < len(plan):
        given["plan"] = plan_ahead(plan[None], np.array([row.plan_step], np.float32))
        parts["plan"] = _plan_parts(*plan.shape)
    if "further" in names and row.further is not None:
        given["further"], parts["further"] = row.further.reshape(1, -1), row.further_names
    return given, parts


def _flat(values: NDArray[np.floating]) -> NDArray[np.floating]:
    return values.reshape(len(values), math.prod(values.shape[1:]))  # -1 fails without rows


def _plan_parts(steps: int, width: int) -> tuple[str, ...]:
    return (f"{steps} actions of {width}",)
