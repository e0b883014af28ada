"""What makes two recorded episodes the same one."""

import hashlib
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

CONTENT: tuple[str, ...] = ("state", "action", "signals", "signals_valid")
"""Arrays that an episode is known by: what the policy saw, did and signalled."""


def content_key(arrays: Mapping[str, NDArray[np.generic]]) -> str:
    """Hash of an episode's content: SHA-256 over name, shape and bytes, the first 16 digits.

    It survives a copy of the store and a new label, and an episode that is run again (same
    world, same seed) has the same key.

    Args:
        arrays: Those of `CONTENT`, (T, ...) each.
    """
    digest = hashlib.sha256()
    for name in sorted(CONTENT):
        digest.update(name.encode() + repr(arrays[name].shape).encode())
        digest.update(np.ascontiguousarray(arrays[name]).tobytes())
    return digest.hexdigest()[:16]
