"""Matching the columns of two arrays by their names, so that a column keeps its meaning."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from salus_ros.core.errors import StoreError


def columns(
    ours: Sequence[str], theirs: Sequence[str], what: str = "columns"
) -> NDArray[np.intp] | slice:
    """Where each of our columns lies among theirs.

    Indexed with it along the last axis, an array of their order has ours.
    Names that are unknown (empty) go with any: nothing is moved then.

    Args:
        ours: Names in the order that is wanted.
        theirs: Names in the order that is given.
        what: What the columns are, for the error.

    Returns:
        Indices (len(ours),), or the slice of everything where nothing has to move.

    Raises:
        StoreError: if they are not the same names, naming both lists.
    """
    if not ours or not theirs or tuple(ours) == tuple(theirs):
        return slice(None)
    if sorted(ours) != sorted(theirs):
        raise StoreError(
            f"{what}: the names {list(theirs)} are not those of the store, {list(ours)}; give the "
            "same ones in any order, or use another store"
        )
    place = {name: index for index, name in enumerate(theirs)}
    return np.array([place[name] for name in ours], dtype=np.intp)
