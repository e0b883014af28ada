"""The episode stores that come with the package, so that training works before any recording."""

from pathlib import Path

from salus_ros.core.errors import StoreError

FOLDER = Path(__file__).parents[1] / "assets" / "episodes"
PREFIX = "shipped:"
STORES: tuple[str, ...] = ("standard", "shifted", "pictures")
"""Episodes to learn from; others under conditions those never saw; a few with images."""


def shipped(name: str) -> Path:
    """Path of the shipped store called `name`, one of `STORES`.

    Raises:
        StoreError: if there is no such store.
    """
    if name not in STORES:
        raise StoreError(f"no episodes called '{name}' are shipped; there are {', '.join(STORES)}")
    return FOLDER / f"{name}.zarr.zip"
