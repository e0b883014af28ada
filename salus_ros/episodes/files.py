"""Opening the zarr group of a store, with every zarr failure turned into a StoreError."""

import errno
import shutil
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.array_spec import ArrayConfigParams
from zarr.storage import ZipStore

from salus_ros.core.errors import SalusError, StoreError
from salus_ros.episodes.layout import (
    EPISODE_ENDS,
    FORMAT,
    META_ARRAYS,
    READ_VERSIONS,
    SINCE,
    ArrayLayout,
    data_arrays,
    register_image_codec,
)
from salus_ros.episodes.location import is_remote, zarr_place
from salus_ros.episodes.spec import StoreSpec

ZarrArray = zarr.Array[Any]

PACKED_SUFFIX = ".zip"
"""A store whose name ends so is one file, in full `.zarr.zip`; any other is a folder."""

# Write every chunk, and refuse a chunk whose file is gone: by default zarr would hand out the
# fill value, and lost frames would look like black ones.
STRICT: ArrayConfigParams = {"write_empty_chunks": True, "read_missing_chunks": False}

# zarr's synchronous pipeline costs half of the asynchronous one's time for small chunks, and on a
# recorder's busy machine threads of its own cost more than they bring.
PIPELINE = {
    "codec_pipeline.path": "zarr.core.codec_pipeline.FusedCodecPipeline",
    "codec_pipeline.max_workers": 1,
}


@contextmanager
def store_errors(path: Path, doing: str) -> Iterator[None]:
    """Turn whatever zarr, its codecs or the file system raise into a StoreError."""
    try:
        yield
    except SalusError:
        raise
    except OSError as error:
        if is_remote(path) and not (isinstance(error, FileNotFoundError) and "/" in str(error)):
            raise StoreError(_unreachable(path, doing, error)) from error  # not a missing chunk
        if error.errno not in (None, errno.ENOENT):
            raise StoreError(
                f"cannot {doing} '{path}': {error.strerror}; check the disc and the rights"
            ) from error
        raise StoreError(_damaged(path, doing, error)) from error
    except Exception as error:  # zarr and its codecs raise a dozen kinds
        if is_remote(path) and type(error).__module__.startswith(("botocore", "aiohttp")):
            raise StoreError(_unreachable(path, doing, error)) from error
        raise StoreError(_damaged(path, doing, error)) from error


@contextmanager
def whole_folder(out: Path) -> Iterator[Path]:
    """A path to fill, which becomes the folder `out` in the end: it is there whole or not at all.

    Raises:
        StoreError: if it cannot be written.
    """
    part = out.with_name(out.name + ".partial")
    with store_errors(out, "write"):
        shutil.rmtree(part, ignore_errors=True)
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            yield part
            part.replace(out)
        finally:
            shutil.rmtree(part, ignore_errors=True)


def _unreachable(path: Path, doing: str, error: Exception) -> str:
    return (
        f"cannot {doing} '{path}': {error}; check the address, the credentials and the connection"
    )


def _damaged(path: Path, doing: str, error: Exception) -> str:
    return (
        f"cannot {doing} '{path}': it is damaged or incomplete ({type(error).__name__}: {error}); "
        "restore it from a copy or record it again"
    )


def is_packed(path: Path) -> bool:
    """Whether a store of this name is one packed file, which can only be read."""
    return path.suffix == PACKED_SUFFIX


def refuse_packed(path: Path) -> None:
    """Refuse to write to a packed store.

    Raises:
        StoreError: if `path` is the name of one.
    """
    if is_packed(path):
        raise StoreError(
            f"'{path}' is the name of a packed store, which can only be read; record into a "
            "folder, and join both with `salus pack`"
        )


def open_group(path: Path, mode: Literal["r", "r+"]) -> tuple[zarr.Group, StoreSpec]:
    """Open the root group of an existing store, a folder or a packed file, and read its sizes.

    Raises:
        StoreError: if there is no store, it is of another kind or version, or is damaged, or a
            packed one shall be written.
    """
    with store_errors(path, "open"):
        packed = is_packed(path)
        there = path.exists()
        whole = packed or (there and (path / "zarr.json").is_file())
    if packed:
        place: Any = _open_packed(path, mode)
    elif whole:
        place = zarr_place(path)
    else:
        found = "is not an episode store" if there else "does not exist"
        raise StoreError(
            f"'{path}' {found}; give the folder that a recording wrote (it holds zarr.json, "
            "data/ and meta/), or a .zarr.zip of `salus pack`"
        )
    with store_errors(path, "open"):
        group = zarr.open_group(place, mode=mode, use_consolidated=False)
        attributes = dict(group.attrs)
    if attributes.get("format") != FORMAT:
        raise StoreError(
            f"'{path}' is a zarr group but not an episode store: its format is "
            f"{attributes.get('format')!r}, allowed is '{FORMAT}'; give a folder that a "
            "recording wrote"
        )
    if attributes.get("schema_version") not in READ_VERSIONS:
        raise StoreError(
            f"'{path}' has schema version {attributes.get('schema_version')!r}, this version of "
            f"SALUS reads {', '.join(map(str, READ_VERSIONS))}; it was written by salus_ros "
            f"{attributes.get('salus_version')!r}: use that version, or record it again"
        )
    with store_errors(path, "read the sizes of"):
        spec = StoreSpec.from_attributes(attributes)
    register_image_codec(spec.image_codec)
    return group, spec


