"""Joining stores into one packed file, compressed for size.

A packed store is a zip of a zarr group with the arrays of any other store, so that plain zarr
reads it, but with codecs and chunks that make it small and that nobody could append to:

- Embeddings and signals are held from one replan to the next, so whole rows repeat; they are
  byte-shuffled as they are.
- Actions, states and joints change at every step, each value by itself; they are transposed first.
- Their last bits are noise, which nothing compresses: those of `spec.ROUNDED` can be rounded to
  some bits of the mantissa (BitRound; Kloewer et al., 2021), which the store then says.
- Most pixels of a frame are those of the frame before, so many frames share a chunk, within
  the window of zstd. Frames that a store keeps as JPEG are packed as they are read, without any
  further loss; those of a real camera take more room so than as JPEG.
"""

import zipfile
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import BitRound
from numpy.typing import NDArray
from zarr.codecs import BloscCodec, TransposeCodec, ZstdCodec
from zarr.storage import ZipStore

from salus_ros.core.errors import StoreError
from salus_ros.core.schema import JOINT_QUANTITIES
from salus_ros.episodes.buffer import RowBuffer
from salus_ros.episodes.columns import columns
from salus_ros.episodes.files import PACKED_SUFFIX, STRICT, ZarrArray, is_packed, store_errors
from salus_ros.episodes.identity import CONTENT, content_key
from salus_ros.episodes.layout import (
    EPISODE_ENDS,
    META_ARRAYS,
    ArrayLayout,
    data_arrays,
    image_array,
    store_attributes,
)
from salus_ros.episodes.reader import StoreReader
from salus_ros.episodes.spec import NAMED, ROUNDED, StoreSpec

CHUNK_STEPS = 4096
"""Rows of a low-dimensional chunk; smaller ones cost bytes, larger ones time to read a row."""

CHUNK_FRAMES = 64
"""Frames of an image chunk: with 16 an episode takes a fifth more, with 128 2 % less."""

_JOINTS = tuple(f"joint_{quantity}" for quantity in JOINT_QUANTITIES)

TRANSPOSED = ("action", "state", "lookahead", "truth", *_JOINTS)
"""Arrays of which each column is compressed by itself: 6 to 30 % smaller, others 30 % larger."""

_ROUNDED = (*ROUNDED, *_JOINTS)

FRAME_LEVEL = 19
"""Highest level of zstd with an ordinary window; 15 % smaller than level 15."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Episodes to pack, in order.

    Attributes:
        spec: Sizes that all of them share.
        episodes: Where each lies: its store and its index there.
        repeated: How many were left out because they are there already.
    """

    spec: StoreSpec
    episodes: tuple[tuple[StoreReader, int], ...]
    repeated: int

    def __len__(self) -> int:
        """Number of episodes."""
        return len(self.episodes)


@dataclass(frozen=True, slots=True)
class Packed:
    """What was packed.

    Attributes:
        path: The file.
        episodes: Number of episodes.
        steps: Number of steps in all.
        size_bytes: Size of the file.
        array_bytes: Compressed bytes by the path of the array.
    """

    path: Path
    episodes: int
    steps: int
    size_bytes: int
    array_bytes: dict[str, int]


