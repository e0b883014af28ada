"""Whether PhysX is here."""

import pytest

from salus_ros.core.errors import SimulatorError
from salus_ros.worlds.physx.application import physx_python


def _is_here() -> bool:
    try:
        return physx_python().is_file()
    except SimulatorError:
        return False


needs_physx = pytest.mark.skipif(
    not _is_here(), reason="PhysX is not set up: ACCEPT_NVIDIA_LICENSE=yes make physx"
)
