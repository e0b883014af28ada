"""What an episode store holds on disk: its sizes, its arrays, and how they are chunked.

    data/   action, state, stamp_ns, signals, signals_valid, signals_fresh, embedding,
            chunk_statistics, age_ms, probability, risk, alarm, images_<camera>
                                                                  every one (N, ...), time first
    meta/   episode_ends and one array per field of `EpisodeMeta`     every one (E,)

This is the shape of a diffusion_policy ReplayBuffer, which walks over `data/*` and takes
`value[:episode_ends[-1]]` of each; hence one array per camera beside the others, and no group.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from salus_ros import __version__
from salus_ros.core import schema
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FAILURE_TYPES, FailureType

FORMAT = "salus-episodes"
SCHEMA_VERSION = 2
EPISODE_ENDS = "meta/episode_ends"
CHUNK_BYTES = 128 * 1024
"""Size of a low-dimensional chunk: an append rewrites at most one, and few are read."""

IMAGE_CODECS = ("lossless", "jpeg")
"""How images are compressed: as they are, by Zstandard, which every zarr reads; or visually
lossless, by JPEG (quality 95, 4:4:4), for which a plain zarr needs imagecodecs."""

_OWN = ("shard_steps", "image_codec")

DEFAULT_STREAMS = (*schema.CAMERAS, "state", "action", "signals", "prediction")


@dataclass(frozen=True, slots=True)
class StoreSpec:
    """Sizes and names that every episode of a store shares; they live in its attributes.

    Attributes:
        cameras: Camera names; empty for a store without images.
        image_size: Height and width in pixels.
        state_dim: S.
        action_dim: A.
        embedding_dim: D; 0 for a store without embeddings.
        signals: Names of the signals, in column order.
        chunk_statistics: Names of the C statistics of action chunks; empty for a store without.
        streams: Names of the M columns of `age_ms`; empty for none.
        horizons_s: The H horizons of the live predictions in s.
        failure_types: The K failure types of the live predictions, in output order.
        shard_steps: Frames per image file; the length of a typical episode.
        image_codec: One of `IMAGE_CODECS`.
    """

    cameras: tuple[str, ...] = schema.CAMERAS
    image_size: tuple[int, int] = (schema.IMAGE_SIZE, schema.IMAGE_SIZE)
    state_dim: int = schema.STATE_DIM
    action_dim: int = schema.ACTION_DIM
    embedding_dim: int = 0
    signals: tuple[str, ...] = schema.SIGNAL_NAMES
    chunk_statistics: tuple[str, ...] = ()
    streams: tuple[str, ...] = DEFAULT_STREAMS
    horizons_s: tuple[float, ...] = schema.HORIZONS_S
    failure_types: tuple[FailureType, ...] = FAILURE_TYPES
    shard_steps: int = schema.MAX_EPISODE_STEPS
    image_codec: str = "lossless"

    def __post_init__(self) -> None:
        if self.image_codec not in IMAGE_CODECS:
            raise StoreError(
                f"image codec '{self.image_codec}' is not known; allowed are "
                f"{', '.join(IMAGE_CODECS)}"
            )

    def to_attributes(self) -> dict[str, Any]:
        """Return the sizes as plain JSON values."""
        values = asdict(self)
        values["failure_types"] = [kind.label for kind in self.failure_types]
        return {name: list(v) if isinstance(v, tuple) else v for name, v in values.items()}

    @classmethod
    def from_attributes(cls, attributes: Mapping[str, Any]) -> Self:
        """Read the sizes back.

        Raises:
            KeyError, TypeError, ValueError: if one is missing or not of its type.
        """
        height, width = attributes["image_size"]
        return cls(
            cameras=tuple(attributes["cameras"]),
            image_size=(int(height), int(width)),
            state_dim=int(attributes["state_dim"]),
            action_dim=int(attributes["action_dim"]),
            embedding_dim=int(attributes["embedding_dim"]),
            signals=tuple(attributes["signals"]),
            chunk_statistics=tuple(attributes.get("chunk_statistics", ())),
            streams=tuple(attributes["streams"]),
            horizons_s=tuple(float(h) for h in attributes["horizons_s"]),
            failure_types=tuple(FailureType.from_label(k) for k in attributes["failure_types"]),
            shard_steps=int(attributes["shard_steps"]),
            image_codec=str(attributes.get("image_codec", "lossless")),
        )

    def differences(self, other: "StoreSpec") -> list[tuple[str, Any, Any]]:
        """Sizes that differ: name, ours and the other's."""
        mine, theirs = self.to_attributes(), other.to_attributes()
        # How many frames share a file, and how they are compressed, is the store's own affair.
        names = [name for name in mine if name not in _OWN and mine[name] != theirs[name]]
        return [(name, mine[name], theirs[name]) for name in names]

    def check_same(self, other: "StoreSpec", path: object) -> None:
        """Refuse sizes that differ from those of the store at `path`.

        Raises:
            StoreError: naming every difference.
        """
        different = self.differences(other)
        if different:
            listed = "; ".join(f"{name}: store {a}, given {b}" for name, a, b in different)
            raise StoreError(
                f"'{path}' holds episodes of another form ({listed}); record into a new folder"
            )


