"""Where a model runs."""

import torch

from salus_ros.core.errors import ConfigError


def check_device(device: str) -> torch.device:
    """Return the torch device called `device`.

    Raises:
        ConfigError: if torch does not know it or this machine does not have it.
    """
    try:
        found = torch.device(device)
    except RuntimeError as error:
        raise ConfigError(f"unknown device {device!r}; use 'cpu', 'cuda' or 'cuda:0'") from error
    if found.type not in ("cpu", "cuda"):
        raise ConfigError(f"device {device!r} is not supported; use 'cpu', 'cuda' or 'cuda:0'")
    if found.type == "cuda" and (found.index or 0) >= torch.cuda.device_count():
        raise ConfigError(
            f"device {device!r} is not there: torch sees {torch.cuda.device_count()} CUDA "
            "devices; use 'cpu', or check the driver with `salus doctor`"
        )
    return found
