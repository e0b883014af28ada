"""Positions, velocities and efforts of joints: fingers too, which are in no policy's state."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.schema import JOINT_QUANTITIES
from salus_ros.episodes import StoreSpec
from salus_ros.recording.rows import JOINT, Row


def joint_sample(
    joints: Sequence[str], said: Mapping[str, tuple[Sequence[str], Any]]
) -> NDArray[np.float32]:
    """The sample of J joints at one time, as `JointStream` makes it of messages.

    Args:
        joints: Names of the J joints.
        said: For quantities that are known the names and the values of some joints.

    Returns:
        Float32 (3 J,), quantity by quantity (`schema.JOINT_QUANTITIES`), NaN where nothing is
        said.
    """
    sample = np.full((len(JOINT_QUANTITIES), len(joints)), np.nan, np.float32)
    for row, quantity in zip(sample, JOINT_QUANTITIES, strict=True):
        names, values = said.get(quantity, ((), ()))
        by_name = dict(zip(names, values, strict=True))
        row[:] = [by_name.get(name, np.nan) for name in joints]
    return sample.ravel()


def joint_sizes(
    rows: Sequence[Row], joints: Sequence[str], state_names: Sequence[str]
) -> dict[str, Any]:
    """Names and quantities of a new store: those of which the rows have any value.

    Positions of the state's own joints alone are the state, and are not kept twice.

    Args:
        rows: The first rows.
        joints: Names of the joints of their samples.
        state_names: Names of the state's columns.
    """
    there = [s for row in rows if (s := row.samples.get(JOINT)) is not None]
    if not there:
        return {}
    known = np.isfinite(there).any(axis=0).reshape(-1, len(joints))  # (3, J)
    names = tuple(name for name, of in zip(joints, known.T, strict=True) if of.any())
    quantities = tuple(q for q, of in zip(JOINT_QUANTITIES, known, strict=True) if of.any())
    if quantities == JOINT_QUANTITIES[:1] and set(names) <= set(state_names):
        return {}
    return {"joint_names": names, "joint_quantities": quantities}


def joint_columns(rows: Sequence[Row], joints: Sequence[str], spec: StoreSpec) -> dict[str, Any]:
    """Columns float32 (T, J) of the store's joints, by name; NaN where the rows say nothing.

    Args:
        rows: The rows.
        joints: Names of the joints of their samples; those that the store lacks are left out.
        spec: Sizes of the store.
    """
    shape = (len(rows), len(spec.joint_names))
    columns = {f"joint_{q}": np.full(shape, np.nan, np.float32) for q in spec.joint_quantities}
    place = {name: index for index, name in enumerate(joints)}
    ours = [index for index, name in enumerate(spec.joint_names) if name in place]
    theirs = [place[spec.joint_names[index]] for index in ours]
    for t, row in enumerate(rows):
        sample = row.samples.get(JOINT)
        if sample is None:
            continue
        by_quantity = dict(zip(JOINT_QUANTITIES, sample.reshape(-1, len(joints)), strict=True))
        for quantity in spec.joint_quantities:
            columns[f"joint_{quantity}"][t, ours] = by_quantity[quantity][theirs]
    return columns