def _open_packed(path: Path, mode: Literal["r", "r+"]) -> ZipStore:
    if mode != "r":
        refuse_packed(path)
    if not path.is_file():
        found = "does not exist" if not path.exists() else "is no file"
        raise StoreError(f"'{path}' {found}; give a .zarr.zip that `salus pack` wrote")
    try:
        with store_errors(path, "open"), zipfile.ZipFile(path) as content:
            whole = "zarr.json" in content.namelist()
    except StoreError as error:
        if not isinstance(error.__cause__, zipfile.BadZipFile):
            raise
        raise StoreError(
            f"'{path}' is no whole zip file: it is corrupt, or was cut short when it was copied; "
            "copy it again"
        ) from error
    if not whole:
        raise StoreError(
            f"'{path}' is a zip file but not an episode store: there is no zarr.json at its top; "
            "give one that `salus pack` wrote"
        )
    return ZipStore(path, mode="r")


def get_array(group: zarr.Group, name: str) -> ZarrArray:
    """Return the array called `name` with missing chunks treated as errors."""
    with zarr.config.set(PIPELINE):
        array = group[name]
        if not isinstance(array, zarr.Array):
            raise StoreError(f"'{name}' should be an array, but is a group")
        strict: ZarrArray = array.with_config(STRICT)
        return strict


def expected_arrays(group: zarr.Group, spec: StoreSpec) -> dict[str, ArrayLayout]:
    """Every array of a store by its path, except `episode_ends`."""
    data = {f"data/{name}": layout for name, layout in data_arrays(spec).items()}
    meta = {f"meta/{name}": META_ARRAYS[name] for name in meta_arrays(group)}
    return data | meta


def meta_arrays(group: zarr.Group) -> list[str]:
    """Names under `meta/` of the arrays that a store of this schema version has."""
    version = int(str(group.attrs["schema_version"]))
    return [name for name in META_ARRAYS if version >= SINCE.get(name, 0)]


def read_table(group: zarr.Group, episodes: int) -> dict[str, NDArray[Any]]:
    """Arrays (E,) of every field of `EpisodeMeta`; what an earlier version lacks is unknown."""
    there = meta_arrays(group)
    return {
        name: np.asarray(get_array(group, f"meta/{name}")[:episodes])
        if name in there
        else np.full(episodes, layout.fill_value, layout.dtype)
        for name, layout in META_ARRAYS.items()
    }


def committed_ends(group: zarr.Group) -> NDArray[np.int64]:
    """Ends of the committed episodes: int64 (E,), strictly increasing.

    A writer enlarges `episode_ends` and then fills in the last value, so one trailing zero is
    an episode on its way; anything else that does not increase is damage.
    """
    array = get_array(group, EPISODE_ENDS)
    if array.dtype != np.int64 or array.ndim != 1:
        raise StoreError(f"'{EPISODE_ENDS}' is {array.dtype} {array.shape}, expected int64 (E,)")
    ends = np.asarray(array[:])
    if ends.size and ends[-1] == 0:
        ends = ends[:-1]
    if (np.diff(ends, prepend=0) <= 0).any():
        raise StoreError(f"{EPISODE_ENDS} does not increase: {ends.tolist()[:20]}")
    return ends


def check_arrays(group: zarr.Group, spec: StoreSpec, steps: int, episodes: int) -> None:
    """Check that every array is there, of its form, and holds what was committed.

    Raises:
        StoreError: naming the first array that does not.
    """
    for name, layout in expected_arrays(group, spec).items():
        array = get_array(group, name)
        rows = steps if name.startswith("data/") else episodes
        if array.shape[1:] != layout.row_shape or array.dtype != layout.dtype:
            raise StoreError(
                f"'{name}' has rows of {array.dtype} {array.shape[1:]}, expected "
                f"{layout.dtype} {layout.row_shape}"
            )
        if array.shape[0] < rows:
            raise StoreError(f"'{name}' has {array.shape[0]} rows, {rows} were committed")
