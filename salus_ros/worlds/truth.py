"""What only a world knows of a step, as one row of a store."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

type Quantities = Mapping[str, tuple[str, ...]]
"""What the truth of a world is made of, and what the values of each are called where there are
several."""


def columns(quantities: Quantities) -> tuple[str, ...]:
    """Names of the values in one row."""
    return tuple(
        f"{name}.{part}" if part else name
        for name, parts in quantities.items()
        for part in parts or ("",)
    )


def truth_row(truth: Mapping[str, Any], quantities: Quantities) -> npt.NDArray[np.float32]:
    """The truth of a step as float32, by `columns`."""
    return np.concatenate([np.atleast_1d(truth[name]) for name in quantities]).astype(np.float32)
