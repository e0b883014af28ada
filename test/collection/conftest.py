"""What the collection tests compare with."""

import pytest
from recordings import CONFIG, SEEDS, run

from salus_ros.episodes import Episode


@pytest.fixture(scope="session")
def reference() -> dict[int, Episode]:
    """The episodes of `SEEDS` under `CONFIG`."""
    return run(CONFIG, SEEDS)