@dataclass(frozen=True, slots=True)
class ArrayLayout:
    """One array of the store: the shape of a row, its type, and what a missing row reads as."""

    row_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fill_value: Any
    chunk_rows: int
    shard_rows: int | None = None
    codec: str = "lossless"

    def create_arguments(self) -> dict[str, Any]:
        """Return the keyword arguments of `zarr.Group.create_array` for zero rows."""
        shards = None if self.shard_rows is None else (self.shard_rows, *self.row_shape)
        arguments: dict[str, Any] = {
            "shape": (0, *self.row_shape),
            "dtype": str if self.dtype.kind == "T" else self.dtype,
            "chunks": (self.chunk_rows, *self.row_shape),
            "shards": shards,
            "fill_value": self.fill_value,
        }
        if self.dtype.kind == "T":
            arguments["compressors"] = ZstdCodec(level=0, checksum=True)
        elif self.codec == "jpeg":
            arguments["serializer"] = _jpeg_codec()
            arguments["compressors"] = Crc32cCodec()
        else:
            # Bytes have nothing to shuffle; bit-shuffled frames came out twice as large. Level 3
            # makes frames a seventh smaller and takes more than twice the time of level 1.
            blosc = BloscCodec(
                cname="zstd",
                clevel=3 if self.dtype.itemsize > 1 else 1,
                shuffle="shuffle" if self.dtype.itemsize > 1 else "noshuffle",
            )
            arguments["compressors"] = (blosc, Crc32cCodec())  # Blosc itself checks no content
        return arguments


def _jpeg_codec() -> Any:
    """JPEG of quality 95 without chroma subsampling, known to zarr from now on."""
    from imagecodecs.zarr import Jpeg

    register_image_codec("jpeg")
    return Jpeg(level=95, subsampling="444")


def register_image_codec(name: str) -> None:
    """Make the codec of a store's images known to zarr, before its arrays are opened."""
    if name == "jpeg":
        from imagecodecs.zarr import register_codecs

        register_codecs((name,))


def data_arrays(spec: StoreSpec) -> dict[str, ArrayLayout]:
    """Arrays under `data/`; one whose row would be empty is absent."""
    outputs = (len(spec.horizons_s), len(spec.failure_types))
    float_rows: dict[str, tuple[int, ...]] = {
        "action": (spec.action_dim,),
        "state": (spec.state_dim,),
        "signals": (len(spec.signals),),
        "chunk_statistics": (len(spec.chunk_statistics),),
        "age_ms": (len(spec.streams),),
        "probability": outputs,
        "risk": (),
        "alarm": (),
    }
    layouts = {name: _rows(shape, np.float32, np.nan) for name, shape in float_rows.items()}
    layouts["embedding"] = _rows((spec.embedding_dim,), np.float16, np.nan)
    layouts["signals_valid"] = _rows((len(spec.signals),), np.bool_, False)
    layouts["signals_fresh"] = _rows((), np.bool_, False)
    layouts["stamp_ns"] = _rows((), np.int64, 0)
    for camera in spec.cameras:
        layouts[image_array(camera)] = ArrayLayout(
            (*spec.image_size, 3), np.dtype(np.uint8), 0, 1, spec.shard_steps, spec.image_codec
        )
    return {name: layout for name, layout in layouts.items() if 0 not in layout.row_shape}


def image_array(camera: str) -> str:
    """Name of the array of a camera under `data/`."""
    return f"images_{camera}"


def _rows(shape: tuple[int, ...], dtype: Any, fill_value: Any) -> ArrayLayout:
    dtype = np.dtype(dtype)
    row_bytes = max(1, int(np.prod(shape)) * dtype.itemsize)
    return ArrayLayout(shape, dtype, fill_value, max(64, CHUNK_BYTES // row_bytes))


def _column(dtype: Any, fill_value: Any) -> ArrayLayout:
    return ArrayLayout((), np.dtype(dtype), fill_value, 1024)


_TEXT = np.dtypes.StringDType()

META_ARRAYS: dict[str, ArrayLayout] = {
    "id": _column(_TEXT, ""),
    "task": _column(_TEXT, ""),
    "outcome": _column(np.uint8, 0),
    "failure_type": _column(np.uint8, 0),
    "failure_step": _column(np.int32, -1),
    "seed": _column(np.int64, -1),
    "fault": _column(_TEXT, ""),
    "policy_id": _column(_TEXT, ""),
    "model_id": _column(_TEXT, ""),
    "rate_hz": _column(np.float64, np.nan),
    "wall_time_s": _column(np.float64, np.nan),
    "condition": _column(_TEXT, ""),
    "fault_step": _column(np.int32, -1),
    "fault_strength": _column(np.float32, np.nan),
}
"""Arrays under `meta/` beside `episode_ends`: one per field of `EpisodeMeta`, by its name."""


def store_attributes(spec: StoreSpec) -> dict[str, Any]:
    """Attributes of the root group of a new store."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "salus_version": __version__,
        "failure_type_codes": {kind.label: int(kind) for kind in FailureType},
        **spec.to_attributes(),
    }
