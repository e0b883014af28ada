"""Where a store lies: a folder, a packed file, a shipped one, or an object store."""

import logging
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from zarr.storage import FsspecStore

from salus_ros.core.errors import StoreError
from salus_ros.episodes.shipped import PREFIX, shipped

ROOT = "zarr.json"
"""What a folder or a key prefix is known by as a zarr group; each array below has one too."""

# One slash is enough: whoever made a pathlib.Path of a URL has lost the second one.
_REMOTE = re.compile(r"(s3|s3a|gs|gcs|az|abfs|memory):/+(.+)")


def resolve(path: str | Path) -> Path:
    """A store's path as users give it: a folder, a file, `shipped:NAME`, or a URL as `s3://...`.

    A URL becomes a path of universal_pathlib, which has the methods of pathlib's. Address and
    credentials are those of fsspec's back end (for s3: AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...).

    Raises:
        StoreError: if no store of that name is shipped, or the back end is not installed.
    """
    if is_remote(path):
        return cast(Path, path)
    text = str(path)
    if text.startswith(PREFIX):
        return shipped(text.removeprefix(PREFIX))
    found = _REMOTE.fullmatch(text)
    return Path(path) if found is None else _remote(f"{found[1]}://{found[2].rstrip('/')}")


def _remote(url: str) -> Path:
    from upath import UPath

    logging.getLogger("asyncio").addFilter(_not_unclosed)
    # What another process has written is to be seen at once.
    try:
        place = UPath(url, use_listings_cache=False)
        _ = place.fs  # loads the back end
    except (ImportError, ValueError) as error:
        kind = url.partition(":")[0]
        package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs"}.get(kind, "adlfs")
        raise StoreError(
            f"'{url}' needs a package that is not installed: pip install {package} ({error})"
        ) from error
    return cast(Path, place)


def _not_unclosed(record: logging.LogRecord) -> bool:
    """Keep back what asyncio says of connections that fsspec's back ends leave to the exit."""
    return not record.getMessage().startswith("Unclosed c")


def is_remote(path: str | Path) -> bool:
    """Whether a path is one that `resolve` made of a URL."""
    return not isinstance(path, str | Path)


def holds_something(path: Path) -> bool:
    """Whether there is a file, or a folder that is not empty.

    An object store has no folders. What a killed `put_whole` left of a new store there, the
    description of some arrays, counts as nothing.
    """
    if is_remote(path):
        fs: Any = path.fs  # type: ignore[attr-defined]
        if fs.exists(f"{path}/{ROOT}"):
            return True
        return any(not key.endswith(f"/{ROOT}") for key in fs.find(str(path)))
    return path.exists() and (not path.is_dir() or any(path.iterdir()))


def zarr_place(path: Path) -> Any:
    """What zarr opens for a folder or an object store."""
    return FsspecStore.from_url(str(path)) if is_remote(path) else path


def put_whole(path: Path, content: Mapping[str, bytes]) -> None:
    """Put the objects of a new group, by their keys below it: nobody sees it before all are there.

    An object store cannot rename a prefix, so the object that the group is known by comes last.
    """
    fs: Any = path.fs  # type: ignore[attr-defined]
    fs.pipe({f"{path}/{key}": value for key, value in content.items() if key != ROOT})
    fs.pipe({f"{path}/{ROOT}": content[ROOT]})
