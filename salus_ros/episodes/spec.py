"""The sizes and names that every episode of a store shares."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Self

from salus_ros.core import schema
from salus_ros.core.errors import StoreError
from salus_ros.core.failures import FAILURE_TYPES, FailureType
from salus_ros.episodes.columns import columns

IMAGE_CODECS = ("lossless", "jpeg")
"""How images are compressed: as they are, by Zstandard, which every zarr reads; or visually
lossless, by JPEG (quality 95, 4:4:4), for which a plain zarr needs imagecodecs."""

SHARD_BYTES = 40 * 2**20
"""Most bytes of a file of images before they are compressed, which a writer holds in memory."""

SHARD_STEPS = 200
"""Most frames of a file of images, however small they are."""

NAMED = ("state", "action")
"""Arrays whose columns have names: of joints, say, or of the parts of a command."""

OPTIONAL_COLUMNS: dict[str, tuple[str, ...]] = {
    "embedding": ("embedding_dim",),
    "chunk_statistics": ("chunk_statistics",),
    "plan": ("plan_length", "plan_samples"),
    "plan_samples": ("plan_samples",),
    "visual_embedding": ("visual_cameras", "visual_dim"),
    "expert_embedding": ("expert_dim",),
    "joints": ("joint_names", "joint_quantities"),
    "lookahead": ("lookahead_names", "lookahead_cell"),
    "truth": ("truth_names",),
    "episode_outputs": ("episode_outputs",),
    "further_signals": ("further_signals",),
}
"""Columns that a store may be without, and the sizes that then have their defaults."""

_EXACT = ("episode_outputs", "further_signals")
ROUNDED = tuple(name for name in OPTIONAL_COLUMNS if name not in _EXACT)
"""Columns that packing may round: neither what an episode is known by nor what was predicted."""

_COUNTS = ("plan_length", "plan_samples", "visual_dim", "expert_dim")
_LISTS = (
    "visual_cameras",
    "joint_names",
    "joint_quantities",
    "lookahead_names",
    "truth_names",
    "episode_outputs",
    "further_signals",
)

_OWN = ("shard_steps", "image_codec", "kept_bits", "state_names", "action_names")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSpec:
    """Sizes and names that every episode of a store shares; they live in its attributes.

    Attributes:
        cameras: Camera names; empty for a store without images.
        image_size: Height and width in pixels; of no meaning without cameras.
        state_dim: S.
        action_dim: A.
        state_names: Names of the S columns of the state, in order; empty where unknown.
        action_names: Names of the A columns of the action, in order; empty where unknown.
        embedding_dim: D; 0 for a store without embeddings.
        plan_length: T, actions of the policy's plan; 0 for a store without plans.
        plan_samples: K, sampled plans kept beside the one that is executed; 0 for none.
        visual_cameras: The policy's names of the cameras of the visual embedding, in order.
        visual_dim: Values of the visual embedding for each of them; 0 for a store without.
        expert_dim: E, values of the expert embedding; 0 for a store without.
        joint_names: Names of the J joints of `joint_position` and its like; empty without them.
        joint_quantities: Which of `schema.JOINT_QUANTITIES` are kept of them.
        lookahead_names: Names of the values that looking ahead along the plan gives, see
            `Episode.lookahead`; empty for a store without.
        lookahead_cell: The cell whose model was used for it; empty for a store without.
        truth_names: Names of the values that only a world can know, see `Episode.truth`; empty
            for a store without.
        episode_outputs: Those of `schema.EPISODE_OUTPUTS` that are kept of the live predictions,
            from the first on: all, but for older stores and those that were packed without.
        signals: Names of the signals, in column order.
        further_signals: Names of the F signals beyond them; empty for a store without.
        chunk_statistics: Names of the C statistics of action chunks; empty for a store without.
        streams: Names of the M columns of `age_ms`; empty for none.
        horizons_s: The H horizons of the live predictions in s.
        failure_types: The K failure types of the live predictions, in output order; what its
            episodes count as where nobody asks for others, see `failures.counted_as`.
        shard_steps: Frames per image file; 0, for a new store, chooses it by the size of an image.
        image_codec: One of `IMAGE_CODECS`.
        kept_bits: Bits that `salus pack` has kept of the mantissa of the columns of `ROUNDED`; 0
            where they are as they were recorded.
    """

    cameras: tuple[str, ...] = ()
    image_size: tuple[int, int] = (0, 0)
    state_dim: int
    action_dim: int
    state_names: tuple[str, ...] = ()
    action_names: tuple[str, ...] = ()
    embedding_dim: int = 0
    plan_length: int = 0
    plan_samples: int = 0
    visual_cameras: tuple[str, ...] = ()
    visual_dim: int = 0
    expert_dim: int = 0
    joint_names: tuple[str, ...] = ()
    joint_quantities: tuple[str, ...] = ()
    lookahead_names: tuple[str, ...] = ()
    lookahead_cell: str = ""
    truth_names: tuple[str, ...] = ()
    episode_outputs: tuple[str, ...] = schema.EPISODE_OUTPUTS
    signals: tuple[str, ...] = schema.SIGNAL_NAMES
    further_signals: tuple[str, ...] = ()
    chunk_statistics: tuple[str, ...] = ()
    streams: tuple[str, ...] = ()
    horizons_s: tuple[float, ...] = schema.HORIZONS_S
    failure_types: tuple[FailureType, ...] = FAILURE_TYPES
    shard_steps: int = 0
    image_codec: str = "lossless"
    kept_bits: int = 0

    def __post_init__(self) -> None:
        if self.image_codec not in IMAGE_CODECS:
            raise StoreError(
                f"image codec '{self.image_codec}' is not known; allowed are "
                f"{', '.join(IMAGE_CODECS)}"
            )
        if len(set(self.cameras)) < len(self.cameras) or "" in self.cameras:
            raise StoreError(f"cameras are {list(self.cameras)}; each needs a name of its own")
        if self.cameras and min(self.image_size) < 1:
            raise StoreError(
                f"images of {list(self.cameras)} are {self.image_size}; give the height and width "
                "in pixels"
            )
        if self.shard_steps == 0:
            object.__setattr__(self, "shard_steps", _shard_steps(self.image_size))
        for what in NAMED:
            names, dim = self.names(what), getattr(self, f"{what}_dim")
            if names and not len(names) == len(set(names)) == dim:
                raise StoreError(
                    f"{what}_names are {list(names)}; allowed are {dim} different ones, as many "
                    f"as the {what} has columns, or none where they are unknown"
                )
        if len(set(self.joint_names)) < len(self.joint_names):
            raise StoreError(f"joint_names are {list(self.joint_names)}; each joint is there once")
        if fault := schema.further_fault(self.further_signals):
            raise StoreError(f"further_signals are {list(self.further_signals)}; {fault}")
        if self.episode_outputs != schema.EPISODE_OUTPUTS[: len(self.episode_outputs)]:
            raise StoreError(
                f"episode_outputs are {list(self.episode_outputs)}; allowed are "
                f"{list(schema.EPISODE_OUTPUTS)}, or none"
            )
        if unknown := set(self.joint_quantities) - set(schema.JOINT_QUANTITIES):
            raise StoreError(
                f"joint_quantities has {sorted(unknown)}; allowed are "
                f"{', '.join(schema.JOINT_QUANTITIES)}"
            )

    def names(self, what: str) -> tuple[str, ...]:
        """Names of the columns of "state", "action" or "joint"; empty where unknown."""
        names: tuple[str, ...] = getattr(self, f"{what}_names")
        return names

    def without(self, names: Sequence[str]) -> "StoreSpec":
        """The same for a store that lacks some of `OPTIONAL_COLUMNS`.

        Raises:
            StoreError: if a name is none of them.
        """
        if unknown := [name for name in names if name not in OPTIONAL_COLUMNS]:
            raise StoreError(
                f"{', '.join(unknown)} cannot be left out; allowed are "
                f"{', '.join(OPTIONAL_COLUMNS)}"
            )
        sizes = [size for name in names for size in OPTIONAL_COLUMNS[name]]
        return replace(self, **{size: type(getattr(self, size))() for size in sizes})

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
            state_names=tuple(attributes.get("state_names", ())),
            action_names=tuple(attributes.get("action_names", ())),
            embedding_dim=int(attributes["embedding_dim"]),
            **_later(attributes),
            signals=tuple(attributes["signals"]),
            chunk_statistics=tuple(attributes.get("chunk_statistics", ())),
            streams=tuple(attributes["streams"]),
            horizons_s=tuple(float(h) for h in attributes["horizons_s"]),
            failure_types=tuple(FailureType.from_label(k) for k in attributes["failure_types"]),
            shard_steps=int(attributes["shard_steps"]),
            image_codec=str(attributes.get("image_codec", "lossless")),
            kept_bits=int(attributes.get("kept_bits", 0)),
        )

    def differences(self, other: "StoreSpec") -> list[tuple[str, Any, Any]]:
        """Sizes that differ, and names that are not the same ones: name, ours and the other's.

        The order of the names is none: `columns` brings it to ours.
        """
        mine, theirs = self.to_attributes(), other.to_attributes()
        # How many frames share a file, and how they are compressed, is the store's own affair.
        free = _OWN if self.cameras or other.cameras else (*_OWN, "image_size")
        names = [name for name in mine if name not in free and mine[name] != theirs[name]]
        found = [(name, mine[name], theirs[name]) for name in names]
        for what in NAMED:
            ours, given = self.names(what), other.names(what)
            if ours and given and sorted(ours) != sorted(given):
                found.append((f"{what}_names", list(ours), list(given)))
        return found

    def misfits(self, other: "StoreSpec") -> list[tuple[str, Any, Any]]:
        """Those of `differences` for which episodes of the other are not appended to ours.

        Older stores have no `episode_outputs`; what would lose some refuses the episode.
        """
        return [one for one in self.differences(other) if one[0] != "episode_outputs"]

    def check_same(self, other: "StoreSpec", path: object) -> None:
        """Refuse sizes or names of which episodes do not go into the store at `path`.

        Names that one of the two does not know go with any.

        Raises:
            StoreError: naming every difference; or both orders of the same names, since rows of
                another order must go through `columns` before they are written.
        """
        different = self.misfits(other)
        if different:
            listed = "; ".join(f"{name}: store {a}, given {b}" for name, a, b in different)
            raise StoreError(
                f"'{path}' holds episodes of another form ({listed}); record into a new folder"
            )
        for what in NAMED:
            if not isinstance(columns(self.names(what), other.names(what), what), slice):
                raise StoreError(
                    f"'{path}' keeps the {what} as {list(self.names(what))}, given is the order "
                    f"{list(other.names(what))}; whoever writes matches the columns by name "
                    "before (salus_ros.episodes.columns)"
                )

    def with_names_of(self, other: "StoreSpec") -> "StoreSpec":
        """The same, and where ours are unknown the names of the other."""
        return replace(
            self,
            state_names=self.state_names or other.state_names,
            action_names=self.action_names or other.action_names,
        )


def _later(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Sizes and names that stores did not have from the start."""
    counts = {name: int(attributes.get(name, 0)) for name in _COUNTS}
    lists = {name: tuple(attributes.get(name, ())) for name in _LISTS}
    return counts | lists | {"lookahead_cell": str(attributes.get("lookahead_cell", ""))}


def _shard_steps(image_size: tuple[int, int]) -> int:
    """Frames that a file of images holds: at least one, and no more than fit its size."""
    height, width = image_size
    return max(1, min(SHARD_STEPS, SHARD_BYTES // max(1, 3 * height * width)))
