"""The arrays of an episode store on disk, and how they are chunked and compressed.

    data/   action, state, stamp_ns, signals, signals_valid, signals_fresh, further_signals,
            embedding, chunk_statistics, plan, plan_step, plan_samples, visual_embedding,
            expert_embedding, joint_position, joint_velocity, joint_effort, lookahead, truth,
            age_ms, probability, risk, alarm, episode_outputs, images_<camera>
                                                                  every one (N, ...), time first
    meta/   episode_ends and one array per field of `EpisodeMeta`     every one (E,)

This is the shape of a diffusion_policy ReplayBuffer, which walks over `data/*` and takes
`value[:episode_ends[-1]]` of each; hence one array per camera beside the others, and no group.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from salus_ros import __version__
from salus_ros.core.failures import FailureType
from salus_ros.episodes.spec import StoreSpec

FORMAT = "salus-episodes"
SCHEMA_VERSION = 4
"""Version of what `EpisodeStore` writes; earlier ones lack arrays of `SINCE`."""

READ_VERSIONS = (2, 3, SCHEMA_VERSION)
EPISODE_ENDS = "meta/episode_ends"
CHUNK_BYTES = 128 * 1024
"""Size of a low-dimensional chunk: an append rewrites at most one, and few are read."""


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
        "further_signals": (len(spec.further_signals),),
        "chunk_statistics": (len(spec.chunk_statistics),),
        "age_ms": (len(spec.streams),),
        "probability": outputs,
        "risk": (),
        "alarm": (),
        "truth": (len(spec.truth_names),),
        "episode_outputs": (len(spec.episode_outputs),),
    }
    if spec.plan_length:
        float_rows["plan_step"] = ()
    for quantity in spec.joint_quantities:
        float_rows[f"joint_{quantity}"] = (len(spec.joint_names),)
    plan = (spec.plan_length, spec.action_dim)
    half_rows: dict[str, tuple[int, ...]] = {
        "embedding": (spec.embedding_dim,),
        "plan": plan,
        "plan_samples": (spec.plan_samples, *plan),
        "visual_embedding": (len(spec.visual_cameras), spec.visual_dim),
        "expert_embedding": (spec.expert_dim,),
        "lookahead": (len(spec.lookahead_names),),
    }
    layouts = {name: _rows(shape, np.float32, np.nan) for name, shape in float_rows.items()}
    layouts |= {name: _rows(shape, np.float16, np.nan) for name, shape in half_rows.items()}
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
    "world": _column(_TEXT, ""),
    "failure_cause": _column(_TEXT, ""),
    "source": _column(_TEXT, ""),
    "interventions": _column(_TEXT, ""),
}
"""Arrays under `meta/` beside `episode_ends`: one per field of `EpisodeMeta`, by its name."""

SINCE: dict[str, int] = {"source": 3, "world": 3, "failure_cause": 3, "interventions": 4}
"""First schema version of the arrays under `meta/` that stores did not have from the start."""


def store_attributes(spec: StoreSpec) -> dict[str, Any]:
    """Attributes of the root group of a new store."""
    return {
        "format": FORMAT,
        "schema_version": SCHEMA_VERSION,
        "salus_version": __version__,
        "failure_type_codes": {kind.label: int(kind) for kind in FailureType},
        **spec.to_attributes(),
    }
