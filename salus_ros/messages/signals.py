"""Messages of the graph as arrays, for every library that reads them."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from salus_ros.core import schema


def signals_array(message: Any) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Read the twelve signals.

    Args:
        message: A salus_msgs/VlaSignals, of whichever library.

    Returns:
        Signals float32 (12,), NaN where not valid, and validity bool (12,). A value that is
        not finite is not valid, whatever the message says.
    """
    signals = np.array([getattr(message, n) for n in schema.SIGNAL_NAMES], dtype=np.float32)
    valid = np.asarray(message.valid, dtype=np.bool_) & np.isfinite(signals)
    signals[~valid] = np.nan
    return signals, valid
