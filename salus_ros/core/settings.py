"""Settings as plain JSON values, and back."""

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

from salus_ros.core.errors import ConfigError


def to_plain(settings: Any) -> dict[str, Any]:
    """The settings, a dataclass, as plain JSON values."""
    values = asdict(settings)
    return {n: list(v) if isinstance(v, tuple) else v for n, v in values.items()}


def from_plain(kind: type[Any], values: Mapping[str, Any], unknown_are: str) -> dict[str, Any]:
    """What `kind` is made with again.

    Args:
        kind: Class of the settings.
        values: As `to_plain` gave them.
        unknown_are: What names that it does not have are called.

    Raises:
        ConfigError: if a name is unknown.
    """
    unknown = set(values) - {one.name for one in fields(kind)}
    if unknown:
        raise ConfigError(f"{unknown_are} {sorted(unknown)}")
    return {n: tuple(v) if isinstance(v, list) else v for n, v in values.items()}