def select_episodes(
    stores: Sequence[str | Path],
    *,
    images: bool = True,
    without: Sequence[str] = (),
    keep_bits: int = 0,
    limit: int | None = None,
) -> Selection:
    """Choose the episodes of some stores, each once.

    Columns with names are brought into the order of the first store that knows them.

    Two episodes are the same if their `content_key` is; the first one counts, or the first that
    is labelled.

    Args:
        stores: Folders or packed files, in the order in which they are joined.
        images: Whether to keep the images.
        without: Columns to leave out, of `spec.OPTIONAL_COLUMNS`.
        keep_bits: Bits of the mantissa to keep of `spec.ROUNDED`, a relative error of up to
            2^-(bits + 1); 0: all. Half precision has 10, single 23.
        limit: Number of episodes to stop after; all by default.

    Raises:
        StoreError: if no store is given, one cannot be read, they hold episodes of different
            forms, or there is no episode at all.
    """
    if not stores:
        raise StoreError("no episode store was given; give one or more")
    readers = [StoreReader(path) for path in stores]
    spec = _packed_spec(readers[0].spec.without(without), images)
    seen: dict[str, int] = {}  # place in `chosen`
    chosen: list[tuple[StoreReader, int]] = []
    repeated = 0
    for reader in readers:
        other = _packed_spec(reader.spec.without(without), images)
        different = spec.differences(other)
        if different:
            listed = "; ".join(f"{name}: {here}, there {there}" for name, here, there in different)
            raise StoreError(
                f"'{readers[0].path}' and '{reader.path}' hold episodes of different forms "
                f"({listed}); pack them into separate files"
                ", or leave out what differs (--no-images, --without)"
            )
        spec = spec.with_names_of(other)
        content = _in_order(reader.to_numpy(CONTENT), spec, reader.spec)
        for index in range(len(reader)):
            if len(chosen) == limit:
                break
            rows = reader.rows(index)
            key = content_key({name: values[rows] for name, values in content.items()})
            if key in seen:
                repeated += 1
                first, place = chosen[seen[key]]
                if reader.meta(index).labelled and not first.meta(place).labelled:
                    chosen[seen[key]] = reader, index
                continue
            seen[key] = len(chosen)
            chosen.append((reader, index))
    if not chosen:
        raise StoreError(
            f"there is no episode to pack in {[str(reader.path) for reader in readers]}; "
            "record some first"
        )
    rounded = [
        bits for bits in (keep_bits, *(reader.spec.kept_bits for reader in readers)) if bits
    ]
    spec = replace(spec, kept_bits=min(rounded, default=0))
    return Selection(spec, tuple(chosen), repeated)


def pack(
    selection: Selection,
    out: str | Path,
    *,
    force: bool = False,
    on_episode: Callable[[int], None] | None = None,
) -> Packed:
    """Write a packed store; the file is there as a whole or not at all.

    Args:
        selection: Episodes to write.
        out: The file, `.zarr.zip`.
        force: Whether to replace a file that is there.
        on_episode: Called after each episode with the number of those done.

    Raises:
        StoreError: if the name is not one of a packed store, the file exists already, or an
            episode cannot be read or the file not be written.
    """
    out = Path(out)
    check_target(out, force=force)
    part = out.with_name(out.name + ".partial")
    with store_errors(out, "write"):
        out.parent.mkdir(parents=True, exist_ok=True)
        try:
            steps = _write(selection, part, on_episode)
            part.replace(out)
        finally:
            part.unlink(missing_ok=True)
    return Packed(out, len(selection), steps, out.stat().st_size, _array_bytes(out))


def check_target(out: Path, *, force: bool = False) -> None:
    """Refuse a place that `pack` cannot write to.

    Raises:
        StoreError: if the name is not one of a packed store, or the file exists already.
    """
    if not is_packed(out):
        raise StoreError(
            f"'{out}' is no name for a packed store: it must end in '{PACKED_SUFFIX}', as in "
            f"'{out.with_suffix('.zarr' + PACKED_SUFFIX)}'"
        )
    if out.is_dir() or (out.exists() and not force):
        raise StoreError(f"'{out}' exists already; give another name, or --force to replace it")


