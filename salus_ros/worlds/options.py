"""What a world is asked for at a reset."""

from collections.abc import Sequence

from salus_ros.core.errors import ConfigError


def known(given: str | None, allowed: Sequence[str], what: str) -> str:
    """What was given, empty for nothing.

    Raises:
        ConfigError: if it is none of what is allowed.
    """
    if given and given not in allowed:
        raise ConfigError(f"unknown {what} {given!r}; known: {', '.join(map(repr, allowed))}")
    return given or ""