def _write(selection: Selection, part: Path, on_episode: Callable[[int], None] | None) -> int:
    lengths = []
    for reader, index in selection.episodes:
        rows = reader.rows(index)
        lengths.append(rows.stop - rows.start)
    ends = np.cumsum(lengths, dtype=np.int64)
    with ZipStore(part, mode="w") as place:
        group = zarr.create_group(place, attributes=store_attributes(selection.spec))
        arrays = {
            name: RowBuffer(_create(group, f"data/{name}", layout, int(ends[-1])), 0)
            for name, layout in data_arrays(selection.spec).items()
        }
        images = {image_array(camera): camera for camera in selection.spec.cameras}
        low_dimensional = [name for name in arrays if name not in images]
        for done, (reader, index) in enumerate(selection.episodes, start=1):
            read = reader.to_numpy(low_dimensional, reader.rows(index))
            for name, values in _in_order(read, selection.spec, reader.spec).items():
                arrays[name].add(_rounded(values, selection.spec, name))
            for name, camera in images.items():
                arrays[name].add(reader.frames(camera, index))
            if on_episode is not None:
                on_episode(done)
        for array in arrays.values():
            array.flush()
        metas = [reader.meta(index) for reader, index in selection.episodes]
        for name, layout in META_ARRAYS.items():
            values = np.array([getattr(meta, name) for meta in metas], dtype=layout.dtype)
            _create(group, f"meta/{name}", layout, len(metas))[:] = values
        end_layout = ArrayLayout((), np.dtype(np.int64), 0, 1)
        _create(group, EPISODE_ENDS, end_layout, len(metas))[:] = ends
    return int(ends[-1])


def _rounded(values: NDArray[Any], spec: StoreSpec, name: str) -> NDArray[Any]:
    """The values with the bits of the mantissa that the store keeps, if it is one it rounds."""
    if not spec.kept_bits or name not in _ROUNDED:
        return values
    if spec.kept_bits >= np.finfo(values.dtype).nmant:
        return values
    rounded = BitRound(keepbits=spec.kept_bits).encode(values).view(values.dtype)
    # The largest numbers would become infinite, and what is missing a number.
    return np.where(np.isfinite(values) & np.isfinite(rounded), rounded, values)


def _create(group: zarr.Group, path: str, layout: ArrayLayout, rows: int) -> ZarrArray:
    """Make an array of all its rows, with the chunks and codecs of a packed store."""
    folder, name = path.split("/")
    arguments = layout.create_arguments() | {"shards": None}
    chunk = CHUNK_STEPS if folder == "data" else rows
    if layout.dtype == np.uint8 and layout.row_shape:
        chunk = CHUNK_FRAMES
        arguments["compressors"] = ZstdCodec(level=FRAME_LEVEL, checksum=True)
    elif layout.dtype.kind != "T":
        arguments["compressors"] = BloscCodec(
            cname="zstd",
            clevel=9,
            shuffle="shuffle" if layout.dtype.itemsize > 1 else "noshuffle",
        )
    if name in TRANSPOSED:
        arguments["filters"] = TransposeCodec(order=(1, 0))
    arguments["shape"] = (rows, *layout.row_shape)
    arguments["chunks"] = (min(chunk, rows), *layout.row_shape)
    array: ZarrArray = group.create_array(path, config=STRICT, **arguments)
    return array


def _in_order(
    arrays: dict[str, NDArray[Any]], spec: StoreSpec, given: StoreSpec
) -> dict[str, NDArray[Any]]:
    """The arrays of a store with their columns in the order of the packed one, by name."""
    moved = {
        what: arrays[what][:, columns(spec.names(what), given.names(what), what)]
        for what in NAMED
        if what in arrays
    }
    return arrays | moved


def _packed_spec(spec: StoreSpec, images: bool) -> StoreSpec:
    # As they were read: another JPEG of a JPEG would lose a little more.
    spec = replace(spec, image_codec="lossless")
    if images and spec.cameras:
        return spec
    return replace(spec, cameras=(), image_size=(0, 0))


def _array_bytes(path: Path) -> dict[str, int]:
    sizes: defaultdict[str, int] = defaultdict(int)
    with zipfile.ZipFile(path) as content:
        for entry in content.infolist():
            folder, _, rest = entry.filename.partition("/")
            if "/" in rest:
                sizes[f"{folder}/{rest.partition('/')[0]}"] += entry.compress_size
    return dict(sizes)
